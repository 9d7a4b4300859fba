/** Where results came from and went: between runs, and up and down from one task. */
import { Link } from "wouter";
import { RUN, useGet, type Schemas } from "../../api/client";
import { plural } from "../../lib/format";
import { runPage, useChangeQuery, useParam, useParams } from "../../lib/url";
import { Empty, Section, Shown } from "../../parts/Bits";
import { LineageGraph } from "../../parts/LineageGraph";
import { useRun } from "./useRun";

export default function Lineage() {
  const { at, view } = useRun();
  // Results are made last: without a choice, the lineage of what ended last.
  const last = [...view.steps].sort((a, b) => (b.finished ?? 0) - (a.finished ?? 0))[0];
  const [task] = useParam("task", last ? `${last.step || "-"}/1` : "");
  const query = useGet(`${RUN}/lineage` as const, { ...at });
  const none = (found: Schemas["RunLineage"]) => found.sources.length === 0 && found.users.length === 0 && !found.reproduces;
  return (
    <>
      <Shown query={query} rows={3}>
        {(found) => (
          <div className="lineage">
            <Section title="Results taken from">
              <Origins project={at.project} rows={found.sources} empty="No other run: everything was made here." />
            </Section>
            <Section title="Results given to">
              <Origins project={at.project} rows={found.users} empty={none(found) ? "No other run so far." : "None of the newest runs of this flow."} />
            </Section>
            {found.reproduces && (
              <Section title="Runs again">
                <Link href={runPage(at.project, found.reproduces.split("/").slice(0, 2).join("/"))}>{found.reproduces}</Link>
              </Section>
            )}
          </div>
        )}
      </Shown>
      <TaskPicker />
      {task ? <OfTask task={task} /> : view.steps.length === 0 && <Empty title="No task, so no data between tasks" />}
    </>
  );
}

function Origins({ project, rows, empty }: { project: string; rows: readonly Schemas["Origin"][]; empty: string }) {
  if (rows.length === 0) return <p className="quiet">{empty}</p>;
  return (
    <ul className="plain-list">
      {rows.map((one) => (
        <li key={one.run}>
          <Link href={runPage(project, one.run)}>{one.run}</Link> <span className="quiet">{plural(one.tasks, "task")}</span>
        </li>
      ))}
    </ul>
  );
}

function TaskPicker() {
  const { view } = useRun();
  const change = useChangeQuery();
  const [task] = useParam("task");
  if (view.steps.length === 0) return null;
  return (
    <form
      className="toolbar"
      onSubmit={(event) => {
        event.preventDefault();
        change({ task: String(new FormData(event.currentTarget).get("task") ?? "") }, true);
      }}
    >
      <label className="check-label">
        Data of task
        <input key={task} name="task" className="field" defaultValue={task} list="lineage-steps" placeholder={`${view.steps[0]?.step}/1`} data-search />
      </label>
      <datalist id="lineage-steps">
        {view.steps.map((one) => (
          <option key={one.step} value={`${one.step}/1`} />
        ))}
      </datalist>
      <button type="submit" className="button">
        Show
      </button>
    </form>
  );
}

function OfTask({ task }: { task: string }) {
  const { at, name } = useRun();
  const [open, setOpen] = useParams("open");
  return (
    <div className="lineage-graph">
      <LineageGraph project={at.project} task={`${name}/${task}`} open={open} onOpen={setOpen} />
    </div>
  );
}
