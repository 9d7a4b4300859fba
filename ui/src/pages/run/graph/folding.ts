/** Which steps of a graph are out of sight because what leads to them is folded. */

interface Edges {
  steps: readonly { step: string }[];
  edges: readonly { parent: string; child: string }[];
}

export interface Folding {
  hidden: ReadonlySet<string>;
  /** How many steps are hidden behind each folded one. */
  behind: ReadonlyMap<string, number>;
}

/** What can be reached from the first steps only through `folds` is hidden. */
export function folding(graph: Edges, folds: readonly string[]): Folding {
  if (folds.length === 0) return { hidden: new Set(), behind: new Map() };
  const children = new Map<string, string[]>();
  const later = new Set<string>();
  for (const { parent, child } of graph.edges) {
    if (parent === child) continue;
    children.set(parent, [...(children.get(parent) ?? []), child]);
    later.add(child);
  }
  const reach = (from: Iterable<string>, closed: ReadonlySet<string>): Set<string> => {
    const seen = new Set(from);
    const open = [...seen];
    for (let step = open.pop(); step !== undefined; step = open.pop()) {
      if (closed.has(step)) continue;
      for (const child of children.get(step) ?? []) {
        if (!seen.has(child)) {
          seen.add(child);
          open.push(child);
        }
      }
    }
    return seen;
  };
  const first = graph.steps.map((one) => one.step).filter((one) => !later.has(one));
  const all = reach(first, new Set());
  const left = reach(first, new Set(folds));
  const hidden = new Set([...all].filter((one) => !left.has(one)));
  const behind = new Map(folds.filter((one) => !hidden.has(one)).map((one) => [one, [...reach([one], new Set())].filter((step) => hidden.has(step)).length]));
  return { hidden, behind };
}
