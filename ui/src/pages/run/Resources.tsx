/** What a run used: processes, cores and memory over time, and by step and worker. */
import { useMemo } from "react";
import { Link } from "wouter";
import { bytes, count, duration } from "../../lib/format";
import { useNow } from "../../lib/now";
import { runPage } from "../../lib/url";
import { Chart } from "../../parts/Chart";
import { Empty, Loading, Problem, Section } from "../../parts/Bits";
import { curvesOf, sumsOf, type Sum } from "./resources";
import { useBars } from "./timeline/data";
import { useRun } from "./useRun";

const short = (value: number): string => String(Number(value.toPrecision(3)));
/** The largest power of 1,024 that is not above `size`: ticks of an axis are multiples of it. */
const unitOf = (size: number): number => 1024 ** Math.max(0, Math.floor(Math.log(Math.max(1, size)) / Math.log(1024)));

export default function Resources() {
  const { at, name, view, live } = useRun();
  const { query, bars } = useBars(at);
  const second = useNow(live, 5);
  const now = live ? second : (view.run.finished ?? second);
  const curves = useMemo(() => curvesOf(bars, now), [bars, now]);
  const order = view.steps.map((one) => one.step);
  const steps = useMemo(() => sumsOf(bars, (one) => one.step, now).sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name)), [bars, now, order.length]);
  const workers = useMemo(() => sumsOf(bars, (one) => `${one.place && one.place !== "local" ? `${one.place} ` : ""}${one.worker || "unknown"}`, now), [bars, now]);
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading rows={8} />;
  if (bars.length === 0) return <Empty title="Nothing has run yet">What tasks use is known when they have ended.</Empty>;
  const all = sumsOf(bars, () => "", now)[0] as Sum;
  const span = Math.max(0.001, (curves.x[1] ?? 0) * curves.x.length);
  const chart = (title: string, y: number[], hue: string, show: (value: number) => string, step = 0) => (
    <figure className="metric">
      <figcaption>
        <span className="metric-name">{title}</span>
        <span className="quiet num">at most {show(Math.max(...y))}</span>
      </figcaption>
      <Chart lines={[{ name: title, hue, x: curves.x, y }]} log={false} time={false} smooth={0} height={180} zero show={show} showX={duration} {...(step ? { step } : {})} label={`${title} over ${duration(span)}`} zoom={null} onZoom={() => undefined} />
    </figure>
  );
  return (
    <>
      <dl className="values">
        <Value title="Time of tasks" text={duration(all.seconds)} />
        <Value title="CPU" text={duration(all.cpu)} />
        <Value title="Cores in use" text={(all.cpu / span).toFixed(2)} />
        <Value title="Largest memory of a task" text={all.peak ? bytes(all.peak) : "unknown"} />
        {all.wasted > 0 && <Value title={`${count(all.wasted)} attempts came to nothing`} text={duration(all.wastedSeconds)} />}
      </dl>
      <div className="charts three">
        {chart("Attempts at once", curves.running, "--c1", short)}
        {chart("Cores", curves.cores, "--c2", short)}
        {all.peak > 0 && chart("Memory, at most", curves.memory, "--c3", bytes, unitOf(Math.max(...curves.memory)))}
      </div>
      {query.hasNextPage && <p className="note">Of the first {count(bars.length)} attempts; more are being read.</p>}
      <p className="note">Over seconds since the first attempt. CPU time is spread over each attempt; memory adds the peaks of what ran at a time.</p>
      <Section title="By step">
        <Sums rows={steps} first="Step" link={(step) => runPage(at.project, name, "tasks", { step })} />
      </Section>
      <Section title="By worker">
        <Sums rows={workers.slice(0, 200)} first="Worker" span={span} />
      </Section>
    </>
  );
}

function Value({ title, text }: { title: string; text: string }) {
  return (
    <div>
      <dt>{title}</dt>
      <dd className="num">{text}</dd>
    </div>
  );
}

function Sums({ rows, first, link, span }: { rows: readonly Sum[]; first: string; link?: (name: string) => string; span?: number }) {
  return (
    <div className="scroll-x measured" tabIndex={0} role="group" aria-label={`Use by ${first.toLowerCase()}`}>
      <table className="plain-table">
        <thead>
          <tr>
            <th scope="col">{first}</th>
            <th scope="col" className="right">Attempts</th>
            <th scope="col" className="right">Time</th>
            <th scope="col" className="right">CPU</th>
            <th scope="col" className="right">{span ? "Busy" : "CPU of time"}</th>
            <th scope="col" className="right">Largest memory</th>
            <th scope="col" className="right">Came to nothing</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one) => (
            <tr key={one.name}>
              <td>{link ? <Link href={link(one.name)}>{one.name}</Link> : one.name}</td>
              <td className="right num">{count(one.attempts)}</td>
              <td className="right num">{duration(one.seconds)}</td>
              <td className="right num">{duration(one.cpu)}</td>
              <td className="right num">{Math.round((100 * (span ? one.seconds : one.cpu)) / Math.max(1e-6, span ?? one.seconds))}%</td>
              <td className="right num">{one.peak ? bytes(one.peak) : ""}</td>
              <td className="right num">{one.wasted ? `${count(one.wasted)}, ${duration(one.wastedSeconds)}` : ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
