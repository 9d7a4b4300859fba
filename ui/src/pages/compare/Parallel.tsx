/** A line per run through all axes; dragging along an axis keeps the runs in that range. */
import { useMemo } from "react";
import { metric } from "../../lib/format";
import { useParam } from "../../lib/url";
import type { Axis } from "./ComparePage";

interface Props {
  runs: readonly string[];
  axes: readonly Axis[];
  hues: ReadonlyMap<string, string>;
}

const [H, TOP, BOTTOM] = [280, 34, 22];

export function Parallel({ runs, axes, hues }: Props) {
  const [text, setText] = useParam("brush");
  const shown = axes.slice(0, 12);
  const width = Math.max(320, shown.length * 120);
  // `axis~low~high` of each brush, as shares of the axis.
  const brushes = useMemo(() => new Map(text.split("|").filter(Boolean).map((one) => one.split("~")).map(([name, low, high]) => [name ?? "", [Number(low), Number(high)] as const])), [text]);
  const x = (index: number) => 60 + (index * (width - 120)) / Math.max(1, shown.length - 1);
  const ranges = shown.map((axis) => {
    const known = axis.values.filter((one): one is number => one !== null);
    return [Math.min(...known), Math.max(...known)] as const;
  });
  const share = (index: number, value: number) => {
    const [low, high] = ranges[index] ?? [0, 1];
    return high > low ? (value - low) / (high - low) : 0.5;
  };
  const y = (part: number) => H - BOTTOM - part * (H - TOP - BOTTOM);
  const kept = (run: number) =>
    shown.every((axis, index) => {
      const brush = brushes.get(axis.name);
      const value = axis.values[run];
      return !brush || (value !== null && value !== undefined && share(index, value) >= brush[0] - 1e-9 && share(index, value) <= brush[1] + 1e-9);
    });
  const set = (name: string, brush: readonly [number, number] | null) => {
    const next = new Map(brushes);
    if (brush) next.set(name, brush);
    else next.delete(name);
    setText([...next].map(([key, [low, high]]) => `${key}~${low.toFixed(3)}~${high.toFixed(3)}`).join("|"));
  };
  const drag = (name: string) => (event: React.PointerEvent<SVGRectElement>) => {
    const svg = event.currentTarget.ownerSVGElement;
    if (!svg) return;
    const at = (clientY: number) => {
      const box = svg.getBoundingClientRect();
      const inside = ((clientY - box.top) / box.height) * H;
      return Math.min(1, Math.max(0, (H - BOTTOM - inside) / (H - TOP - BOTTOM)));
    };
    const begin = at(event.clientY);
    const end = (up: PointerEvent) => {
      window.removeEventListener("pointerup", end);
      const there = at(up.clientY);
      set(name, Math.abs(there - begin) < 0.02 ? null : [Math.min(begin, there), Math.max(begin, there)]);
    };
    window.addEventListener("pointerup", end);
  };
  const left = runs.filter((_, index) => kept(index)).length;
  return (
    <>
      <p className="note bare">
        {brushes.size > 0 ? `${left} of ${runs.length} runs are in the ranges. ` : "Drag along an axis to keep the runs in that range. "}
        {brushes.size > 0 && (
          <button type="button" className="linkbutton" onClick={() => setText("")}>
            All runs
          </button>
        )}
      </p>
      <div className="scroll-x" tabIndex={0} role="group" aria-label="Parallel coordinates">
        <svg className="plot parallel" viewBox={`0 0 ${width} ${H}`} style={{ width }} role="img" aria-label={`${runs.length} runs by ${shown.map((one) => one.name).join(", ")}`}>
          {runs.map((run, index) => {
            const points = shown.flatMap((axis, place) => {
              const value = axis.values[index];
              return value === null || value === undefined ? [] : [`${x(place)},${y(share(place, value))}`];
            });
            return (
              <polyline key={run} className={kept(index) ? "parallel-run" : "parallel-run out"} points={points.join(" ")} stroke={`var(${hues.get(run)})`}>
                <title>{run}</title>
              </polyline>
            );
          })}
          {shown.map((axis, index) => {
            const brush = brushes.get(axis.name);
            const [low, high] = ranges[index] ?? [0, 0];
            return (
              <g key={`${axis.kind} ${axis.name}`}>
                <line className="parallel-axis" x1={x(index)} x2={x(index)} y1={TOP} y2={H - BOTTOM} />
                <text className="graph-name" x={x(index)} y="14" textAnchor="middle">
                  {axis.name.length > 15 ? `${axis.name.slice(0, 14)}…` : axis.name}
                </text>
                <text className="graph-small" x={x(index)} y="28" textAnchor="middle">
                  {metric(high)}
                </text>
                <text className="graph-small" x={x(index)} y={H - 6} textAnchor="middle">
                  {metric(low)}
                </text>
                {brush && <rect className="brush" x={x(index) - 6} width="12" y={y(brush[1])} height={Math.max(2, y(brush[0]) - y(brush[1]))} />}
                <rect className="brush-area" x={x(index) - 14} width="28" y={TOP} height={H - TOP - BOTTOM} onPointerDown={drag(axis.name)} />
              </g>
            );
          })}
        </svg>
      </div>
    </>
  );
}
