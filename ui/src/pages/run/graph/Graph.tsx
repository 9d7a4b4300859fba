/** The run by steps: how far each is, what data went where, how often a loop turned. */
import { useCallback, useMemo } from "react";
import { RUN, useGet, type Schemas } from "../../../api/client";
import { colour } from "../../../lib/colours";
import { count, duration } from "../../../lib/format";
import { useNarrow } from "../../../lib/media";
import { useParam, useParams } from "../../../lib/url";
import { Drawing, type Place } from "../../../parts/Drawing";
import { Empty, Shown } from "../../../parts/Bits";
import { hueOf, withReused } from "../../../parts/State";
import { useRun } from "../useRun";
import { folding } from "./folding";
import { StepPanel } from "./StepPanel";

type GraphView = Schemas["GraphView"];
type StepView = Schemas["StepView"];

const HEIGHT = 62;
const ORDER = ["succeeded", "cached", "failed", "cancelled", "lost", "running", "delayed", "ready", "waiting"];

export default function Graph() {
  const { at } = useRun();
  const query = useGet(`${RUN}/graph` as const, { ...at });
  return (
    <Shown query={query}>
      {(graph) =>
        graph.steps.length === 0 ? (
          <Empty title="No step has been called">A node appears here for each step, and an edge where data goes from one to the next.</Empty>
        ) : (
          <Steps graph={graph} />
        )
      }
    </Shown>
  );
}

function widthOf(step: StepView, longest: number): number {
  const share = longest > 0 ? (step.duration ?? 0) / longest : 0;
  return Math.round(Math.max(150, Math.min(300, (step.title || step.step).length * 7.4 + 70)) + share * 60);
}

function Steps({ graph }: { graph: GraphView }) {
  const narrow = useNarrow();
  const [chosen, setChosen] = useParam("step");
  const [folds, setFolds] = useParams("fold");
  const { hidden, behind } = useMemo(() => folding(graph, folds), [graph, folds]);
  const steps = useMemo(() => new Map(graph.steps.map((one) => [one.step, one])), [graph]);
  const loops = useMemo(() => new Map(graph.edges.filter((one) => one.parent === one.child).map((one) => [one.child, one.count])), [graph]);
  const boxes = useMemo(() => {
    const longest = Math.max(...graph.steps.map((one) => one.duration ?? 0), 0);
    return graph.steps.filter((one) => !hidden.has(one.step)).map((one) => ({ id: one.step, width: widthOf(one, longest), height: HEIGHT }));
  }, [graph, hidden]);
  const lines = useMemo(() => {
    const most = Math.max(...graph.edges.map((one) => one.count), 1);
    const shown = (step: string) => steps.has(step) && !hidden.has(step);
    return graph.edges
      .filter((one) => one.parent !== one.child && shown(one.parent) && shown(one.child) && !folds.includes(one.parent))
      .map((one) => ({
        id: `${one.parent}\n${one.child}`,
        from: one.parent,
        to: one.child,
        weight: (Math.log1p(one.count) / Math.log1p(most)) * (most > 1 ? 1 : 0.2),
        title: `${count(one.count)} from ${one.parent} to ${one.child}`,
      }));
  }, [graph, steps, hidden, folds]);
  const choose = (step: string) => setChosen(step === chosen ? "" : step);
  const paint = useCallback(
    (draw: CanvasRenderingContext2D, id: string, place: Place, zoom: number) => paintStep(draw, steps.get(id) as StepView, place, zoom, id === chosen),
    [steps, chosen],
  );
  const now = steps.get(chosen);
  return (
    <div className="graph">
      <Drawing
        label="Graph of the steps"
        boxes={boxes}
        lines={lines}
        down={narrow}
        chosen={chosen}
        onChoose={choose}
        node={(id, place) => (
          <Node step={steps.get(id) as StepView} width={place.width} turns={loops.get(id) ?? 0} behind={behind.get(id) ?? 0} chosen={id === chosen} choose={() => choose(id)} />
        )}
        paint={paint}
      />
      {now && (
        <StepPanel
          step={now}
          turns={loops.get(chosen) ?? 0}
          close={() => setChosen("")}
          follows={graph.edges.some((one) => one.parent === chosen && one.child !== chosen)}
          folded={folds.includes(chosen)}
          fold={(on) => setFolds(on ? [...folds, chosen] : folds.filter((one) => one !== chosen))}
        />
      )}
    </div>
  );
}

interface NodeProps {
  step: StepView;
  width: number;
  turns: number;
  behind: number;
  chosen: boolean;
  choose: () => void;
}

function Node({ step, width, turns, behind, chosen, choose }: NodeProps) {
  const inner = width - 24;
  const counts: Record<string, number> = withReused(step.counts, step.reused);
  const total = Math.max(1, step.total);
  let x = 12;
  const failed = (step.counts["failed"] ?? 0) > 0;
  const running = (step.counts["running"] ?? 0) > 0;
  const words = ORDER.filter((state) => step.counts[state]).map((state) => `${count(step.counts[state] ?? 0)} ${state}`);
  const label = `${step.step}: ${words.join(", ") || "no tasks"}${turns ? `, a loop of ${turns + 1} turns` : ""}${behind ? `, ${behind} steps folded behind it` : ""}`;
  const mostLetters = Math.floor((width - 24 - (turns || step.total > 1 ? 44 : 0)) / 7.1);
  const called = step.title || step.step;
  const name = called.length > mostLetters ? `${called.slice(0, mostLetters - 1)}…` : called;
  return (
    <g
      className={`graph-node${chosen ? " chosen" : ""}${failed ? " failed" : running ? " running" : ""}`}
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
      {step.total > 1 && !turns && <rect className="graph-behind" x="4" y="-4" width={width - 4} height={HEIGHT} rx="6" />}
      <rect className="graph-box" width={width} height={HEIGHT} rx="6" />
      <text className="graph-name" x="12" y="21">
        {name}
      </text>
      {(turns > 0 || step.total > 1) && (
        <text className="graph-badge" x={width - 12} y="21" textAnchor="end">
          {turns > 0 ? "↻" : ""}×{count(step.total)}
        </text>
      )}
      <rect className="statebar-rest" x="12" y="31" width={inner} height="5" rx="1" />
      {ORDER.map((state) => {
        const part = (inner * (counts[state] ?? 0)) / total;
        const from = x;
        x += part;
        return part > 0 ? <rect key={state} className={`f-${hueOf(state)}${["waiting", "ready", "delayed"].includes(state) ? " faint" : ""}`} x={from} y="31" width={part} height="5" /> : null;
      })}
      <text className="graph-small" x="12" y="52">
        {behind > 0 ? `${count(behind)} more behind` : smallText(step)}
      </text>
      <text className="graph-small" x={width - 12} y="52" textAnchor="end">
        {duration(step.duration)}
      </text>
    </g>
  );
}

function smallText(step: StepView): string {
  const parts = [`${count(step.done)}/${count(step.total)}`];
  if (step.counts["failed"]) parts.push(`${count(step.counts["failed"])} failed`);
  if (step.reused) parts.push(`${count(step.reused)} reused`);
  return parts.join(" · ");
}

/** A node on a canvas: the same, less where it is too small to be read. */
function paintStep(draw: CanvasRenderingContext2D, step: StepView, place: Place, zoom: number, chosen: boolean): void {
  const { x, y, width, height } = place;
  const failed = (step.counts["failed"] ?? 0) > 0;
  draw.fillStyle = colour("--bg");
  draw.fillRect(x, y, width, height);
  draw.strokeStyle = colour(chosen ? "--accent" : failed ? "--failed" : "--line-2");
  draw.lineWidth = Math.max(chosen ? 2 : 1, 0.6 / zoom);
  draw.strokeRect(x, y, width, height);
  const counts = withReused(step.counts, step.reused);
  const [from, thick] = zoom > 0.35 ? [y + 31, 5] : [y + height / 3, height / 3];
  let at = x + 12;
  for (const state of ORDER) {
    const part = ((width - 24) * (counts[state] ?? 0)) / Math.max(1, step.total);
    if (part <= 0) continue;
    draw.fillStyle = colour(`--${hueOf(state)}`);
    draw.fillRect(at, from, part, thick);
    at += part;
  }
  if (zoom <= 0.35) return;
  draw.fillStyle = colour("--text");
  draw.font = "600 13px Inter, system-ui, sans-serif";
  draw.fillText(step.title || step.step, x + 12, y + 21, width - 24);
  draw.fillStyle = colour("--text-2");
  draw.font = "12px Inter, system-ui, sans-serif";
  draw.fillText(smallText(step), x + 12, y + 52, width - 90);
  draw.textAlign = "right";
  draw.fillText(duration(step.duration), x + width - 12, y + 52);
  draw.textAlign = "left";
}
