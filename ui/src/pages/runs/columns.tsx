/** Columns of the list of runs: the fixed ones, and any parameter, metric or tag as one of its own. */
import { Pin } from "lucide-react";
import type { Known } from "../../lib/completion";
import { metric, plain } from "../../lib/format";
import { runPage, withQuery } from "../../lib/url";
import { Time, Took } from "../../parts/Bits";
import type { Column } from "../../parts/Grid";
import { Name, widthOf } from "../../parts/Name";
import { RowLink } from "../../parts/RowLink";
import { shownState, State, StateBar } from "../../parts/State";
import type { RunRow } from "./useRuns";

export interface Sort {
  by: string;
  down: boolean;
}

interface Wanted {
  project: string;
  /** Letters of the longest name. */
  longest: number;
  narrow: boolean;
  shown: string[];
  selected: ReadonlySet<string>;
  toggle: (name: string) => void;
  sort: Sort | null;
  setSort: (by: string) => void;
}

/** What runs have: names with some of their values, for completion and as columns. */
export function namesOf(rows: readonly RunRow[]): Known {
  const names = new Map<string, Set<string>>();
  const add = (group: string, values: Record<string, unknown>) => {
    for (const [name, value] of Object.entries(values)) {
      const key = `${group}.${name}`;
      const known = names.get(key) ?? new Set<string>();
      if (known.size < 12) known.add(group === "metrics" ? metric(value as number) : plain(value));
      names.set(key, known);
    }
  };
  for (const row of rows) {
    add("params", row.params);
    add("metrics", row.metrics);
    add("tags", row.tags);
  }
  const found = new Map([...names].sort(([a], [b]) => a.localeCompare(b)).map(([name, values]) => [name, [...values]]));
  return { names: found };
}

export function valueOf(row: RunRow, by: string): unknown {
  const dot = by.indexOf(".");
  const name = by.slice(dot + 1);
  if (by.startsWith("params.")) return row.params[name];
  if (by.startsWith("metrics.")) return row.metrics[name];
  if (by.startsWith("tags.")) return row.tags[name];
  return (row as unknown as Record<string, unknown>)[by];
}

export function columnsOf(wanted: Wanted): Column<RunRow>[] {
  const { project, narrow, shown } = wanted;
  const sortable = (by: string) => ({
    now: wanted.sort?.by === by ? (wanted.sort.down ? ("down" as const) : ("up" as const)) : null,
    change: () => wanted.setSort(by),
  });
  const select: Column<RunRow> = {
    id: "select",
    title: <span className="hidden">Selected</span>,
    width: narrow ? "36px" : "40px",
    cell: (row) => (
      <input type="checkbox" checked={wanted.selected.has(row.name)} onChange={() => wanted.toggle(row.name)} aria-label={`Select ${row.name}`} />
    ),
  };
  const name: Column<RunRow> = {
    id: "name",
    title: "Run",
    width: widthOf(wanted.longest, 200, 440),
    sort: sortable("flow"),
    cell: (row) => (
      <RowLink href={runPage(project, row.name)} className="run-name" title={row.name}>
        <Name text={row.name} />
        {row.tags["name"] && <span className="quiet"> {row.tags["name"]}</span>}
        {row.pinned && <Pin size={12} className="row-pin" aria-label="pinned" />}
      </RowLink>
    ),
  };
  const state: Column<RunRow> = {
    id: "state",
    title: "State",
    width: narrow ? "116px" : "190px",
    sort: sortable("state"),
    cell: (row) => <StateCell row={row} narrow={narrow} />,
  };
  const took: Column<RunRow> = {
    id: "duration",
    title: "Took",
    width: narrow ? "92px" : "100px",
    right: true,
    sort: sortable("duration"),
    cell: (row) => <Took seconds={row.duration} since={row.started} live={row.state === "running" && row.duration !== null} />,
  };
  if (narrow) return [select, { ...name, width: "minmax(90px, 1fr)" }, state, took, ...shown.map((by) => valueColumn(by, sortable(by)))];
  const started: Column<RunRow> = {
    id: "created",
    title: "Started",
    width: "112px",
    sort: sortable("created"),
    cell: (row) => <Time at={row.started} />,
  };
  const user: Column<RunRow> = { id: "user", title: "By", width: "90px", sort: sortable("user"), cell: (row) => <span title={`${row.user} on ${row.host}`}>{row.user}</span> };
  const rest: Column<RunRow>[] = shown.length
    ? shown.map((by) => valueColumn(by, sortable(by)))
    : [
        { id: "params", title: "Parameters", width: "minmax(140px, 1.500fr)", cell: (row) => <Pairs values={row.params} show={plain} /> },
        { id: "metrics", title: "Metrics", width: "minmax(140px, 1fr)", cell: (row) => <Pairs values={row.metrics} show={(value) => metric(value as number)} /> },
      ];
  const tags: Column<RunRow> = {
    id: "tags",
    title: "Tags",
    width: "minmax(90px, 220px)",
    cell: (row) => <Tags project={project} tags={row.tags} />,
  };
  return [select, name, state, started, took, user, ...rest, tags];
}

function valueColumn(by: string, sort: NonNullable<Column<RunRow>["sort"]>): Column<RunRow> {
  const isMetric = by.startsWith("metrics.");
  return {
    id: by,
    title: <span title={by}>{by.replace(/^(params|metrics|tags)\./, "")}</span>,
    width: "minmax(90px, 160px)",
    right: true,
    sort,
    cell: (row) => {
      const value = valueOf(row, by);
      const text = isMetric ? metric(value as number | undefined) : plain(value);
      return <span title={plain(value)}>{text}</span>;
    },
  };
}

function StateCell({ row, narrow }: { row: RunRow; narrow: boolean }) {
  const { total = 0, waiting = 0, ready = 0, delayed = 0, running = 0 } = row.queue as Record<string, number>;
  const live = row.state === "running" && total > 0;
  const done = Math.max(0, total - waiting - ready - delayed - running);
  return (
    <>
      <State state={shownState(row)} />
      {live && !narrow && (
        <span className="cell-progress">
          <StateBar counts={{ succeeded: done, running, ready, waiting, delayed }} total={total} />
        </span>
      )}
      {row.waits_for && !narrow && (
        <span className="quiet" title={row.waits_for}>
          {row.waits_for}
        </span>
      )}
      {row.state === "failed" && !narrow && (
        <span className="quiet" title={row.error}>
          {row.failed_task || row.error}
        </span>
      )}
    </>
  );
}

function Pairs({ values, show }: { values: Record<string, unknown>; show: (value: unknown) => string }) {
  const entries = Object.entries(values);
  const whole = entries.map(([name, value]) => `${name} = ${show(value)}`).join("\n");
  return (
    <span className="pairs" title={whole}>
      {entries.map(([name, value]) => (
        <span key={name} className="pair">
          <span className="pair-name">{name}</span> {show(value)}
        </span>
      ))}
    </span>
  );
}

function Tags({ project, tags }: { project: string; tags: Record<string, string> }) {
  const all = Object.entries(tags);
  const texts = all.map(([name, value]) => (value ? `${name}=${value}` : name));
  return (
    <>
      {all.slice(0, 2).map(([name, value]) => {
        const text = value ? `${name}=${value}` : name;
        return (
          <RowLink key={name} className="chip" title={text} href={withQuery(`/p/${encodeURIComponent(project)}/runs`, { tag: [text] })}>
            {text}
          </RowLink>
        );
      })}
      {all.length > 2 && <span className="quiet" title={texts.join("\n")}>+{all.length - 2}</span>}
    </>
  );
}

