/** A run at a glance, kept up to date while it is live. */
import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useMemo, useRef } from "react";
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

/** Kinds of events that tell how a run stands. */
const STANDING = new Set(["run", "steps", "task", "wait"]);

export function useRunView(at: RunAddress) {
  const query = useGet(RUN, { ...at });
  const queries = useQueryClient();
  const live = query.data?.run.state === "running";
  const gone = query.error instanceof ApiError && query.error.status === 404;
  const { project, flow, number } = at;
  const listens = query.data !== undefined && !gone;
  const url = listens ? `/api/v1/projects/${encodeURIComponent(project)}/runs/${encodeURIComponent(flow)}/${number}/events` : null;
  // Runs that have ended are listened to as well: they are resumed, tagged, removed.
  const news = useRef(false);
  const events = useEvents(url, ["run", "steps", "task", "log", "metric", "artifact", "wait", "end"], (event) => {
    const key = [RUN, { project, flow, number }];
    const before = queries.getQueryData<RunView>(key);
    if (before) queries.setQueryData<RunView>(key, told(before, event));
    // A stream begins with how things stand, which is known already.
    news.current ||= !STANDING.has(event.kind) || queries.getQueryData<RunView>(key) !== before;
  });
  const again = useAgain(project, flow, number);
  useEffect(() => {
    if (!news.current) return;
    news.current = false;
    again();
  }, [events.count, again]);
  // What happened while no event could come is asked for when they come again, and now and then until they do.
  const lost = useRef(false);
  useEffect(() => {
    if (!listens) return;
    if (events.open && lost.current) again(true);
    lost.current ||= events.lost;
    if (events.open) lost.current = false;
    const timer = window.setInterval(again, events.open ? 15_000 : document.hidden ? 10_000 : 2_000);
    return () => window.clearInterval(timer);
  }, [listens, events.open, events.lost, again]);
  return { query, live: live && !gone, tick: events.count, lost: live && events.lost, gone };
}

/** Asks again for what is shown of a run: at once, but not before what was asked for is here, and twice as long has passed. */
function useAgain(project: string, flow: string, number: number): (force?: boolean | void) => void {
  const queries = useQueryClient();
  return useMemo(() => {
    let asks = 0;
    let wanted = false;
    const again = (force?: boolean | void) => {
      if (asks > 0 && force !== true) {
        wanted = true;
        return;
      }
      asks += 1;
      wanted = false;
      const began = performance.now();
      const rest = () =>
        window.setTimeout(() => {
          asks -= 1;
          if (wanted && asks === 0) again();
        }, Math.min(1000, 2 * (performance.now() - began)));
      void queries
        .invalidateQueries({
          predicate: (one) => {
            const of = one.queryKey[1] as Partial<RunAddress> | undefined;
            return of?.project === project && of.flow === flow && of.number === number && one.queryKey[2] !== "fixed";
          },
        })
        .then(rest, rest);
    };
    return again;
  }, [queries, project, flow, number]);
}

/** The run as an event says that it is now: shown before it is asked for as a whole. */
function told(view: RunView, event: LiveEvent): RunView {
  const data = event.data as { steps?: { step: string; counts: Record<string, number>; total: number; waits_for: string }[]; running?: RunView["running"]; questions?: RunView["questions"] };
  if (event.kind === "run") return { ...view, run: { ...view.run, ...(event.data as Partial<RunView["run"]>) } };
  if (event.kind === "task" && data.running) return { ...view, running: data.running };
  if (event.kind === "wait" && data.questions) return { ...view, questions: data.questions };
  if (event.kind !== "steps" || !data.steps) return view;
  const steps = new Map(data.steps.map((one) => [one.step, one]));
  return {
    ...view,
    steps: view.steps.map((one) => {
      const next = steps.get(one.step);
      return next ? { ...one, counts: next.counts, total: next.total, waits_for: next.waits_for, done: next.counts["succeeded"] ?? 0 } : one;
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
