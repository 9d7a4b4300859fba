/** A step of the graph opened: failed tasks first, how long its tasks took, the turns of a loop. */
import { useMemo } from "react";
import { Link } from "wouter";
import { RUN, useGet } from "../../../api/client";
import { count, duration } from "../../../lib/format";
import { runPage, taskPage } from "../../../lib/url";
import { StateMark } from "../../../parts/State";
import { shortNumber } from "../Tasks";
import { useRun, type StepView } from "../useRun";
import type { TaskRow } from "../useTasks";

interface Props {
  step: StepView;
  turns: number;
  close: () => void;
  /** Whether data goes on to other steps. */
  follows: boolean;
  folded: boolean;
  fold: (on: boolean) => void;
}

export function StepPanel({ step, turns, close, follows, folded, fold }: Props) {
  const { at, name } = useRun();
  const query = useGet(`${RUN}/tasks` as const, { ...at, step: step.step, limit: 1000 });
  const failed = useGet(`${RUN}/tasks` as const, { ...at, step: step.step, state: ["failed"], limit: 20 }, { enabled: Boolean(step.counts["failed"]) });
  const rows = (query.data?.items ?? []) as TaskRow[];
  const bad = (failed.data?.items ?? []) as TaskRow[];
  return (
    <aside className="step-panel" aria-label={`Step ${step.step}`}>
      <header>
        <h2>{step.step}</h2>
        {follows && (
          <button type="button" className="button quiet" aria-pressed={folded} onClick={() => fold(!folded)}>
            {folded ? "Show what follows" : "Fold what follows"}
          </button>
        )}
        <button type="button" className="button quiet" onClick={close}>
          Close
        </button>
      </header>
      {step.title && <p>{step.title}</p>}
      <p className="quiet">
        {count(step.total)} {turns ? "turns of a loop" : step.total === 1 ? "task" : "tasks"}
        {step.duration !== null && step.duration !== undefined && `, ${duration(step.duration)} from the first start to the last end`}
      </p>
      {bad.length > 0 && (
        <>
          <h3>Failed</h3>
          <ul className="plain-list">
            {bad.map((row) => (
              <li key={row.name}>
                <StateMark state="failed" /> <Link href={taskPage(at.project, name, row.step, shortNumber(row))}>{shortNumber(row)}</Link>{" "}
                <span className="quiet">{row.error}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      {rows.length > 1 && <Histogram rows={rows} />}
      <h3>{turns ? "Turns" : "Tasks"}</h3>
      <ul className="plain-list">
        {rows.slice(0, 40).map((row) => (
          <li key={row.name}>
            <StateMark state={row.reused && row.state === "succeeded" ? "cached" : row.state} />{" "}
            <Link href={taskPage(at.project, name, row.step, shortNumber(row))}>
              {row.step}/{shortNumber(row)}
            </Link>
            <span className="quiet num step-took">{duration(row.duration)}</span>
          </li>
        ))}
      </ul>
      {step.total > 40 && <Link href={runPage(at.project, name, "tasks", { step: step.step })}>All {count(step.total)} tasks</Link>}
    </aside>
  );
}

/** How many tasks took how long. */
function Histogram({ rows }: { rows: TaskRow[] }) {
  const bins = useMemo(() => {
    const took = rows.map((row) => row.duration).filter((one): one is number => typeof one === "number");
    if (took.length < 2) return null;
    const [low, high] = [Math.min(...took), Math.max(...took)];
    const number = Math.min(24, Math.max(6, Math.ceil(Math.sqrt(took.length))));
    const counts = new Array<number>(number).fill(0);
    for (const one of took) {
      const bin = high > low ? Math.min(number - 1, Math.floor(((one - low) / (high - low)) * number)) : 0;
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    return { counts, low, high, most: Math.max(...counts) };
  }, [rows]);
  if (!bins) return null;
  const width = 100 / bins.counts.length;
  return (
    <figure className="histogram">
      <svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label={`Durations from ${duration(bins.low)} to ${duration(bins.high)}`}>
        {bins.counts.map((value, index) => (
          <rect key={index} className="hist-bar" x={index * width + 0.300} y={40 - (value / bins.most) * 40} width={width - 0.600} height={(value / bins.most) * 40}>
            <title>{`${value} tasks`}</title>
          </rect>
        ))}
      </svg>
      <figcaption className="quiet num">
        <span>{duration(bins.low)}</span>
        <span>{duration(bins.high)}</span>
      </figcaption>
    </figure>
  );
}
