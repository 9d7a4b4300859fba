import { useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { RUN, useGet, type Schemas } from "../../../api/client";
import { huesFor } from "../../../lib/colours";
import { count, metric, plural } from "../../../lib/format";
import { useChangeQuery, useParam } from "../../../lib/url";
import { Chart, type Line } from "../../../parts/Chart";
import { Empty, Loading, Problem } from "../../../parts/Bits";
import { Menu, MenuAction } from "../../../parts/Menu";
import { useRun } from "../useRun";

const AXES = { step: "Step", time: "Time", relative: "Seconds since the start" } as const;
type Axis = keyof typeof AXES;
const SMOOTH = ["0", "0.6", "0.9", "0.97"];

export default function Metrics() {
  const { view, live } = useRun();
  const change = useChangeQuery();
  const [filter, setFilter] = useParam("q");
  const [only] = useParam("m");
  const [axis] = useParam("x", "step");
  const [log] = useParam("log");
  const [smooth] = useParam("smooth", "0");
  const [band] = useParam("band");
  const typed = useDeferredValue(filter.toLowerCase());
  const shown = view.metrics.filter((one) => (only ? one.name === only : one.name.toLowerCase().includes(typed)));
  // A chart of one point says less than its number.
  const single = shown.filter((one) => one.count === 1);
  const drawn = shown.filter((one) => one.count !== 1);
  if (view.metrics.length === 0) {
    return (
      <Empty title={live ? "No metric yet" : "This run logged no metric"} command={'headrace.log_metric("loss", loss, step=i)'}>
        In a step or the flow:
      </Empty>
    );
  }
  return (
    <>
      <div className="toolbar">
        <input data-search className="field grow" type="search" aria-label="Filter metrics" placeholder="Metrics by name  ( / )" value={only || filter} onChange={(event) => { change({ m: null }); setFilter(event.target.value); }} />
        <Menu label="Axis" button={AXES[axis as Axis] ?? "Step"}>
          {(Object.keys(AXES) as Axis[]).map((one) => (
            <MenuAction key={one} onSelect={() => change({ x: one === "step" ? null : one, zoom: null })}>
              {AXES[one]}
            </MenuAction>
          ))}
        </Menu>
        <button type="button" className="button" aria-pressed={log === "1"} onClick={() => change({ log: log ? null : "1" })}>
          Log scale
        </button>
        <button type="button" className="button" aria-pressed={band === "1"} onClick={() => change({ band: band ? null : "1" })} title="Least, mean and greatest value instead of single points">
          Bands
        </button>
        <span className="segments" role="group" aria-label="Smoothing">
          {SMOOTH.map((one) => (
            <button key={one} type="button" className="button" aria-pressed={smooth === one} onClick={() => change({ smooth: one === "0" ? null : one })}>
              {one === "0" ? "Raw" : one}
            </button>
          ))}
        </span>
      </div>
      {shown.length === 0 && <Empty title="No metric has this name" />}
      {single.length > 0 && (
        <dl className="values">
          {single.map((one) => (
            <div key={one.name}>
              <dt className="cut" title={one.name}>{one.name}</dt>
              <dd className="num">{metric(one.last)}</dd>
            </div>
          ))}
        </dl>
      )}
      <div className={drawn.length === 1 ? "charts one" : "charts"}>
        {drawn.map((one) => (
          <OneMetric key={one.name} summary={one} axis={axis as Axis} log={log === "1"} smooth={Number(smooth)} band={band === "1"} height={drawn.length === 1 ? 420 : 220} />
        ))}
      </div>
    </>
  );
}

interface OneProps {
  summary: Schemas["MetricView"];
  axis: Axis;
  log: boolean;
  smooth: number;
  band: boolean;
  height: number;
}

/** A chart is asked for when it comes into sight. */
function OneMetric(props: OneProps) {
  const ref = useRef<HTMLElement>(null);
  const [seen, setSeen] = useState(false);
  const change = useChangeQuery();
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new IntersectionObserver(([entry]) => entry?.isIntersecting && setSeen(true), { rootMargin: "300px" });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const { summary } = props;
  return (
    <figure className="metric" ref={ref}>
      <figcaption>
        <button type="button" className="metric-name" onClick={() => change({ m: summary.name })}>
          {summary.name}
        </button>
        <span className="num strong">{metric(summary.last)}</span>
        <span className="quiet num">
          {metric(summary.min)} to {metric(summary.max)} · {plural(summary.count, "point")}
        </span>
      </figcaption>
      {seen ? <Plotted {...props} /> : <div className="chart-place" style={{ height: props.height }} />}
    </figure>
  );
}

function Plotted({ summary, axis, log, smooth, band, height }: OneProps) {
  const { at, name } = useRun();
  const [zoomText, setZoomText] = useParam("zoom");
  const query = useGet(`${RUN}/metrics/{name}` as const, { ...at, name: summary.name, points: 1000, ...(band ? { band: true } : {}) }, { keep: true });
  const lines = useMemo<Line[]>(() => {
    const series = query.data?.series ?? [];
    const short = (task: string) => (task.startsWith(`${name}/`) ? task.slice(name.length + 1) : "flow");
    const hues = huesFor(series.map((one) => short(one.task)));
    const begin = Math.min(...series.map((one) => one.times[0] ?? Infinity));
    // Tasks that logged a single point each, such as turns of a loop, are one line.
    if (series.length > 3 && series.every((one) => one.count <= 1)) {
      const points = series.flatMap((one) => one.steps.map((step, index) => [axis === "step" ? step : axis === "time" ? (one.times[index] ?? 0) : (one.times[index] ?? 0) - begin, one.values[index] ?? 0] as const)).sort((a, b) => a[0] - b[0]);
      const same = new Set(points.map(([x]) => x)).size < points.length;
      return [{ name: `${series.length} tasks`, hue: "--c1", x: same ? points.map((_, index) => index) : points.map(([x]) => x), y: points.map(([, y]) => y) }];
    }
    return series.map((one) => ({
      name: short(one.task),
      hue: hues.get(short(one.task)) ?? "--c1",
      x: axis === "step" ? one.steps : axis === "time" ? one.times : one.times.map((time) => time - begin),
      y: one.values,
      low: one.low,
      high: one.high,
      faint: series.length > 12,
    }));
  }, [query.data, axis, name]);
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading rows={4} />;
  const zoom = zoomText ? (zoomText.split("~").map(Number) as [number, number]) : null;
  const gaps = query.data.series.reduce((sum, one) => sum + one.gaps, 0);
  return (
    <>
      <Chart
        lines={lines}
        log={log}
        time={axis === "time"}
        smooth={smooth}
        height={height}
        label={`${summary.name}: ${plural(lines.length, "line")}, from ${metric(summary.min)} to ${metric(summary.max)}, last ${metric(summary.last)}`}
        zoom={zoom}
        onZoom={(next) => setZoomText(next ? next.map((one) => Number(one.toPrecision(8))).join("~") : "")}
      />
      {(gaps > 0 || query.data.left_out > 0) && (
        <p className="note">
          {gaps > 0 && `${count(gaps)} points are not finite numbers. `}
          {query.data.left_out > 0 && `${count(query.data.left_out)} more tasks are not drawn.`}
        </p>
      )}
    </>
  );
}
