/** What a run used: processes, cores and memory over time, and by step and worker. */
import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { bytes, count, duration } from "../../lib/format";
import { runPage } from "../../lib/url";
import { Chart } from "../../parts/Chart";
import { Empty, Loading, Problem, Section } from "../../parts/Bits";
import { SECONDS, useUsage } from "./timeline/data";
import { useRun } from "./useRun";

type Sum = Schemas["UsageSum"];

const short = (value: number): string => String(Number(value.toPrecision(3)));
/** The largest power of 1,024 that is not above `size`: ticks of an axis are multiples of it. */
const unitOf = (size: number): number => 1024 ** Math.max(0, Math.floor(Math.log(Math.max(1, size)) / Math.log(1024)));

export default function Resources() {
  const { at, name, view } = useRun();
  const query = useUsage(at);
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading rows={8} />;
  const { attempts, curves, steps, workers, start, end } = query.data;
  if (attempts === 0) return <Empty title="Nothing has run yet">What tasks use is known when they have ended.</Empty>;
  const all = steps.reduce(added);
  const span = Math.max(0.001, end - start);
  const chart = (title: string, y: readonly number[], hue: string, show: (value: number) => string, step = 0) => (
    <figure className="metric">
      <figcaption>
        <span className="metric-name">{title}</span>
        <span className="quiet num">at most {show(Math.max(...y))}</span>
      </figcaption>
      <Chart lines={[{ name: title, hue, x: curves.times, y }]} log={false} time={false} smooth={0} height={180} zero show={show} showX={duration} stepsX={SECONDS} {...(step ? { step } : {})} label={`${title} over ${duration(span)}`} zoom={null} onZoom={() => undefined} />
    </figure>
  );
  return (
    <>
      <dl className="values">
        <Value title="Time of tasks" text={duration(all.seconds)} />
        <Value title="CPU" text={duration(all.cpu_seconds)} />
        <Value title="Cores in use" text={(all.cpu_seconds / span).toFixed(2)} />
        <Value title="Largest memory of a task" text={all.peak_memory ? bytes(all.peak_memory) : "unknown"} />
        {all.wasted > 0 && <Value title={`${count(all.wasted)} attempts came to nothing`} text={duration(all.wasted_seconds)} />}
      </dl>
      <div className="charts three">
        {chart("Attempts at once", curves.running, "--c1", short)}
        {chart("Cores", curves.cores, "--c2", short)}
        {all.peak_memory > 0 && chart("Memory, at most", curves.memory, "--c3", bytes, unitOf(Math.max(...curves.memory)))}
      </div>
      <p className="note">Over seconds since the first attempt. CPU time is spread over each attempt; memory adds the peaks of what ran at a time.</p>
      <Section title="By step">
        <Sums rows={inOrder(steps, view.steps.map((one) => one.step))} first="Step" link={(step) => runPage(at.project, name, "tasks", { step })} />
      </Section>
      <Section title="By worker">
        <Sums rows={workers.slice(0, 200)} first="Worker" span={span} />
      </Section>
    </>
  );
}

/** As the other pages of the run have them. */
function inOrder(sums: readonly Sum[], steps: readonly string[]): Sum[] {
  return [...sums].sort((a, b) => steps.indexOf(a.name) - steps.indexOf(b.name));
}

function added(a: Sum, b: Sum): Sum {
  return {
    name: "",
    attempts: a.attempts + b.attempts,
    seconds: a.seconds + b.seconds,
    cpu_seconds: a.cpu_seconds + b.cpu_seconds,
    peak_memory: Math.max(a.peak_memory, b.peak_memory),
    wasted: a.wasted + b.wasted,
    wasted_seconds: a.wasted_seconds + b.wasted_seconds,
  };
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
              <td className="right num">{duration(one.cpu_seconds)}</td>
              <td className="right num">{Math.round((100 * (span ? one.seconds : one.cpu_seconds)) / Math.max(1e-6, span ?? one.seconds))}%</td>
              <td className="right num">{one.peak_memory ? bytes(one.peak_memory) : ""}</td>
              <td className="right num">{one.wasted ? `${count(one.wasted)}, ${duration(one.wasted_seconds)}` : ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
