/** Where results came from and went: between runs, and up and down from one task. */
import { useMemo } from "react";
import { Link } from "wouter";
import { RUN, useGet, type Schemas } from "../../api/client";
import { plural } from "../../lib/format";
import { runPage, taskPage, useChangeQuery, useParam } from "../../lib/url";
import { Empty, Section, Shown } from "../../parts/Bits";
import { StateMark } from "../../parts/State";
import { useRun } from "./useRun";

export default function Lineage() {
  const { at, view } = useRun();
  const [task] = useParam("task");
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
  const cut = task.lastIndexOf("/");
  const query = useGet(`${RUN}/tasks/{step}/{task}/lineage` as const, { ...at, step: task.slice(0, cut), task: task.slice(cut + 1) });
  return (
    <Shown query={query} rows={4}>
      {(found) => <Columns found={found} name={name} project={at.project} />}
    </Shown>
  );
}

/** Tasks by their distance: what it is made of to the left, what is made of it to the right. */
function Columns({ found, name, project }: { found: Schemas["Lineage"]; name: string; project: string }) {
  const columns = useMemo(() => {
    const by = new Map<number, Schemas["TaskNode"][]>();
    for (const node of found.nodes) by.set(node.distance, [...(by.get(node.distance) ?? []), node]);
    return [...by].sort(([a], [b]) => a - b);
  }, [found]);
  return (
    <>
      <div className="generations" tabIndex={0} role="region" aria-label="Lineage of the task">
        {columns.map(([distance, nodes]) => (
          <section key={distance} className={distance === 0 ? "generation self" : "generation"} aria-label={distance === 0 ? "The task" : distance < 0 ? `${-distance} before` : `${distance} after`}>
            <h3>{distance === 0 ? "The task" : distance < 0 ? `${-distance} before` : `${distance} after`}</h3>
            <ul>
              {nodes.slice(0, 60).map((node) => {
                const parts = node.task.slice(name.length + 1).split("/");
                return (
                  <li key={node.task}>
                    <StateMark state={node.reused_from ? "cached" : node.state} />{" "}
                    <Link href={taskPage(project, name, parts.slice(0, -1).join("/"), parts.at(-1) ?? "")}>{parts.join("/")}</Link>
                    {node.reused_from && <span className="quiet"> from {node.reused_from}</span>}
                  </li>
                );
              })}
              {nodes.length > 60 && <li className="quiet">and {nodes.length - 60} more</li>}
            </ul>
          </section>
        ))}
      </div>
      {found.more && <p className="note">There are more tasks than these, which are the nearest.</p>}
    </>
  );
}
