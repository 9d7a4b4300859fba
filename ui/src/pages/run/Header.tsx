/** The answer first: state and since when, how far, what it waits for, time left, and why it failed. */
import { useQueryClient } from "@tanstack/react-query";
import { Ellipsis } from "lucide-react";
import { Link } from "wouter";
import { address, ApiError, RUN, send } from "../../api/client";
import { count, duration, exactTime, plain, roughly, shortTime } from "../../lib/format";
import { useNow } from "../../lib/now";
import { runPage, runsPage, taskPage } from "../../lib/url";
import { useMay } from "../../parts/Account";
import { CopyButton } from "../../parts/Bits";
import { useToast } from "../../parts/Toast";
import { shownState, State, StateBar } from "../../parts/State";
import { Actions } from "./Actions";
import { Questions } from "./Questions";
import { lastFrame } from "../../parts/Traceback";
import { progressOf, timeLeft, useRun, type RunView } from "./useRun";

export function Header({ lost }: { lost: boolean }) {
  const { at, name, view, live } = useRun();
  const run = view.run;
  const now = useNow(live, 1);
  const progress = progressOf(view);
  const left = timeLeft(view, now);
  const params = Object.entries(run.params);
  return (
    <header className="run-head">
      <div className="run-line">
        <h1>
          <Link className="run-flow" href={runsPage(at.project, { flow: run.flow })} title={`All runs of ${run.flow}`}>
            {run.flow}
          </Link>
          <span className="quiet">/</span>
          {run.number}
          <CopyButton text={name} what="the name of the run" />
        </h1>
        {run.tags["name"] && <span className="run-called">{run.tags["name"]}</span>}
        {run.pinned && <span className="chip">pinned</span>}
        {run.archived && <span className="chip">archived</span>}
        <span className="run-state" role="status">
          <State state={shownState(run)} /> <span title={exactTime(run.started)}>{since(view, now)}</span>
        </span>
        {(live || run.state !== "succeeded") && progress.total > 0 && (
          <span className="run-progress">
            <StateBar counts={progress.counts} total={progress.total} />
          </span>
        )}
        <span className="run-far num">{far(view)}</span>
        {left !== null && <span className="run-left num">about {roughly(left)} left</span>}
        {lost && <span className="quiet">live events lost; asking every 2 s</span>}
        <span className="bar-rest" />
        <Actions icon={<Ellipsis size={16} aria-hidden />} />
      </div>
      <div className="run-sub">
        {params.length > 0 && (
          <span className="pairs" title={params.map(([key, value]) => `${key} = ${plain(value)}`).join("\n")}>
            {params.slice(0, 8).map(([key, value]) => (
              <span key={key} className="pair">
                <span className="pair-name">{key}</span> <code>{cut(plain(value), 60)}</code>
              </span>
            ))}
            {params.length > 8 && <span className="quiet">and {params.length - 8} more</span>}
          </span>
        )}
        <span className="quiet">
          by {run.user || "somebody"} on {run.host || "a machine"}
          {view.surroundings.git_commit && (
            <>
              {" · commit "}
              <code title={view.surroundings.git_commit}>{view.surroundings.git_commit.slice(0, 8)}</code>
              {view.surroundings.git_dirty && " (+ changes)"}
            </>
          )}
          {view.surroundings.python && ` · Python ${view.surroundings.python}`}
        </span>
        {Object.entries(run.tags).filter(([key]) => key !== "name").map(([key, value]) => {
          const text = value ? `${key}=${value}` : key;
          return (
            <Link key={key} className="chip" title={text} href={runsPage(at.project, { tag: [text] })}>
              {text}
            </Link>
          );
        })}
      </div>
      <Deleted />
      <Failure />
      <Waiting />
      <Questions />
    </header>
  );
}

const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function since(view: RunView, now: number): string {
  const run = view.run;
  if (run.driver === "pending") return `since ${shortTime(run.started)}`;
  if (run.state === "running") return `for ${duration(Math.round(now - run.started))}`;
  if (run.state === "crashed") return `: its process is gone; started ${shortTime(run.started)}`;
  const ended = run.finished ?? run.started;
  return `after ${duration(run.duration)}, ${roughly(Math.max(0, now - ended))} ago`;
}

/** "212 of 400 tasks, 6 running, 3 retried". */
function far(view: RunView): string {
  const { total, done, counts } = progressOf(view);
  if (total === 0) return view.run.state === "running" ? "no task yet" : "";
  const parts = [done === total ? `${count(total)} ${total === 1 ? "task" : "tasks"}` : `${count(done)} of ${count(total)} tasks`];
  const add = (state: string, text = state) => {
    const number = counts[state] ?? 0;
    if (number) parts.push(`${count(number)} ${text}`);
  };
  add("running");
  add("delayed", "about to be retried");
  add("failed");
  add("cancelled");
  add("lost");
  const reused = view.steps.reduce((sum, step) => sum + (step.reused ?? 0), 0);
  if (reused) parts.push(`${count(reused)} reused`);
  return parts.join(" · ");
}

/** A run that is deleted goes for good in half a minute. */
function Deleted() {
  const { at, name, view } = useRun();
  const queries = useQueryClient();
  const toast = useToast();
  const may = useMay(at.project);
  const until = view.run.deleted;
  const now = useNow(Boolean(until), 1);
  if (!until) return null;
  const restore = () =>
    void send("POST", address(`${RUN}/restore`, { ...at })).then(
      () => queries.invalidateQueries(),
      (error: unknown) => toast({ text: error instanceof ApiError ? error.detail || error.title : String(error), bad: true }),
    );
  return (
    <p className="run-note" role="alert">
      {name} is deleted, and gone for good in {duration(Math.max(0, Math.round(until - now)))}.{" "}
      {may.change && (
        <button type="button" className="button" onClick={restore}>
          Restore
        </button>
      )}
    </p>
  );
}

function Failure() {
  const { at, name, view } = useRun();
  const failure = view.failure;
  if (view.run.state === "crashed") {
    return (
      <p className="run-failure">
        The process of this run was killed. <code>headrace resume {name}</code> goes on where it was.
        <CopyButton text={`headrace resume ${name}`} what="the command" />
      </p>
    );
  }
  if (!failure) return null;
  const task = failure.task.split("/").slice(2);
  const line = lastFrame(failure.traceback);
  return (
    <div className="run-failure">
      <p>
        <code className="run-error" title={failure.error}>{failure.error}</code>
      </p>
      <p className="quiet">
        {failure.task && (
          <>
            in{" "}
            <Link href={taskPage(at.project, name, task.slice(0, -1).join("/"), task.at(-1) ?? "")}>{failure.task}</Link>
            {failure.failure && failure.failure !== "error" ? ` (${failure.failure})` : ""}
            {failure.attempts > 1 && `, after ${failure.attempts} attempts`}
          </>
        )}
        {line && (
          <>
            {" at "}
            <code>{line}</code>
          </>
        )}
        {failure.task ? (
          <CopyButton text={failure.debug} what="the command that debugs this">
            headrace debug
          </CopyButton>
        ) : (
          <Link href={runPage(at.project, name, "logs")}>the logs</Link>
        )}
      </p>
    </div>
  );
}

/** What a live run waits for: workers that are not up yet, or, when nothing runs, room or time. */
function Waiting() {
  const { at, name, view, live } = useRun();
  const { counts } = progressOf(view);
  const { driver, waits_for, waits_seen } = view.run;
  if (driver === "pending") {
    return (
      <p className="run-note">
        Its driver has not begun in the cluster{waits_for ? `: ${waits_for}` : ""}
        {waits_seen !== null && <span className="quiet" title={exactTime(waits_seen)}> · seen {shortTime(waits_seen)}</span>}
      </p>
    );
  }
  const waits = live ? view.steps.filter((one) => one.waits_for) : [];
  if (waits.length > 0) {
    return (
      <div className="run-note">
        {waits.slice(0, 3).map((one) => (
          <p key={one.step}>
            <Link href={runPage(at.project, name, "tasks", { step: one.step, state: "ready" })}>{one.title || one.step}</Link> waits: {one.waits_for}
          </p>
        ))}
        {waits.length > 3 && <p className="quiet">and {count(waits.length - 3)} more steps wait for workers</p>}
      </div>
    );
  }
  if (!live || (counts["running"] ?? 0) > 0 || view.questions.length > 0) return null;
  const ready = counts["ready"] ?? 0;
  const delayed = counts["delayed"] ?? 0;
  if (ready) return <p className="run-note">Nothing runs: {count(ready)} tasks are ready and wait for a worker or for room.</p>;
  if (delayed) return <p className="run-note">Nothing runs: {count(delayed)} tasks wait for the time of their next attempt.</p>;
  return null;
}
