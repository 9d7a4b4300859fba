import { useMemo, useState } from "react";
import { useLocation } from "wouter";
import { count, duration } from "../../lib/format";
import { useShortcuts } from "../../lib/keys";
import { useNarrow } from "../../lib/media";
import { runPage, taskPage, useChangeQuery, useParam, useParams } from "../../lib/url";
import { Empty, Problem, Time, Took } from "../../parts/Bits";
import { Grid, type Column } from "../../parts/Grid";
import { Menu, MenuAction, MenuCheck } from "../../parts/Menu";
import { Name, widthOf } from "../../parts/Name";
import { RowLink } from "../../parts/RowLink";
import { State } from "../../parts/State";
import { useRun } from "./useRun";
import { useAllTasks, useTasksInStates, type TaskRow } from "./useTasks";

const STATES = ["running", "failed", "succeeded", "cancelled", "waiting", "ready", "delayed", "stale"];

export default function Tasks() {
  const { at, name, view, live } = useRun();
  const [, navigate] = useLocation();
  const narrow = useNarrow();
  const change = useChangeQuery();
  const [step] = useParam("step");
  const [states] = useParams("state");
  const [cursor, setCursor] = useState(-1);
  const some = states.length > 0;
  const all = useAllTasks(at, view.steps, step, !some, live);
  const part = useTasksInStates(at, step, states, some);
  const { rows, total, near, error } = some ? part : all;
  const current = rows[cursor];
  const longest = Math.max(0, ...view.steps.map((one) => one.step.length + 6));
  const columns = useMemo(
    () =>
      columnsOf(
        (row) => taskPage(at.project, name, row.step, shortNumber(row)),
        (row) => runPage(at.project, name, "logs", { step: row.step, task: shortNumber(row) }),
        narrow,
        live,
        longest,
      ),
    [at.project, name, narrow, live, longest],
  );
  const page = (row: TaskRow): string => taskPage(at.project, name, row.step, shortNumber(row));
  useShortcuts([
    { keys: "j", does: "Next task", run: () => setCursor((now) => Math.min(total - 1, now + 1)) },
    { keys: "k", does: "Task before", run: () => setCursor((now) => Math.max(0, now - 1)) },
    { keys: "Enter, o", does: "Open the task", run: () => current && navigate(page(current)) },
  ]);
  return (
    <>
      <div className="toolbar">
        <Menu label="Filter by step" button={<span className="cut">{step || "Every step"}</span>}>
          <MenuAction onSelect={() => change({ step: null })}>Every step</MenuAction>
          {view.steps.map((one) => (
            <MenuAction key={one.step} onSelect={() => change({ step: one.step })}>
              <span className="cut">{one.step}</span> <small className="quiet num">{count(one.total)}</small>
            </MenuAction>
          ))}
        </Menu>
        <Menu label="Filter by state" button={states.length ? states.join(", ") : "Any state"}>
          {STATES.map((state) => (
            <MenuCheck
              key={state}
              checked={states.includes(state)}
              onChange={(on) => change({ state: on ? [...states, state] : states.filter((one) => one !== state) })}
            >
              {state}
            </MenuCheck>
          ))}
        </Menu>
        <span className="quiet num">{count(total)} tasks</span>
      </div>
      {error && <Problem error={error} />}
      {total === 0 && (!some || part.done) ? (
        <Empty title={some ? "No task is in one of these states" : "No task yet"}>
          {some ? (
            <button type="button" className="button" onClick={() => change({ state: null })}>
              Show all tasks
            </button>
          ) : (
            "A task appears here when a step is called."
          )}
        </Empty>
      ) : (
        <Grid
          label={`Tasks of ${name}`}
          columns={columns}
          rows={rows as TaskRow[]}
          total={total}
          onRange={near}
          cursor={cursor}
        />
      )}
    </>
  );
}

/** `3`, or `2_node_1` of a node of a gang: the last part of the name. */
export function shortNumber(row: { name: string }): string {
  return row.name.slice(row.name.lastIndexOf("/") + 1);
}

function columnsOf(page: (row: TaskRow) => string, logs: (row: TaskRow) => string, narrow: boolean, live: boolean, longest: number): Column<TaskRow>[] {
  const task: Column<TaskRow> = {
    id: "task",
    hint: (row) => row.name,
    title: "Task",
    width: widthOf(longest, 200, 520),
    cell: (row) => (
      <RowLink href={page(row)}>
        <Name text={`${row.step}/${shortNumber(row)}`} />
      </RowLink>
    ),
  };
  const state: Column<TaskRow> = {
    id: "state",
    title: "State",
    width: "120px",
    cell: (row) => <State state={row.reused && row.state === "succeeded" ? "cached" : row.state} />,
  };
  const took: Column<TaskRow> = {
    id: "took",
    title: "Took",
    width: "100px",
    right: true,
    cell: (row) => (live && row.state === "running" ? <Took seconds={row.duration} since={row.started} live /> : duration(row.duration)),
  };
  if (narrow) return [{ ...task, width: "minmax(100px, 1fr)" }, state, took];
  return [
    task,
    state,
    { id: "started", title: "Started", width: "120px", cell: (row) => <Time at={row.started} /> },
    took,
    { id: "attempts", title: "Attempts", width: "80px", right: true, cell: (row) => (row.attempts > 1 ? <b>{row.attempts}</b> : row.attempts || "") },
    { id: "logs", title: <span className="hidden">Logs</span>, width: "60px", cell: (row) => <RowLink href={logs(row)} aria-label={`Logs of ${row.name}`}>logs</RowLink> },
    {
      id: "why",
      title: "",
      width: "minmax(160px, 1fr)",
      hint: (row) => row.error || row.reused_from || undefined,
      cell: (row) =>
        row.error ? (
          <span className="s-failed">{row.error}</span>
        ) : row.reused ? (
          <span className="quiet">{row.reused_from ? `from ${row.reused_from}` : "from an earlier session"}</span>
        ) : null,
    },
  ];
}
