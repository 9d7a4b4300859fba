/** Runs side by side: what differs first, metrics over each other, scatter and parallel coordinates, results. */
import { lazily } from "../../lib/lazily";
import { useQueryClient } from "@tanstack/react-query";
import { Suspense, useMemo } from "react";
import { Link } from "wouter";
import { useGet, type Schemas } from "../../api/client";
import { huesFor } from "../../lib/colours";
import { count, duration, metric, plain } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { runPage, useChangeQuery, useParam, useParams } from "../../lib/url";
import { Empty, Loading, Section, Shown, Time } from "../../parts/Bits";
import { artifactPage, PreviewBody } from "../../parts/Preview";
import { Name } from "../../parts/Name";
import { State } from "../../parts/State";
import { Parallel } from "./Parallel";
import { Scatter } from "./Scatter";

const Overlaid = lazily(() => import("./Overlaid"));

export type Compared = Schemas["RunsCompared"];
export interface Axis {
  name: string;
  kind: "param" | "metric";
  values: (number | null)[];
}

export default function ComparePage({ project }: { project: string }) {
  useTitle("Compare");
  const [runs, setRuns] = useParams("run");
  const enough = runs.length >= 2;
  const wanted = { project, run: runs.slice(0, 50) };
  const known = useQueryClient().getQueryData<Compared>(["/api/v1/projects/{project}/compare", wanted]);
  const live = known?.runs.some((run) => run.state === "running");
  const query = useGet("/api/v1/projects/{project}/compare", wanted, { enabled: enough, keep: true, every: live ? 2 : 15 });
  if (!enough) {
    return (
      <Empty title="Choose at least two runs" command="headrace diff train/1 train/2">
        In the <Link href={`/p/${encodeURIComponent(project)}/runs`}>list of runs</Link>, select some (x) and compare them (c). In a terminal:
      </Empty>
    );
  }
  return <Shown query={query}>{(found) => <Found project={project} found={found} drop={(name) => setRuns(runs.filter((one) => one !== name))} />}</Shown>;
}

/** Parameters and metrics that are numbers: what can be an axis. */
export function axesOf(found: Compared): Axis[] {
  const numbers = (values: readonly unknown[]) => values.map((one) => (typeof one === "number" && Number.isFinite(one) ? one : null));
  const made = [
    ...found.params.map((one) => ({ name: one.name, kind: "param" as const, values: numbers(one.values) })),
    ...found.metrics.map((one) => ({ name: one.name, kind: "metric" as const, values: numbers(one.values) })),
  ];
  return made.filter((one) => one.values.some((value) => value !== null));
}

function Found({ project, found, drop }: { project: string; found: Compared; drop: (name: string) => void }) {
  const change = useChangeQuery();
  const [all] = useParam("all");
  const names = found.runs.map((run) => run.name);
  const hues = useMemo(() => huesFor(names), [names.join(" ")]);
  const axes = useMemo(() => axesOf(found), [found]);
  const same = (values: readonly unknown[]) => values.every((one) => JSON.stringify(one) === JSON.stringify(values[0]));
  const metrics = found.metrics.filter((one) => all || !same(one.values));
  const artifacts = found.artifacts.filter((one) => all || !one.same);
  const equal = found.metrics.length - found.metrics.filter((one) => !same(one.values)).length + found.artifacts.filter((one) => one.same).length;
  const best = (values: readonly unknown[]): [number, number] | null => {
    const numbers = values.filter((one): one is number => typeof one === "number");
    return numbers.length > 1 ? [Math.min(...numbers), Math.max(...numbers)] : null;
  };
  return (
    <div className="tab-body compare">
      <h1 className="hidden">{count(names.length)} runs compared</h1>
      <div className="scroll-x" tabIndex={0} role="group" aria-label="Runs side by side">
        <table className="plain-table compare-table">
          <thead>
            <tr>
              <td />
              {found.runs.map((run) => (
                <th key={run.name} scope="col">
                  <span className="compare-head">
                    <svg width="10" height="10" aria-hidden="true">
                      <rect width="10" height="10" rx="2" fill={`var(${hues.get(run.name)})`} />
                    </svg>
                    <Link href={runPage(project, run.name)} title={run.name}><Name text={run.name} /></Link>
                    <button type="button" className="iconbutton" onClick={() => drop(run.name)} aria-label={`Leave ${run.name} out`}>
                      ×
                    </button>
                  </span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            <Row title="State" cells={found.runs.map((run) => <State key={run.name} state={run.state} />)} />
            <Row title="Started" cells={found.runs.map((run) => <Time key={run.name} at={run.started} />)} />
            <Row title="Took" cells={found.runs.map((run) => duration(run.duration))} />
            {found.params.length > 0 && <Group title="Parameters that differ" width={names.length} />}
            {found.params.map((one) => (
              <Row key={one.name} title={one.name} cells={one.values.map((value) => plain(value ?? undefined))} />
            ))}
            {metrics.length > 0 && <Group title="Metrics" width={names.length} />}
            {metrics.map((one) => {
              const ends = best(one.values);
              return (
                <Row
                  key={one.name}
                  title={one.name}
                  cells={one.values.map((value, index) => (
                    <span key={index} className={ends && ends[0] !== ends[1] && (value === ends[0] || value === ends[1]) ? "strong" : ""} title={ends && value === ends[1] ? "the largest" : ends && value === ends[0] ? "the smallest" : ""}>
                      {metric(value as number | null)}
                      {ends && ends[0] !== ends[1] && value === ends[1] ? " ↑" : ends && ends[0] !== ends[1] && value === ends[0] ? " ↓" : ""}
                    </span>
                  ))}
                />
              );
            })}
          </tbody>
        </table>
      </div>
      {(equal > 0 || all) && (
        <p className="note">
          <button type="button" className="linkbutton" onClick={() => change({ all: all ? null : "1" })}>
            {all ? "Fold away what is the same" : `Show ${count(equal)} that ${equal === 1 ? "is" : "are"} the same`}
          </button>
        </p>
      )}
      {found.metrics.length > 0 && (
        <Section title="Metrics over each other">
          <Suspense fallback={<Loading />}>
            <Overlaid project={project} runs={names} metrics={found.metrics} hues={hues} />
          </Suspense>
        </Section>
      )}
      {axes.length >= 2 && (
        <div className="compare-plots">
          <Section title="Scatter">
            <Scatter project={project} runs={names} axes={axes} hues={hues} />
          </Section>
          <Section title="Parallel coordinates">
            <Parallel runs={names} axes={axes} hues={hues} />
          </Section>
        </div>
      )}
      {artifacts.length > 0 && (
        <Section title="Results">
          {artifacts.map((one) => (
            <div key={one.name} className="compare-artifact">
              <h3>
                {one.name} {one.same && <span className="quiet">the same</span>}
              </h3>
              <div className="compare-sides">
                {one.artifacts.map((side, index) => (
                  <div key={names[index]} className="preview">
                    <p>
                      <Link href={side ? artifactPage(project, names[index] ?? "", side) : runPage(project, names[index] ?? "")}>{names[index]}</Link>
                    </p>
                    {side ? <Side side={side} first={one.artifacts[0] ?? null} /> : <p className="quiet">none</p>}
                  </div>
                ))}
              </div>
            </div>
          ))}
        </Section>
      )}
    </div>
  );
}

function Row({ title, cells }: { title: string; cells: React.ReactNode[] }) {
  return (
    <tr>
      <th scope="row">{title}</th>
      {cells.map((cell, index) => (
        <td key={index} className="num">
          {cell}
        </td>
      ))}
    </tr>
  );
}

function Group({ title, width }: { title: string; width: number }) {
  return (
    <tr className="compare-group">
      <th scope="colgroup" colSpan={width + 1}>
        {title}
      </th>
    </tr>
  );
}

/** A table marks the cells that differ from the first run's. */
function Side({ side, first }: { side: Schemas["ArtifactView"]; first: Schemas["ArtifactView"] | null }) {
  if (side.table.length === 0 || !first || first === side || first.table.length === 0) return <PreviewBody artifact={side} />;
  const [head, ...body] = side.table;
  return (
    <div className="scroll-x" tabIndex={0} role="group" aria-label={`Table ${side.name}`}>
      <table className="data-table">
        <thead>
          <tr>
            {head?.map((name, index) => (
              <th key={index} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {body.slice(0, 20).map((row, index) => (
            <tr key={index}>
              {row.map((value, column) => (
                <td key={column} className={first.table[index + 1]?.[column] === value ? "num" : "num differs"}>
                  {value}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
