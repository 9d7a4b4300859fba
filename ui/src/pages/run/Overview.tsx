/** Steps with how far they are, metrics, the result and what was logged, and where all of it ran. */
import { useState } from "react";
import { Link } from "wouter";
import { bytes, count, plain, plural } from "../../lib/format";
import { RUN, useGet } from "../../api/client";
import { runPage, taskPage, useParam } from "../../lib/url";
import { CopyButton, Facts, Section, Shown, Time, Took } from "../../parts/Bits";
import { MetricTable } from "../../parts/MetricTable";
import { StateBar, StateMark, withReused } from "../../parts/State";
import { Preview } from "../../parts/Preview";
import { Traceback } from "../../parts/Traceback";
import { useRun } from "./useRun";

export function Overview() {
  return (
    <div className="overview">
      <div className="overview-main">
        <FailureText />
        <Steps />
        <Running />
        <Metrics />
        <Results />
        <Why />
      </div>
      <aside className="overview-side" aria-label="Facts about the run">
        <Parameters />
        <Where />
      </aside>
    </div>
  );
}

function FailureText() {
  const { view } = useRun();
  if (!view.failure?.traceback) return null;
  return (
    <Section title="Why it failed">
      <Traceback text={view.failure.traceback} />
    </Section>
  );
}

function Steps() {
  const { at, name, view, live } = useRun();
  if (view.steps.length === 0) {
    return (
      <Section title="Steps">
        <p className="quiet">{live ? "No step has been called yet." : "This run called no step."}</p>
      </Section>
    );
  }
  const longest = Math.max(...view.steps.map((step) => step.duration ?? 0), 0.001);
  return (
    <Section title="Steps">
      <div className="scroll-x" tabIndex={0} role="group" aria-label="Table">
        <table className="plain-table steps">
          <thead>
            <tr>
              <th scope="col">Step</th>
              <th scope="col">Tasks</th>
              <th scope="col" className="right">
                Done
              </th>
              <th scope="col" className="right">
                Took
              </th>
              <th scope="col">
                <span className="hidden">Share of the time</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {view.steps.map((step) => (
              <tr key={step.step}>
                <td>
                  <Link href={runPage(at.project, name, "tasks", { step: step.step })} title={step.step}>{step.title || step.step}</Link>
                  {step.title && step.title !== step.step && <span className="quiet"> {step.step}</span>}
                </td>
                <td className="steps-bar">
                  <StateBar counts={withReused(step.counts, step.reused)} total={step.total} />
                </td>
                <td className="right num">
                  {count(step.done)}/{count(step.total)}
                  {step.reused ? <span className="quiet"> {count(step.reused)} reused</span> : null}
                </td>
                <td className="right num">
                  <Took seconds={step.duration} since={step.started} live={live && step.finished === null && step.started !== null} />
                </td>
                <td className="steps-share" aria-hidden="true">
                  <svg viewBox="0 0 100 8" preserveAspectRatio="none">
                    <rect className="share" width={((step.duration ?? 0) / longest) * 100} height="8" />
                  </svg>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

function Running() {
  const { at, name, view } = useRun();
  if (view.running.length === 0) return null;
  return (
    <Section title="Running now" more={<span className="num">{count(view.running.length)}</span>}>
      <table className="plain-table">
        <tbody>
          {view.running.slice(0, 12).map((one) => {
            const parts = one.task.split("/").slice(2);
            return (
              <tr key={`${one.task} ${one.attempt}`}>
                <td>
                  <StateMark state="running" />{" "}
                  <Link href={taskPage(at.project, name, parts.slice(0, -1).join("/"), parts.at(-1) ?? "")}>{parts.join("/")}</Link>
                  {one.attempt > 1 && <span className="quiet"> attempt {one.attempt}</span>}
                </td>
                <td className="quiet">
                  {one.place} {one.host} {one.pid || ""}
                </td>
                <td className="right">
                  <Took since={one.started} live />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Section>
  );
}

function Metrics() {
  const { at, name, view } = useRun();
  if (view.metrics.length === 0) return null;
  return (
    <Section title="Metrics" more={<Link href={runPage(at.project, name, "metrics")}>charts</Link>}>
      <MetricTable metrics={view.metrics.slice(0, 30)} href={(one) => runPage(at.project, name, "metrics", { m: one })} />
    </Section>
  );
}

function Results() {
  const { at, name, view } = useRun();
  const own = `${name}/`;
  const shown = view.artifacts.filter((one) => (one.task === name || !one.task.startsWith(own) || one.kind === "logged") && one.type !== "card");
  if (shown.length === 0) return null;
  return (
    <Section title="Result and what was logged" more={<Link href={runPage(at.project, name, "artifacts")}>all artifacts</Link>}>
      <div className="results">
        {shown.slice(0, 12).map((one) => (
          <Preview key={`${one.task} ${one.name}`} at={at} run={name} artifact={one} />
        ))}
      </div>
    </Section>
  );
}

function Parameters() {
  const { view } = useRun();
  const rows = Object.entries(view.run.params);
  if (rows.length === 0) return null;
  return (
    <Section title="Parameters">
      <Facts rows={rows.map(([key, value]) => [key, <Long key={key} text={plain(value)} />] as const)} />
    </Section>
  );
}

function Long({ text }: { text: string }) {
  const [open, setOpen] = useState(false);
  if (text.length <= 160) return <code>{text}</code>;
  return (
    <>
      <code>{open ? text : `${text.slice(0, 150)}…`}</code>{" "}
      <button type="button" className="linkbutton" onClick={() => setOpen(!open)}>
        {open ? "less" : `all ${count(text.length)} characters`}
      </button>
    </>
  );
}

function Where() {
  const { view } = useRun();
  const { run, surroundings: where } = view;
  const [program = "", ...rest] = where.command;
  const shortest = program.endsWith("__main__.py") ? ["python", "-m", "headrace"] : [program.split("/").pop() ?? ""];
  const command = [...shortest, ...rest].map((one) => (/^[\w@%+=:,./-]+$/.test(one) ? one : `'${one.replaceAll("'", `'\\''`)}'`)).join(" ");
  return (
    <Section title="Where and from what">
      <Facts
        rows={[
          ["Started", <Time key="s" at={run.started} />],
          ["Created", run.created !== run.started && <Time key="c" at={run.created} />],
          ["Took", <Took key="t" seconds={run.duration} since={run.started} live={run.state === "running"} />],
          ["Session", run.session > 1 ? `${run.session}: resumed ${plural(run.session - 1, "time")}` : ""],
          ["By", `${run.user} on ${run.host}`],
          ["Command", command && <span key="x" className="with-copy"><code>{command}</code><CopyButton text={command} what="the command" /></span>],
          ["Folder", where.cwd && <code key="f">{where.cwd}</code>],
          ["Code", where.code && `${plural(where.code.files, "file")}, ${bytes(where.code.size)}`],
          ["Entry", <code key="e">{where.entry}</code>],
          ["Commit", where.git_commit && <code key="g">{where.git_commit.slice(0, 12)}{where.git_dirty ? " + changes" : ""}</code>],
          ["Python", where.python && `${where.python}, ${plural(where.packages, "package")}`],
          ["Platform", where.platform],
          ["Place", where.place],
          ["Seed", where.seed !== null && where.seed !== undefined && <code key="n">{String(where.seed)}</code>],
          ["Reproduces", where.reproduces],
          ["Artifacts", view.artifacts_size !== null && view.artifacts_size !== undefined && bytes(view.artifacts_size)],
        ]}
      />
    </Section>
  );
}


/** Why steps ran or were reused: asked for when it is opened. */
function Why() {
  const { at, name, view, live } = useRun();
  const [open, setOpen] = useParam("why");
  const query = useGet(`${RUN}/explain` as const, { ...at }, { enabled: open !== "" && !live });
  if (live || view.steps.length === 0) return null;
  return (
    <Section title="Why steps ran" more={<button type="button" className="linkbutton" aria-expanded={open !== ""} onClick={() => setOpen(open ? "" : "1")}>{open ? "hide" : "show"}</button>}>
      {open && (
        <Shown query={query} rows={3}>
          {(found) => (
            <ul className="plain-list">
              {found.steps.map((step) => (
                <li key={step.step}>
                  <b>{step.step}</b>
                  {step.code_changed.length > 0 && <span className="quiet"> code changed: {step.code_changed.join(", ")}</span>}
                  <ul className="plain-list">
                    {step.reasons.map((one) => {
                      const parts = one.example.split("/").slice(2);
                      return (
                        <li key={`${one.verdict} ${one.reason}`}>
                          {plural(one.tasks, "task")} <b>{one.verdict}</b>
                          {one.reason && `: ${one.reason}`}{" "}
                          <Link href={taskPage(at.project, name, parts.slice(0, -1).join("/"), parts.at(-1) ?? "")}>{parts.join("/")}</Link>
                        </li>
                      );
                    })}
                  </ul>
                </li>
              ))}
            </ul>
          )}
        </Shown>
      )}
    </Section>
  );
}
