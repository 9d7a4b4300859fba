/** Where the data of a task came from and went, as a graph. Results taken over from another run lead on into that run. */
import { useQueries } from "@tanstack/react-query";
import { useMemo } from "react";
import { useLocation } from "wouter";
import { get, RUN, type ApiError, type Schemas } from "../api/client";
import { count, plural } from "../lib/format";
import { useNarrow } from "../lib/media";
import { runPage, taskPage } from "../lib/url";
import { Loading, Problem } from "./Bits";
import { Drawing, type DrawnLine, type Place } from "./Drawing";
import { StateMark } from "./State";

type Node = Schemas["TaskNode"];

interface Props {
  project: string;
  /** Full name: `train/42/fit/3`. */
  task: string;
  /** Tasks of other runs whose own lineage is shown too. */
  open: readonly string[];
  onOpen: (tasks: readonly string[]) => void;
}

const PATH = `${RUN}/tasks/{step}/{task}/lineage` as const;
/** Tasks of one step at one distance are one box when there are more. */
const MOST = 8;
const HEIGHT = 46;

export function partsOfTask(name: string): { flow: string; number: number; run: string; step: string; task: string } {
  const parts = name.split("/");
  return { flow: parts[0] ?? "", number: Number(parts[1]), run: parts.slice(0, 2).join("/"), step: parts.slice(2, -1).join("/") || "-", task: parts.at(-1) ?? "" };
}

interface Shown {
  id: string;
  label: string;
  /** Where it leads. */
  href: string;
  run: string;
  state: string;
  tasks: number;
  self: boolean;
  /** Tasks of other runs that can be looked into. */
  taken: string;
}

export function LineageGraph({ project, task, open, onOpen }: Props) {
  const narrow = useNarrow();
  const [, navigate] = useLocation();
  const answers = useQueries({
    queries: [task, ...open].map((name) => ({
      queryKey: [PATH, project, name],
      queryFn: ({ signal }: { signal: AbortSignal }) => {
        const { flow, number, step, task } = partsOfTask(name);
        return get(PATH, { project, flow, number, step, task, limit: 400 }, signal);
      },
    })),
  });
  const found = answers.map((one) => one.data as Schemas["Lineage"] | undefined);
  const key = found.map((one) => one?.nodes.length ?? -1).join(" ");
  const { shown, lines, more } = useMemo(() => merged(project, task, found.filter((one) => one !== undefined)), [project, task, key]);
  const boxes = useMemo(() => shown.map((one) => ({ id: one.id, width: Math.min(280, Math.max(110, one.label.length * 7.2 + 44, one.taken.length * 6.2 + 44)), height: HEIGHT })), [shown]);
  const byId = useMemo(() => new Map(shown.map((one) => [one.id, one])), [shown]);
  const failed = answers.find((one) => one.error);
  if (failed && !found[0]) return <Problem error={failed.error as ApiError} retry={() => void failed.refetch()} />;
  if (!found[0]) return <Loading rows={4} />;
  const go = (id: string) => {
    const one = byId.get(id);
    if (one) navigate(one.href);
  };
  const self = partsOfTask(task).run;
  return (
    <>
      <Drawing
        label="Lineage of the task"
        boxes={boxes}
        lines={lines}
        down={narrow}
        chosen={task}
        onChoose={go}
        node={(id, place) => {
          const one = byId.get(id);
          return one ? <TaskBox one={one} place={place} own={one.run === self} opened={open.includes(one.taken)} go={() => go(id)} look={() => onOpen([...open, one.taken])} /> : null;
        }}
        paint={() => undefined}
      />
      {more && <p className="note">There are more tasks than these, which are the nearest.</p>}
    </>
  );
}

function TaskBox({ one, place, own, opened, go, look }: { one: Shown; place: Place; own: boolean; opened: boolean; go: () => void; look: () => void }) {
  const act = (run: () => void) => ({
    onClick: run,
    onKeyDown: (event: React.KeyboardEvent) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      run();
    },
  });
  const second = one.taken ? (opened ? one.taken : "") : own ? (one.tasks > 1 ? plural(one.tasks, "task") : one.state) : `of ${one.run}`;
  return (
    <>
      <g className={`graph-node${one.self ? " chosen" : ""}${own ? "" : " foreign"}`} role="link" tabIndex={0} aria-label={`${one.label}, ${one.state}${own ? "" : `, of ${one.run}`}`} {...act(go)}>
        <title>{one.taken ? `${one.label}: its result is that of ${one.taken}` : one.label}</title>
        <rect className="graph-box" width={place.width} height={place.height} rx="6" />
        <svg x="10" y="10">
          <StateMark state={one.state} />
        </svg>
        <text className="graph-name" x="28" y="20">
          {one.label.length > 33 ? `${one.label.slice(0, 32)}…` : one.label}
        </text>
        <text className="graph-small" x="28" y="37">
          {second.slice(0, 38)}
        </text>
      </g>
      {one.taken && !opened && (
        <g className="graph-more" role="button" tabIndex={0} aria-label={`Show where ${one.taken} has its data from`} {...act(look)}>
          <text className="graph-link" x="28" y="37">
            from {one.taken.split("/").slice(0, 2).join("/")} +
          </text>
        </g>
      )}
    </>
  );
}

/** The lineages of several tasks as one graph; many tasks of a step at the same distance are one box. */
function merged(project: string, task: string, found: readonly Schemas["Lineage"][]): { shown: Shown[]; lines: DrawnLine[]; more: boolean } {
  const nodes = new Map<string, Node>();
  for (const one of found) for (const node of one.nodes) if (!nodes.has(node.task)) nodes.set(node.task, node);
  const groups = new Map<string, Node[]>();
  for (const node of nodes.values()) {
    const key = `${partsOfTask(node.task).run} ${node.step} ${node.distance} ${node.state} ${node.reused_from ? "taken" : ""}`;
    groups.set(key, [...(groups.get(key) ?? []), node]);
  }
  const boxOf = new Map<string, string>();
  const shown: Shown[] = [];
  for (const [key, members] of groups) {
    const { run } = partsOfTask(members[0]?.task ?? "");
    if (members.length <= MOST || members.some((one) => one.task === task)) {
      for (const node of members) {
        const parts = partsOfTask(node.task);
        boxOf.set(node.task, node.task);
        const label = `${parts.step}/${parts.task}`;
        shown.push({ id: node.task, label, href: taskPage(project, run, parts.step, parts.task), run, state: node.reused_from ? "cached" : node.state, tasks: 1, self: node.task === task, taken: node.reused_from });
      }
      continue;
    }
    const step = members[0]?.step ?? "";
    for (const node of members) boxOf.set(node.task, key);
    shown.push({ id: key, label: `${step} ×${count(members.length)}`, href: runPage(project, run, "tasks", { step }), run, state: members[0]?.reused_from ? "cached" : (members[0]?.state ?? ""), tasks: members.length, self: false, taken: "" });
  }
  const lines = new Map<string, DrawnLine>();
  const draw = (parent: string, child: string, dashed: boolean) => {
    const [from, to] = [boxOf.get(parent), boxOf.get(child)];
    if (from === undefined || to === undefined || from === to) return;
    lines.set(`${from}\n${to}`, { id: `${from}\n${to}`, from, to, dashed, title: dashed ? "taken over" : `from ${parent} to ${child}` });
  };
  for (const one of found) for (const edge of one.edges) draw(edge.parent, edge.child, false);
  for (const node of nodes.values()) if (node.reused_from) draw(node.reused_from, node.task, true);
  return { shown, lines: [...lines.values()], more: found.some((one) => one.more) };
}
