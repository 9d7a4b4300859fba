/** One task: why it ran, its attempts, what went in and came out, what it printed. */
import { useLocation, Link } from "wouter";
import { RUN, useGet, type Schemas } from "../../api/client";
import { bytes, count, duration } from "../../lib/format";
import { useShortcuts } from "../../lib/keys";
import { useTitle } from "../../lib/title";
import { runPage, taskPage } from "../../lib/url";
import { CopyButton, Facts, Section, Shown, Time, Took } from "../../parts/Bits";
import { MetricTable } from "../../parts/MetricTable";
import { PodEvents } from "../../parts/Pod";
import { Preview } from "../../parts/Preview";
import { State } from "../../parts/State";
import { Traceback } from "../../parts/Traceback";
import { useRunView } from "../run/useRun";
import { Explain } from "./Explain";
import { TaskLogs } from "./TaskLogs";
import { lastFrame } from "../../parts/Traceback";

type TaskView = Schemas["TaskView"];

interface Props {
  project: string;
  flow: string;
  number: number;
  step: string;
  task: string;
  tab: string;
}

export default function TaskPage({ project, flow, number, step, task }: Props) {
  const at = { project, flow, number };
  const run = `${flow}/${number}`;
  useTitle(`${run}/${step}/${task}`);
  const query = useGet(`${RUN}/tasks/{step}/{task}` as const, { ...at, step, task });
  const ofRun = useRunView(at);
  const state = query.data?.state;
  const open = state === "running" || state === "ready" || state === "waiting" || state === "delayed";
  const waits = open ? (ofRun.query.data?.steps.find((one) => one.step === step)?.waits_for ?? "") : "";
  const [, navigate] = useLocation();
  const neighbour = (by: number) => {
    const next = Number(task) + by;
    if (Number.isInteger(next) && next > 0) navigate(taskPage(project, run, step, next));
  };
  useShortcuts([
    { keys: "u", does: "Back to the run's tasks", run: () => navigate(runPage(project, run, "tasks", { step })) },
    { keys: "l", does: "Logs of the task", run: () => navigate(runPage(project, run, "logs", { step, task })) },
    { keys: "]", does: "Next task of the step", run: () => neighbour(1) },
    { keys: "[", does: "Task before it", run: () => neighbour(-1) },
  ]);
  return (
    <Shown query={query} rows={10}>
      {(view) => (
        <>
          <Head at={at} run={run} view={view} task={task} waits={state === "running" ? "" : waits} />
          <div className="tab-body">
            <div className="overview">
              <div className="overview-main">
                <Failure view={view} />
                <Values at={at} run={run} view={view} />
                <Attempts view={view} />
                <Pods view={view} />
                <Metrics view={view} />
                <Section title="Output" more={<Link href={runPage(project, run, "logs", { step, task })}>search and follow</Link>}>
                  <TaskLogs at={at} step={step} task={task} live={open} tick={ofRun.tick} />
                </Section>
              </div>
              <aside className="overview-side" aria-label="Facts about the task">
                <FactsOf at={at} run={run} view={view} />
                <Explain at={at} step={step} task={task} />
              </aside>
            </div>
          </div>
        </>
      )}
    </Shown>
  );
}

interface At {
  project: string;
  flow: string;
  number: number;
}

function Head({ at, run, view, task, waits }: { at: At; run: string; view: TaskView; task: string; waits: string }) {
  const last = view.attempts.at(-1);
  const shown = view.reused && view.state === "succeeded" ? "cached" : view.state;
  const frame = last?.traceback ? lastFrame(last.traceback) : "";
  return (
    <header className="run-head task-head">
      <div className="run-line">
        <h1>
          <Link className="run-flow" href={runPage(at.project, run)}>
            {run}
          </Link>
          <span className="quiet">/</span>
          <Link className="run-flow" href={runPage(at.project, run, "tasks", { step: view.step })}>
            {view.step || "flow"}
          </Link>
          <span className="quiet">/</span>
          {task}
          <CopyButton text={view.name} what="the name of the task" />
        </h1>
        <span className="run-state" role="status">
          <State state={shown} />{" "}
          {view.started !== null && view.started !== undefined && view.finished === null ? (
            <>
              for <Took since={view.started} live />
            </>
          ) : (
            view.duration !== null && view.duration !== undefined && `in ${duration(view.duration)}`
          )}
        </span>
        {view.attempts.length > 1 && <span className="run-far">{count(view.attempts.length)} attempts</span>}
        {view.reused_from && <span className="run-far">result of {view.reused_from}</span>}
        <span className="bar-rest" />
        <span className="actions">
          <CopyButton text={`headrace debug ${view.name}${last?.pod ? ` --on ${last.place}` : ""}`} what="the command that debugs this task">
            headrace debug
          </CopyButton>
        </span>
      </div>
      {waits && <p className="run-note">Waits: {waits}</p>}
      {view.error && (
        <div className="run-failure">
          <p>
            <code className="run-error" title={view.error}>{view.error}</code>
          </p>
          {frame && (
            <p className="quiet">
              at <code>{frame}</code>
            </p>
          )}
        </div>
      )}
    </header>
  );
}

function Failure({ view }: { view: TaskView }) {
  const failed = [...view.attempts].reverse().find((one) => one.traceback);
  if (!failed) return null;
  return (
    <Section title={view.attempts.length > 1 ? `Traceback of attempt ${failed.attempt}` : "Traceback"}>
      <Traceback text={failed.traceback} />
    </Section>
  );
}

function Values({ at, run, view }: { at: At; run: string; view: TaskView }) {
  return (
    <>
      <Section title="Inputs">
        {view.inputs.length === 0 ? (
          <p className="quiet">Called without arguments.</p>
        ) : (
          <div className="scroll-x" tabIndex={0} role="group" aria-label="Table">
            <table className="plain-table">
              <tbody>
                {view.inputs.map((one) => (
                  <tr key={one.name}>
                    <th scope="row">{one.name}</th>
                    <td>
                      {one.text && <code className="value">{one.text}</code>}
                      {one.sources.length > 0 && (
                        <span className="sources">
                          {one.sources.slice(0, 8).map((source) => (
                            <SourceLink key={source} at={at} run={run} source={source} />
                          ))}
                          {one.sources.length > 8 && <span className="quiet">and {count(one.sources.length - 8)} more</span>}
                        </span>
                      )}
                    </td>
                    <td className="quiet">{one.type || one.codec}</td>
                    <td className="right quiet">{bytes(one.size)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Section>
      <Section title="Outputs">
        {view.outputs.length === 0 ? (
          <p className="quiet">Nothing yet.</p>
        ) : (
          <div className="results">
            {view.outputs.map((one) => (
              <Preview key={one.name} at={at} run={run} artifact={one} />
            ))}
          </div>
        )}
      </Section>
    </>
  );
}

/** `train/42/load/1/result`: the output of a task of the same run. */
function SourceLink({ at, run, source }: { at: At; run: string; source: string }) {
  const parts = source.slice(run.length + 1).split("/");
  const [output, task] = [parts.at(-1) ?? "", parts.at(-2) ?? ""];
  const step = parts.slice(0, -2).join("/");
  return (
    <Link className="chip" href={taskPage(at.project, run, step, task)} title={source}>
      {step}/{task}
      {output !== "result" && `/${output}`}
    </Link>
  );
}

function Attempts({ view }: { view: TaskView }) {
  if (view.attempts.length === 0) return null;
  return (
    <Section title="Attempts">
      <div className="scroll-x" tabIndex={0} role="group" aria-label="Table">
        <table className="plain-table">
          <thead>
            <tr>
              <th scope="col">#</th>
              <th scope="col">State</th>
              <th scope="col">Started</th>
              <th scope="col" className="right">Took</th>
              <th scope="col" className="right">CPU</th>
              <th scope="col" className="right">Memory</th>
              <th scope="col">Where</th>
              <th scope="col">Why it ended</th>
            </tr>
          </thead>
          <tbody>
            {view.attempts.map((one) => (
              <tr key={one.attempt}>
                <td className="num">{one.attempt}</td>
                <td>
                  <State state={one.state} />
                </td>
                <td>
                  <Time at={one.started} />
                </td>
                <td className="right">
                  <Took seconds={one.duration} since={one.started} live={one.state === "running"} />
                </td>
                <td className="right">{duration(one.cpu_seconds)}</td>
                <td className="right">{one.peak_memory ? bytes(one.peak_memory) : ""}</td>
                <td className="quiet">
                  {[one.place, one.host, one.pid || ""].filter(Boolean).join(" · ")}
                  {one.pod && !one.host.includes(" on ") && one.pod.node ? ` on ${one.pod.node}` : ""}
                </td>
                <td>
                  {one.failure && one.failure !== "error" ? `${one.failure}${one.exit_code !== null ? ` (exit code ${one.exit_code})` : ""}: ` : ""}
                  {one.error}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

/** What is recorded of the pods that attempts were made in; the last attempt's first. */
function Pods({ view }: { view: TaskView }) {
  const pods = new Map([...view.attempts].reverse().flatMap((one) => (one.pod ? [[one.pod.name, one.pod] as const] : [])));
  return [...pods.values()].map((pod) => {
    const attempts = view.attempts.filter((one) => one.pod?.name === pod.name).map((one) => one.attempt);
    return (
      <Section
        key={pod.name}
        title={`Pod ${pod.name}`}
        more={view.attempts.length > 1 && <span>{attempts.length === 1 ? "attempt" : "attempts"} {attempts.join(", ")}</span>}
      >
        <Facts
          rows={[
            ["Node", pod.node || "none yet"],
            ["Image", pod.image && <code key="i">{pod.image}</code>],
            ["Created", pod.created > 0 && <Time key="c" at={pod.created} />],
          ]}
        />
        <PodEvents pod={pod} />
      </Section>
    );
  });
}

function Metrics({ view }: { view: TaskView }) {
  if (view.metrics.length === 0) return null;
  return (
    <Section title="Metrics">
      <MetricTable metrics={view.metrics} />
    </Section>
  );
}

function FactsOf({ at, run, view }: { at: At; run: string; view: TaskView }) {
  const links = (names: readonly string[]) => (
    <span className="sources">
      {names.slice(0, 20).map((name) => {
        const parts = name.slice(run.length + 1).split("/");
        return (
          <Link key={name} className="chip" href={taskPage(at.project, run, parts.slice(0, -1).join("/"), parts.at(-1) ?? "")}>
            {parts.join("/")}
          </Link>
        );
      })}
      {names.length > 20 && <span className="quiet">and {count(names.length - 20)} more</span>}
    </span>
  );
  return (
    <Section title="Facts">
      <Facts
        rows={[
          ["Created", <Time key="c" at={view.created} />],
          ["Started", view.started !== null && <Time key="s" at={view.started} />],
          ["CPU", view.cpu_seconds > 0 && duration(view.cpu_seconds)],
          ["Memory", view.peak_memory > 0 && `${bytes(view.peak_memory)} at its peak`],
          ["Environment", view.environment_label],
          ["Tags", view.tags.length > 0 && view.tags.join(", ")],
          ["Data from", view.parents.length > 0 && links(view.parents)],
          ["Data to", view.children.length > 0 && links(view.children)],
          ["Key", view.key && <code key="k" title={view.key}>{view.key.slice(0, 12)}</code>],
          ["Cache key", view.cache_key && <code key="ck" title={view.cache_key}>{view.cache_key.slice(0, 12)}</code>],
        ]}
      />
    </Section>
  );
}
