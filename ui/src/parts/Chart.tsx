/** A chart of lines: uPlot, in the colours of the theme; what the pointer is over is told beside it. */
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { colour, useTheme } from "../lib/colours";
import { metric } from "../lib/format";
import { useSize } from "../lib/size";

export interface Line {
  name: string;
  hue: string;
  x: readonly number[];
  y: readonly (number | null)[];
  low?: readonly number[] | null | undefined;
  high?: readonly number[] | null | undefined;
  faint?: boolean;
}

interface Props {
  lines: readonly Line[];
  log: boolean;
  time: boolean;
  smooth: number;
  height: number;
  label: string;
  zoom: [number, number] | null;
  onZoom: (zoom: [number, number] | null) => void;
  /** How values are written, and those of x where they are not times. */
  show?: (value: number) => string;
  showX?: (value: number) => string;
  /** Of what the numbers on the axis are multiples: 2 ** 20, where it counts MiB. */
  step?: number;
  /** Distances that ticks of x may have. */
  stepsX?: readonly number[];
  /** Whether the axis of the values begins at 0. */
  zero?: boolean;
}

const MULTIPLES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** Exponential smoothing that begins without a lag; 0: none. */
export function smoothed(values: readonly (number | null)[], weight: number): (number | null)[] {
  if (weight <= 0) return [...values];
  let [last, seen] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    last = last * weight + (1 - weight) * value;
    seen += 1;
    return last / (1 - weight ** seen);
  });
}

/** All lines on one axis of x, as uPlot takes them. */
export function aligned(lines: readonly Line[], smooth: number, log: boolean): uPlot.AlignedData {
  const tables: uPlot.AlignedData[] = [];
  for (const line of lines) {
    const clean = (values: readonly (number | null)[]) => values.map((one) => (one !== null && (!log || one > 0) ? one : null));
    const columns: (number | null)[][] = [clean(smoothed(line.y, smooth))];
    if (line.low && line.high) columns.push(clean(line.low), clean(line.high));
    tables.push([[...line.x], ...columns] as uPlot.AlignedData);
  }
  const first = tables[0];
  if (!first) return [[]];
  return tables.length === 1 ? first : uPlot.join(tables);
}

export function Chart(props: Props) {
  const { lines, log, time, smooth, height, zoom, onZoom, show = metric, showX, step, stepsX, zero } = props;
  const [frame, size] = useSize<HTMLDivElement>();
  const theme = useTheme();
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const data = useMemo(() => aligned(lines, smooth, log), [lines, smooth, log]);
  const shape = lines.map((line) => `${line.name}\n${line.hue}\n${Boolean(line.low)}`).join("\n");
  const zoomed = useRef({ zoom, onZoom });
  zoomed.current = { zoom, onZoom };

  useEffect(() => {
    const element = frame.current;
    if (!element || size.width === 0) return;
    const series: uPlot.Series[] = [{}];
    const bands: uPlot.Band[] = [];
    for (const line of lines) {
      const stroke = colour(line.hue);
      const few = line.x.length <= 60;
      series.push({ stroke, width: line.faint ? 1 : 1.6, alpha: line.faint ? 0.5 : 1, points: { show: few, size: 5, fill: stroke }, spanGaps: true });
      if (line.low && line.high) {
        const place = series.length;
        series.push({ stroke: "transparent", width: 0, points: { show: false }, spanGaps: true });
        series.push({ stroke: "transparent", width: 0, points: { show: false }, spanGaps: true });
        bands.push({ series: [place + 1, place], fill: stroke.replace(/\)$/, " / 0.18)").replace(/^rgb\(([^)]*?)( \/ 0\.18)\)$/, (_, rgb: string) => `rgb(${rgb.replaceAll(",", " ")} / 0.18)`) });
      }
    }
    const axis = (more: uPlot.Axis): uPlot.Axis => ({
      stroke: colour("--text-3"),
      font: "12px Inter, system-ui, sans-serif",
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1, size: 4 },
      ...more,
    });
    const options: uPlot.Options = {
      width: size.width,
      height,
      series,
      bands,
      legend: { show: false },
      scales: { x: { time }, y: { distr: log ? 3 : 1, ...(zero ? { range: (_: uPlot, __: number, most: number): [number, number] => [0, most * 1.05 || 1] } : {}) } },
      axes: [
        axis({ size: 26, space: 64, ...(showX ? { values: (_: uPlot, ticks: number[]) => ticks.map(showX) } : {}), ...(stepsX ? { incrs: [...stepsX] } : {}) }),
        axis({
          size: show === metric ? 58 : 72,
          values: (_, ticks) => ticks.map((one) => (one === null ? "" : show(one))),
          ...(step ? { incrs: MULTIPLES.map((one) => one * step) } : {}),
        }),
      ],
      cursor: { points: { size: 6 }, drag: { x: true, y: false }, y: false },
      hooks: {
        setCursor: [(chart) => setAt(chart.cursor.idx ?? null)],
        setSelect: [
          (chart) => {
            if (chart.select.width < 4) return;
            zoomed.current.onZoom([chart.posToVal(chart.select.left, "x"), chart.posToVal(chart.select.left + chart.select.width, "x")]);
            chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
      },
    };
    const made = new uPlot(options, data, element);
    plot.current = made;
    made.over.ondblclick = () => zoomed.current.onZoom(null);
    if (zoomed.current.zoom) made.setScale("x", { min: zoomed.current.zoom[0], max: zoomed.current.zoom[1] });
    return () => {
      made.destroy();
      plot.current = null;
    };
  }, [shape, log, time, theme, size.width, height]);

  useEffect(() => {
    const chart = plot.current;
    if (!chart) return;
    chart.setData(data, !zoom);
    if (zoom) chart.setScale("x", { min: zoom[0], max: zoom[1] });
  }, [data, zoom?.[0], zoom?.[1]]);

  return (
    <div className="chart">
      <div className="chart-frame" ref={frame} style={{ height }} role="img" aria-label={props.label} />
      <Values lines={lines} data={data} at={at} time={time} show={show} showX={showX ?? metric} />
    </div>
  );
}

interface ValuesProps {
  lines: readonly Line[];
  data: uPlot.AlignedData;
  at: number | null;
  time: boolean;
  show: (value: number) => string;
  showX: (value: number) => string;
}

/** The values of all lines where the pointer is, else their last ones. */
function Values({ lines, data, at, time, show, showX }: ValuesProps) {
  const xs = data[0] as readonly number[];
  const index = at ?? xs.length - 1;
  const x = xs[index];
  let place = 1;
  const rows = lines.map((line) => {
    const column = data[place] as readonly (number | null | undefined)[] | undefined;
    place += line.low && line.high ? 3 : 1;
    let value: number | null | undefined = column?.[index];
    for (let back = index; (value === null || value === undefined) && back >= 0 && index - back < 5000; back -= 1) value = column?.[back];
    return { line, value };
  });
  const many = rows.length > 10;
  if (at !== null) rows.sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
  return (
    <ul className="legend chart-values">
      <li className="quiet num">{x === undefined ? "" : at === null ? "last" : time ? new Date(x * 1000).toLocaleTimeString() : `at ${showX(x)}`}</li>
      {rows.slice(0, many ? 8 : 10).map(({ line, value }) => (
        <li key={line.name} title={line.name}>
          <svg width="10" height="10" aria-hidden="true">
            <rect y="3" width="10" height="4" rx="1" fill={`var(${line.hue})`} />
          </svg>
          <span className="cut">{line.name}</span> <span className="num">{value === null || value === undefined ? "" : show(value)}</span>
        </li>
      ))}
      {many && <li className="quiet">and {rows.length - 8} more</li>}
    </ul>
  );
}
