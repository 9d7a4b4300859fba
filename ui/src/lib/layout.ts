/** Where the nodes of a graph stand: by elk, in a worker, loaded when a graph is first looked at. */
import type { ELK, ElkNode } from "elkjs/lib/elk-api";
import workerUrl from "elkjs/lib/elk-worker.min.js?url";

export interface Box {
  id: string;
  width: number;
  height: number;
}

export interface Line {
  id: string;
  from: string;
  to: string;
}

export interface Placed {
  /** Whether the bends of lines are those of curves. */
  curved: boolean;
  width: number;
  height: number;
  boxes: Map<string, { x: number; y: number; width: number; height: number }>;
  lines: Map<string, { x: number; y: number }[]>;
}

/** What a thousand boxes take two seconds with instead of twenty. */
const QUICK = {
  "elk.layered.layering.strategy": "LONGEST_PATH",
  "elk.layered.nodePlacement.strategy": "SIMPLE",
  "elk.layered.crossingMinimization.greedySwitch.type": "OFF",
  "elk.layered.thoroughness": "1",
};

let elk: Promise<ELK> | null = null;

/** `quick`: straight lines and plainer placing, for graphs of thousands. */
export async function layout(boxes: readonly Box[], lines: readonly Line[], down: boolean, quick = false): Promise<Placed> {
  elk ??= import("elkjs/lib/elk-api.js").then(({ default: Made }) => new Made({ workerUrl }));
  const graph: ElkNode = {
    id: "root",
    layoutOptions: {
      "elk.algorithm": "layered",
      "elk.direction": down ? "DOWN" : "RIGHT",
      "elk.spacing.nodeNode": "28",
      "elk.layered.spacing.nodeNodeBetweenLayers": "56",
      "elk.separateConnectedComponents": "false",
      "elk.edgeRouting": quick ? "POLYLINE" : "SPLINES",
      ...(quick ? QUICK : { "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES" }),
      "elk.padding": "[top=12,left=12,bottom=12,right=12]",
    },
    children: boxes.map((one) => ({ ...one })),
    edges: lines.map((one) => ({ id: one.id, sources: [one.from], targets: [one.to] })),
  };
  const done = await (await elk).layout(graph);
  const placed: Placed = { curved: !quick, width: done.width ?? 0, height: done.height ?? 0, boxes: new Map(), lines: new Map() };
  for (const node of done.children ?? []) {
    placed.boxes.set(node.id, { x: node.x ?? 0, y: node.y ?? 0, width: node.width ?? 0, height: node.height ?? 0 });
  }
  for (const edge of done.edges ?? []) {
    const section = edge.sections?.[0];
    if (section) placed.lines.set(edge.id, [section.startPoint, ...(section.bendPoints ?? []), section.endPoint]);
  }
  return placed;
}

/** A path along points: the bends of a spline come in threes, as Bézier curves take them. */
export function pathOf(points: readonly { x: number; y: number }[], curved: boolean): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${first.x} ${first.y}`;
  if (curved && rest.length % 3 === 0) {
    for (let index = 0; index < rest.length; index += 3) {
      const three = rest.slice(index, index + 3);
      path += `C${three.map((one) => `${one.x} ${one.y}`).join(" ")}`;
    }
    return path;
  }
  return path + rest.map((one) => `L${one.x} ${one.y}`).join("");
}
