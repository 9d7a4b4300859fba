/** The run by steps: how far each is, what data went where, how often a loop turned. */
import { useEffect, useMemo, useRef, useState } from "react";
import { RUN, useGet, type Schemas } from "../../../api/client";
import { count, duration } from "../../../lib/format";
import { useNarrow } from "../../../lib/media";
import { useSize } from "../../../lib/size";
import { useParam } from "../../../lib/url";
import { Empty, Problem, Shown } from "../../../parts/Bits";
import { hueOf, withReused } from "../../../parts/State";
import { usePanZoom } from "../../../parts/usePanZoom";
import { useRun } from "../useRun";
import { layout, pathOf, type Placed } from "./layout";
import { StepPanel } from "./StepPanel";

type GraphView = Schemas["GraphView"];
type StepView = Schemas["StepView"];

const HEIGHT = 62;

export default function Graph() {
  const { at } = useRun();
  const query = useGet(`${RUN}/graph` as const, { ...at });
  return (
    <Shown query={query}>
      {(graph) =>
        graph.steps.length === 0 ? (
          <Empty title="No step has been called">A node appears here for each step, and an edge where data goes from one to the next.</Empty>
        ) : (
          <Drawing graph={graph} />
        )
      }
    </Shown>
  );
}

function widthOf(step: StepView, longest: number): number {
  const share = longest > 0 ? (step.duration ?? 0) / longest : 0;
  return Math.round(Math.max(150, Math.min(300, step.step.length * 7.4 + 70)) + share * 60);
}

function Drawing({ graph }: { graph: GraphView }) {
  const narrow = useNarrow();
  const [chosen, setChosen] = useParam("step");
  const [frame, size] = useSize<HTMLDivElement>();
  const svg = useRef<SVGSVGElement>(null);
  const [view, setView, drag] = usePanZoom(svg, { x: 0, y: 0, zoom: 1 });
  const [placed, setPlaced] = useState<Placed | null>(null);
  const [failed, setFailed] = useState<Error | null>(null);
  const fitted = useRef(false);
  // Steps and edges alone decide where things stand: counts that change live move nothing.
  const shape = useMemo(
    () => JSON.stringify([graph.steps.map((one) => one.step), graph.edges.map((one) => [one.parent, one.child])]),
    [graph],
  );
  useEffect(() => {
    let stale = false;
    const longest = Math.max(...graph.steps.map((one) => one.duration ?? 0), 0);
    const known = new Set(graph.steps.map((one) => one.step));
    const boxes = graph.steps.map((one) => ({ id: one.step, width: widthOf(one, longest), height: HEIGHT }));
    const lines = graph.edges
      .filter((one) => one.parent !== one.child && known.has(one.parent) && known.has(one.child))
      .map((one) => ({ id: `${one.parent}\n${one.child}`, from: one.parent, to: one.child }));
    layout(boxes, lines, narrow).then(
      (found) => !stale && setPlaced(found),
      (error: unknown) => !stale && setFailed(error instanceof Error ? error : new Error(String(error))),
    );
    return () => {
      stale = true;
    };
  }, [shape, narrow]);

  const fit = () => {
    if (!placed || size.width === 0) return;
    const zoom = Math.min(1, size.width / (placed.width + 16), size.height / (placed.height + 16));
    setView({ zoom, x: Math.max(8, (size.width - placed.width * zoom) / 2), y: Math.max(8, Math.min(40, (size.height - placed.height * zoom) / 2)) });
  };
  useEffect(() => {
    if (placed && size.width > 0 && !fitted.current) {
      fitted.current = true;
      fit();
    }
  }, [placed, size.width]);
  useEffect(() => {
    fitted.current = false;
  }, [narrow]);

  if (failed) return <Problem error={failed} />;
  const most = Math.max(...graph.edges.map((one) => one.count), 1);
  const loops = new Map(graph.edges.filter((one) => one.parent === one.child).map((one) => [one.child, one.count]));
  return (
    <div className="graph">
      <div className="graph-frame" ref={frame}>
        <svg ref={svg} className="graph-svg" onPointerDown={drag} role="group" aria-label="Graph of the steps">
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto">
              <path d="M0 0.500 8 4 0 7.500z" className="graph-arrow" />
            </marker>
          </defs>
          {placed && (
            <g transform={`translate(${view.x} ${view.y}) scale(${view.zoom})`}>
              {graph.edges.map((edge) => {
                const points = placed.lines.get(`${edge.parent}\n${edge.child}`);
                if (!points) return null;
                const near = chosen === edge.parent || chosen === edge.child;
                return (
                  <path
                    key={`${edge.parent}\n${edge.child}`}
                    className={near ? "graph-edge near" : "graph-edge"}
                    d={pathOf(points)}
                    strokeWidth={1 + 3 * (Math.log1p(edge.count) / Math.log1p(most)) * (most > 1 ? 1 : 0.2)}
                    markerEnd="url(#arrow)"
                  >
                    <title>{`${count(edge.count)} from ${edge.parent} to ${edge.child}`}</title>
                  </path>
                );
              })}
              {graph.steps.map((step) => {
                const box = placed.boxes.get(step.step);
                return box ? (
                  <Node key={step.step} step={step} box={box} turns={loops.get(step.step) ?? 0} chosen={step.step === chosen} choose={() => setChosen(step.step === chosen ? "" : step.step)} />
                ) : null;
              })}
            </g>
          )}
        </svg>
        <div className="graph-tools">
          <button type="button" className="button" onClick={fit}>
            Fit
          </button>
        </div>
      </div>
      {chosen && graph.steps.some((one) => one.step === chosen) && (
        <StepPanel step={graph.steps.find((one) => one.step === chosen) as StepView} turns={loops.get(chosen) ?? 0} close={() => setChosen("")} />
      )}
    </div>
  );
}

interface NodeProps {
  step: StepView;
  box: { x: number; y: number; width: number; height: number };
  turns: number;
  chosen: boolean;
  choose: () => void;
}

function Node({ step, box, turns, chosen, choose }: NodeProps) {
  const inner = box.width - 24;
  const counts: Record<string, number> = withReused(step.counts, step.reused);
  const order = ["succeeded", "cached", "failed", "cancelled", "lost", "running", "delayed", "ready", "waiting"];
  const total = Math.max(1, step.total);
  let x = 12;
  const failed = (step.counts["failed"] ?? 0) > 0;
  const running = (step.counts["running"] ?? 0) > 0;
  const words = order.filter((state) => step.counts[state]).map((state) => `${count(step.counts[state] ?? 0)} ${state}`);
  const label = `${step.step}${step.title ? ` (${step.title})` : ""}: ${words.join(", ") || "no tasks"}${turns ? `, a loop of ${turns + 1} turns` : ""}`;
  const mostLetters = Math.floor((box.width - 24 - (turns || step.total > 1 ? 44 : 0)) / 7.1);
  const name = step.step.length > mostLetters ? `${step.step.slice(0, mostLetters - 1)}…` : step.step;
  return (
    <g
      className={`graph-node${chosen ? " chosen" : ""}${failed ? " failed" : running ? " running" : ""}`}
      transform={`translate(${box.x} ${box.y})`}
      role="button"
      tabIndex={0}
      aria-pressed={chosen}
      aria-label={label}
      onClick={choose}
      onKeyDown={(event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          choose();
        }
      }}
    >
      <title>{label}</title>
      {step.total > 1 && !turns && <rect className="graph-behind" x="4" y="-4" width={box.width - 4} height={box.height} rx="6" />}
      <rect className="graph-box" width={box.width} height={box.height} rx="6" />
      <text className="graph-name" x="12" y="21">
        {name}
      </text>
      {(turns > 0 || step.total > 1) && (
        <text className="graph-badge" x={box.width - 12} y="21" textAnchor="end">
          {turns > 0 ? "↻" : ""}×{count(step.total)}
        </text>
      )}
      <rect className="statebar-rest" x="12" y="31" width={inner} height="5" rx="1" />
      {order.map((state) => {
        const width = (inner * (counts[state] ?? 0)) / total;
        const from = x;
        x += width;
        return width > 0 ? <rect key={state} className={`f-${hueOf(state)}${["waiting", "ready", "delayed"].includes(state) ? " faint" : ""}`} x={from} y="31" width={width} height="5" /> : null;
      })}
      <text className="graph-small" x="12" y="52">
        {count(step.done)}/{count(step.total)}
        {step.counts["failed"] ? ` · ${count(step.counts["failed"])} failed` : ""}
        {step.reused ? ` · ${count(step.reused)} reused` : ""}
      </text>
      <text className="graph-small" x={box.width - 12} y="52" textAnchor="end">
        {duration(step.duration)}
      </text>
    </g>
  );
}
