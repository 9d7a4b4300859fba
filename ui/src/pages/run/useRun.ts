/** A run at a glance, kept up to date while it is live. */
import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useRef } from "react";
import { ApiError, RUN, useGet, type Schemas } from "../../api/client";
import { useEvents, type LiveEvent } from "../../api/events";

export type RunView = Schemas["RunView"];
export type StepView = Schemas["StepView"];

export interface RunAddress {
  project: string;
  flow: string;
  number: number;
}

/** What all tabs of a run's page share. */
export interface RunContext {
  at: RunAddress;
  name: string;
  view: RunView;
  live: boolean;
  /** Grows with events of the run; what depends on it is asked for again. */
  tick: number;
}

export const Run = createContext<RunContext | null>(null);

export function useRun(): RunContext {
  const found = useContext(Run);
  if (!found) throw new Error("useRun is for the tabs of a run's page");
  return found;
}

export function useRunView(at: RunAddress) {
  const known = useQueryClient().getQueryData<RunView>([RUN, { ...at }]);
  // Events tell of a live run. One that has ended changes seldom: it is tagged, resumed or removed.
  const query = useGet(RUN, { ...at }, { every: known && known.run.state !== "running" ? 10 : false });
  const state = query.data?.run.state;
  const live = state === "running";
  const url = live ? `/api/v1/projects/${encodeURIComponent(at.project)}/runs/${encodeURIComponent(at.flow)}/${at.number}/events` : null;
  const queries = useQueryClient();
  const { project, flow, number } = at;
  const events = useEvents(url, ["run", "steps", "task", "log", "metric", "artifact", "wait", "end"], (event) =>
    queries.setQueryData<RunView>([RUN, { project, flow, number }], (now) => now && told(now, event)),
  );
  // What is shown of the run is asked for again when something happened; every 2 s where events do not come.
  // Its end is such an event too: with it the run is no longer live, but what it left last is not here yet.
  const wasLive = useRef(live);
  useEffect(() => {
    const ended = wasLive.current && !live;
    wasLive.current = live;
    if (!live && !ended) return;
    const again = () =>
      void queries.invalidateQueries({
        predicate: (one) => {
          const wanted = one.queryKey[1] as Partial<RunAddress> | undefined;
          return wanted?.project === project && wanted.flow === flow && wanted.number === number && one.queryKey[2] !== "fixed";
        },
      });
    if (ended || events.count > 0) again();
    if (ended) return;
    const timer = window.setInterval(again, events.open ? 10_000 : 2_000);
    return () => window.clearInterval(timer);
  }, [live, events.count, events.open, queries, project, flow, number]);
  const gone = query.error instanceof ApiError && query.error.status === 404;
  return { query, live: live && !gone, tick: events.count, lost: live && events.lost, gone };
}

/** The run as an event says that it is now: shown before it is asked for as a whole. */
function told(view: RunView, event: LiveEvent): RunView {
  const data = event.data as { steps?: { step: string; counts: Record<string, number>; total: number }[]; running?: RunView["running"]; questions?: RunView["questions"] };
  if (event.kind === "run") return { ...view, run: { ...view.run, ...(event.data as Partial<RunView["run"]>) } };
  if (event.kind === "task" && data.running) return { ...view, running: data.running };
  if (event.kind === "wait" && data.questions) return { ...view, questions: data.questions };
  if (event.kind !== "steps" || !data.steps) return view;
  const steps = new Map(data.steps.map((one) => [one.step, one]));
  return {
    ...view,
    steps: view.steps.map((one) => {
      const next = steps.get(one.step);
      return next ? { ...one, counts: next.counts, total: next.total, done: next.counts["succeeded"] ?? 0 } : one;
    }),
  };
}

/** Totals over all steps: how far a run is. */
export function progressOf(view: RunView): { total: number; done: number; counts: Record<string, number> } {
  const counts: Record<string, number> = {};
  let total = 0;
  for (const step of view.steps) {
    total += step.total;
    for (const [state, count] of Object.entries(step.counts)) counts[state] = (counts[state] ?? 0) + count;
  }
  const done = (counts["succeeded"] ?? 0) + (counts["failed"] ?? 0) + (counts["cancelled"] ?? 0);
  return { total, done, counts };
}

/** Seconds that are left by what is measured so far: tasks per second since the start of this session. */
export function timeLeft(view: RunView, now: number): number | null {
  const { total, done } = progressOf(view);
  const spent = now - view.run.started;
  const reused = view.steps.reduce((sum, step) => sum + (step.reused ?? 0), 0);
  const ran = done - reused;
  if (view.run.state !== "running" || ran < 3 || total <= done || spent <= 0) return null;
  return ((total - done) / ran) * spent;
}
