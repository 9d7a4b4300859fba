/** A row per worker, attempts as bars in the hue of their step; wheel zooms, dragging moves. */
import { useEffect, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import { RUN, useGet } from "../../../api/client";
import { colour, huesFor, useTheme } from "../../../lib/colours";
import { bytes, count, duration, timeOfDay } from "../../../lib/format";
import { useSize } from "../../../lib/size";
import { runPage, taskPage, useChangeQuery, useParam } from "../../../lib/url";
import { Empty, Shown } from "../../../parts/Bits";
import { PodEvents } from "../../../parts/Pod";
import { useNow } from "../../../lib/now";
import { useRun } from "../useRun";
import { longestChain, rowsOf, tickText, ticksOf, useBars, useDetail, useUsage, type Bar, type Rows, type Usage } from "./data";

const AXIS = 22;

export default function Timeline() {
  const { at, live } = useRun();
  const query = useUsage(at);
  return (
    <Shown query={query}>
      {(usage) =>
        usage.attempts === 0 ? (
          <Empty title={live ? "Nothing has run yet" : "No attempt is recorded"}>Each attempt of a task becomes a bar in the row of its worker. Tasks whose results were reused ran nowhere.</Empty>
        ) : (
          <Chart usage={usage} />
        )
      }
    </Shown>
  );
}

interface Hover {
  x: number;
  y: number;
  bar: Bar | null;
  gap: string;
}

function Chart({ usage }: { usage: Usage }) {
  const { at, name, live, view } = useRun();
  const [, navigate] = useLocation();
  const change = useChangeQuery();
  const [from] = useParam("from");
  const [to] = useParam("to");
  const theme = useTheme();
  const [frame, size] = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [hover, setHover] = useState<Hover | null>(null);
  const now = useNow(live, 1);
  const all = useBars(usage);
  const detail = useDetail(at, usage, from, to);
  const bars = useBars(detail);
  const rows = useMemo(() => rowsOf(usage, all, bars, now), [usage, all, bars, live ? now : 0]);
  const graph = useGet(`${RUN}/graph` as const, { ...at }, { enabled: !usage.merged });
  const chain = useMemo(() => {
    if (usage.merged) return new Set<Bar>();
    const parents = new Map<string, string[]>();
    for (const edge of graph.data?.edges ?? []) parents.set(edge.child, [...(parents.get(edge.child) ?? []), edge.parent]);
    return longestChain(bars, parents);
  }, [usage.merged, bars, graph.data]);
  const steps = useMemo(() => usage.steps.map((one) => one.name), [usage]);
  const hues = useMemo(() => huesFor(steps), [steps]);
  const gutter = Math.min(170, Math.max(64, size.width * 0.14));
  const rowHeight = Math.max(6, Math.min(24, Math.floor((size.height - AXIS - 8) / Math.max(1, rows.workers.length))));
  // Seconds since the start of the run's first attempt.
  const whole = Math.max(0.001, rows.end - rows.start);
  const window_ = { from: from ? Number(from) : 0, to: to ? Number(to) : whole };
  const span = Math.max(0.0005, window_.to - window_.from);
  const scale = Math.max(1, size.width - gutter - 8) / span;

  useEffect(() => {
    const element = canvas.current;
    if (!element || size.width === 0) return;
    const draw = element.getContext("2d");
    if (!draw) return;
    const ratio = window.devicePixelRatio || 1;
    const height = AXIS + rows.workers.length * rowHeight + 8;
    element.width = size.width * ratio;
    element.height = Math.max(height, size.height) * ratio;
    element.style.width = `${size.width}px`;
    element.style.height = `${Math.max(height, size.height)}px`;
    draw.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint(draw, { rows, gutter, rowHeight, width: size.width, height: Math.max(height, size.height), from: window_.from, span, scale, hues, chain, now });
  }, [rows, size, rowHeight, window_.from, window_.to, theme, hues, chain, gutter]);

  const set = (begin: number, end: number) => {
    const most = whole * 1.02;
    const width = Math.min(most, Math.max(0.001, end - begin));
    const start = Math.max(-most * 0.01, Math.min(begin, most - width));
    const all = width >= whole;
    change(all ? { from: null, to: null } : { from: round(start), to: round(start + width) });
  };
  const latest = useRef({ set, window_, scale, gutter });
  latest.current = { set, window_, scale, gutter };
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const wheel = (event: WheelEvent) => {
      const { set, window_, scale, gutter } = latest.current;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        const by = (event.deltaX || event.deltaY) / scale;
        set(window_.from + by, window_.to + by);
        return;
      }
      event.preventDefault();
      const point = window_.from + (event.offsetX - gutter) / scale;
      const factor = Math.exp(event.deltaY * 0.002);
      set(point - (point - window_.from) * factor, point + (window_.to - point) * factor);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, []);
  const moved = useRef(false);
  const drag = (event: React.PointerEvent) => {
    const begin = event.clientX;
    const before = { ...window_ };
    moved.current = false;
    const move = (next: PointerEvent) => {
      if (Math.abs(next.clientX - begin) > 3) moved.current = true;
      const by = (next.clientX - begin) / scale;
      if (moved.current) set(before.from - by, before.to - by);
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
  };
  const find = (event: React.MouseEvent<HTMLCanvasElement>): Hover => {
    const { offsetX, offsetY } = event.nativeEvent;
    const row = Math.floor((offsetY - AXIS) / rowHeight);
    const time = rows.start + window_.from + (offsetX - gutter) / scale;
    const slack = 2 / scale;
    const bar = rows.bars[row]?.find((one) => one.started - slack <= time && (one.finished ?? now) + slack >= time) ?? null;
    return { x: offsetX, y: offsetY, bar, gap: bar || !rows.bars[row] ? "" : gapOf(rows, time, now, view.run.started) };
  };
  const open = (event: React.MouseEvent<HTMLCanvasElement>) => {
    const { bar } = find(event);
    if (!bar || moved.current) return;
    // Several attempts that are one bar are told apart nearer by.
    if (bar.attempts > 1) {
      const begin = bar.started - rows.start;
      const wide = Math.max((bar.finished ?? now) - bar.started, span / 50);
      set(begin - wide, begin + 2 * wide);
    } else navigate(taskPage(at.project, name, bar.step, bar.task));
  };
  const busy = usage.workers.reduce((sum, one) => sum + one.seconds, 0);
  return (
    <>
      <div className="toolbar timeline-tools">
        <ul className="legend">
          {steps.slice(0, 16).map((step) => (
            <li key={step}>
              <svg width="10" height="10" aria-hidden="true">
                <rect width="10" height="10" rx="2" fill={`var(${hues.get(step)})`} />
              </svg>
              {step}
            </li>
          ))}
        </ul>
        <span className="bar-rest" />
        <span className="quiet num">
          {count(rows.workers.length)} {rows.workers.length === 1 ? "worker" : "workers"}, busy {Math.round((100 * busy) / Math.max(0.001, whole * rows.workers.length))}% of {duration(whole)}
        </span>
        <button type="button" className="button" disabled={!from && !to} onClick={() => change({ from: null, to: null })}>
          All
        </button>
      </div>
      <div className="timeline-frame" ref={frame}>
        <canvas
          ref={canvas}
          role="img"
          aria-label={`${count(usage.attempts)} attempts on ${count(rows.workers.length)} workers in ${duration(whole)}. The list of tasks has the same as a table.`}
          onPointerDown={drag}
          onMouseMove={(event) => setHover(find(event))}
          onMouseLeave={() => setHover(null)}
          onClick={open}
        />
        {hover && (hover.bar || hover.gap) && <Tip hover={hover} width={size.width} start={rows.start} worker={hover.bar ? (usage.workers[hover.bar.worker]?.name ?? "") : ""} />}
      </div>
      <p className="foot">
        {usage.merged ? "Attempts too short to be told apart are one bar until you zoom. " : "Outlined: the chain of attempts that ended last. "}Wheel zooms, dragging moves, a click opens the task. <a href={runPage(at.project, name, "tasks")}>The same as a table</a>
      </p>
    </>
  );
}

const round = (value: number): string => String(Math.round(value * 1e4) / 1e4);

function gapOf(rows: Rows, time: number, now: number, runStarted: number): string {
  const others = rows.bars.filter((row) => row.some((one) => one.started <= time && (one.finished ?? now) >= time)).length;
  if (time > rows.end || time < runStarted) return "";
  if (others > 0) return `This worker was idle: ${others} other${others === 1 ? " was" : "s were"} busy, and nothing else was ready or had room.`;
  return "Nothing ran on any worker: the flow function itself was at work, or waited.";
}

function Tip({ hover, width, start, worker }: { hover: Hover; width: number; start: number; worker: string }) {
  const { bar } = hover;
  const left = hover.x > width - 300;
  const took = bar && bar.finished !== null ? bar.finished - bar.started : null;
  return (
    <div className="tip" style={left ? { right: width - hover.x + 12, top: hover.y + 12 } : { left: hover.x + 12, top: hover.y + 12 }}>
      {bar ? (
        <>
          <b>{bar.attempts > 1 ? `${count(bar.attempts)} attempts of ${bar.step}` : `${bar.step}/${bar.task}`}</b>
          {bar.attempts === 1 && bar.attempt > 1 && ` attempt ${bar.attempt}`}{" "}
          <span className="quiet">{bar.attempts === 1 ? bar.state : bar.wasted > 0 ? `${count(bar.wasted)} came to nothing` : ""}</span>
          <br />
          {took === null ? "runs since" : duration(took)}
          <span className="quiet">
            {" "}
            {timeOfDay(bar.started)} (+{duration(bar.started - start)})
          </span>
          <br />
          <span className="quiet">
            {worker} {bar.peak_memory > 0 && `· ${bytes(bar.peak_memory)}`} {bar.cpu_seconds > 0 && `· CPU ${duration(bar.cpu_seconds)}`}
          </span>
          {bar.attempts === 1 && (bar.wasted > 0 || worker.includes(" ")) && <More bar={bar} />}
        </>
      ) : (
        hover.gap
      )}
    </div>
  );
}

/** Why an attempt failed, and its pod: asked for when the pointer has rested on it. */
function More({ bar }: { bar: Bar }) {
  const { at } = useRun();
  const name = `${bar.step}/${bar.task}`;
  const [rested, setRested] = useState("");
  useEffect(() => {
    const timer = window.setTimeout(() => setRested(name), 200);
    return () => window.clearTimeout(timer);
  }, [name]);
  const query = useGet(`${RUN}/tasks/{step}/{task}` as const, { ...at, step: bar.step, task: bar.task }, { enabled: rested === name });
  const attempt = query.data?.attempts.find((one) => one.attempt === bar.attempt);
  if (!attempt) return null;
  return (
    <>
      {attempt.error && <div className="s-failed">{attempt.error.slice(0, 300)}</div>}
      {attempt.pod && (
        <div>
          <span className="quiet">
            pod {attempt.pod.name}
            {attempt.pod.node && ` on ${attempt.pod.node}`}
          </span>
          <PodEvents pod={attempt.pod} last={6} />
        </div>
      )}
    </>
  );
}

interface Paint {
  rows: Rows;
  gutter: number;
  rowHeight: number;
  width: number;
  height: number;
  from: number;
  span: number;
  scale: number;
  hues: ReadonlyMap<string, string>;
  chain: ReadonlySet<Bar>;
  now: number;
}

function paint(draw: CanvasRenderingContext2D, p: Paint): void {
  draw.clearRect(0, 0, p.width, p.height);
  draw.font = "12px Inter, system-ui, sans-serif";
  draw.textBaseline = "middle";
  const tick = ticksOf(p.span, Math.max(2, (p.width - p.gutter) / 110));
  const bottom = AXIS + p.rows.workers.length * p.rowHeight + 4;
  draw.fillStyle = colour("--text-3");
  draw.strokeStyle = colour("--line");
  draw.lineWidth = 1;
  for (let at = Math.ceil(p.from / tick) * tick; at <= p.from + p.span; at += tick) {
    const x = Math.round(p.gutter + (at - p.from) * p.scale) + 0.5;
    draw.beginPath();
    draw.moveTo(x, AXIS - 4);
    draw.lineTo(x, bottom);
    draw.stroke();
    const label = Math.abs(at) < tick / 2 ? "0" : `+${tickText(at, tick)}`;
    if (x + draw.measureText(label).width < p.width) draw.fillText(label, x + 3, 9);
  }
  const thick = Math.max(3, p.rowHeight - 4);
  p.rows.bars.forEach((row, index) => {
    const y = AXIS + index * p.rowHeight + (p.rowHeight - thick) / 2;
    let drawn = -1;
    let hue = "";
    for (const bar of row) {
      const x0 = p.gutter + (bar.started - p.rows.start - p.from) * p.scale;
      const x1 = p.gutter + ((bar.finished ?? p.now) - p.rows.start - p.from) * p.scale;
      if (x1 < p.gutter || x0 > p.width) continue;
      const failed = bar.attempts > 1 ? bar.wasted > bar.attempts / 2 : bar.state === "failed" || bar.state === "lost";
      // Bars of less than a pixel beside each other look like one.
      if (x1 <= drawn && !failed && !p.chain.has(bar)) continue;
      const left = Math.max(p.gutter, x0);
      const wide = Math.max(1, Math.min(p.width, x1) - left - (x1 - x0 > 3 ? 1 : 0));
      hue = p.hues.get(bar.step) ?? "--c1";
      draw.globalAlpha = bar.state === "running" ? 0.55 : bar.state === "cancelled" ? 0.35 : 0.9;
      draw.fillStyle = colour(failed ? "--failed" : hue);
      draw.fillRect(left, y, wide, thick);
      draw.globalAlpha = 1;
      if (p.chain.has(bar) && p.rowHeight >= 10) {
        draw.strokeStyle = colour("--text");
        draw.lineWidth = 1.5;
        draw.strokeRect(left + 0.75, y + 0.75, Math.max(1, wide - 1.5), thick - 1.5);
      }
      if (wide > 46 && thick >= 14) {
        draw.fillStyle = colour("--bg");
        draw.save();
        draw.beginPath();
        draw.rect(left, y, wide - 4, thick);
        draw.clip();
        draw.fillText(bar.attempts > 1 ? `${bar.step} × ${bar.attempts}` : `${bar.step}/${bar.task}`, left + 6, y + thick / 2 + 0.5);
        draw.restore();
      }
      drawn = left + wide;
    }
  });
  draw.fillStyle = colour("--bg");
  draw.fillRect(0, AXIS, p.gutter - 1, p.height);
  draw.fillStyle = colour("--text-2");
  if (p.rowHeight >= 10) {
    p.rows.workers.forEach((worker, index) => {
      const text = worker.length > 22 ? `…${worker.slice(-21)}` : worker;
      draw.fillText(text, 16, AXIS + index * p.rowHeight + p.rowHeight / 2, p.gutter - 22);
    });
  }
}
