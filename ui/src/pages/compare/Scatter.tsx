import { useLocation } from "wouter";
import { metric } from "../../lib/format";
import { runPage, useChangeQuery, useParam } from "../../lib/url";
import type { Axis } from "./ComparePage";

interface Props {
  project: string;
  runs: readonly string[];
  axes: readonly Axis[];
  hues: ReadonlyMap<string, string>;
}

const [W, H, L, B] = [460, 280, 58, 34];

/** The axis on which most runs have a value. */
function fullest(axes: readonly Axis[]): Axis | undefined {
  const known = (axis: Axis) => axis.values.filter((one) => one !== null).length;
  return [...axes].sort((a, b) => known(b) - known(a))[0];
}

export function Scatter({ project, runs, axes, hues }: Props) {
  const change = useChangeQuery();
  const [, navigate] = useLocation();
  const [xName] = useParam("sx");
  const [yName] = useParam("sy");
  const idOf = (axis: Axis): string => `${axis.kind} ${axis.name}`;
  const x = axes.find((one) => idOf(one) === xName) ?? (axes[0] as Axis);
  const y = axes.find((one) => idOf(one) === yName) ?? (fullest(axes.filter((one) => one.kind === "metric" && one !== x)) ?? (axes[1] as Axis));
  const range = (axis: Axis): [number, number] => {
    const known = axis.values.filter((one): one is number => one !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const pad = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - pad, high + pad];
  };
  const [xr, yr] = [range(x), range(y)];
  const px = (value: number) => L + ((value - xr[0]) / (xr[1] - xr[0])) * (W - L - 12);
  const py = (value: number) => H - B - ((value - yr[0]) / (yr[1] - yr[0])) * (H - B - 10);
  const ticks = (r: [number, number]) => [0.1, 0.37, 0.63, 0.9].map((part) => r[0] + (r[1] - r[0]) * part);
  const choose = (label: string, now: Axis, key: "sx" | "sy") => (
    <label className="check-label">
      {label}
      <select className="field" value={idOf(now)} onChange={(event) => change({ [key]: event.target.value })}>
        {axes.map((one) => (
          <option key={idOf(one)} value={idOf(one)}>
            {one.name}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <>
      <div className="toolbar bare">
        {choose("across", x, "sx")}
        {choose("up", y, "sy")}
      </div>
      <svg className="plot" viewBox={`0 0 ${W} ${H}`} role="group" aria-label={`${y.name} by ${x.name}`}>
        {ticks(xr).map((one) => (
          <g key={one}>
            <line className="plot-line" x1={px(one)} x2={px(one)} y1="10" y2={H - B} />
            <text className="graph-small" x={px(one)} y={H - B + 16} textAnchor="middle">
              {metric(Number(one.toPrecision(3)))}
            </text>
          </g>
        ))}
        {ticks(yr).map((one) => (
          <g key={one}>
            <line className="plot-line" x1={L} x2={W - 12} y1={py(one)} y2={py(one)} />
            <text className="graph-small" x={L - 6} y={py(one) + 4} textAnchor="end">
              {metric(Number(one.toPrecision(3)))}
            </text>
          </g>
        ))}
        {runs.map((run, index) => {
          const [a, b] = [x.values[index], y.values[index]];
          if (a === null || a === undefined || b === null || b === undefined) return null;
          const label = `${run}: ${x.name} ${metric(a)}, ${y.name} ${metric(b)}`;
          return (
            <circle
              key={run}
              className="plot-dot"
              cx={px(a)}
              cy={py(b)}
              r="6"
              fill={`var(${hues.get(run)})`}
              role="link"
              tabIndex={0}
              aria-label={label}
              onClick={() => navigate(runPage(project, run))}
              onKeyDown={(event) => event.key === "Enter" && navigate(runPage(project, run))}
            >
              <title>{label}</title>
            </circle>
          );
        })}
      </svg>
    </>
  );
}
