/** What live runs of a project wait to be told. */
import { Link } from "wouter";
import { RUN, useGet } from "../../api/client";
import { useTitle } from "../../lib/title";
import { runPage } from "../../lib/url";
import { Answer } from "../../parts/Answer";
import { Empty, Shown } from "../../parts/Bits";
import { State } from "../../parts/State";
import type { RunRow } from "../runs/useRuns";

export default function WaitsPage({ project }: { project: string }) {
  useTitle("Waits");
  const live = useGet("/api/v1/projects/{project}/runs", { project, state: ["running"], limit: 100 }, { every: 1.5 });
  return (
    <Shown query={live}>
      {(found) => (
        <div className="tab-body">
          <h1 className="hidden">What waits for an answer in {project}</h1>
          <ul className="waits">
            {(found.items as RunRow[]).map((row) => (
              <OfRun key={row.name} project={project} row={row} />
            ))}
          </ul>
          <div className="waits-none">
            <Empty title="Nothing waits for an answer" command='ok = headrace.wait_for("approval", prompt="Ship it?")'>
              A flow that asks, and those who may answer, meet here:
            </Empty>
          </div>
        </div>
      )}
    </Shown>
  );
}

function OfRun({ project, row }: { project: string; row: RunRow }) {
  const at = { project, flow: row.flow, number: row.number };
  const waits = useGet(`${RUN}/waits` as const, at, { every: 1.5 });
  const open = (waits.data?.items ?? []).filter((one) => one.kind === "answer" && !one.done);
  if (open.length === 0) return null;
  return (
    <li>
      <p>
        <Link href={runPage(project, row.name)} className="run-name">
          {row.name}
        </Link>{" "}
        <State state={row.state} />
      </p>
      {open.map((one) => (
        <Answer key={one.name} at={at} question={one} />
      ))}
    </li>
  );
}
