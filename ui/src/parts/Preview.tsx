/** An artifact as it may be shown without loading it. */
import { Link } from "wouter";
import type { Schemas } from "../api/client";
import { bytes } from "../lib/format";
import { runPage } from "../lib/url";

export type ArtifactView = Schemas["ArtifactView"];

interface At {
  project: string;
  flow: string;
  number: number;
}

/** `step/number` of the task that made an artifact; empty for the flow function. */
export function taskOf(run: string, artifact: { task: string }): string {
  return artifact.task.startsWith(`${run}/`) ? artifact.task.slice(run.length + 1) : "";
}

export function artifactPage(project: string, run: string, artifact: { task: string; name: string }): string {
  return runPage(project, run, "artifacts", { a: `${taskOf(run, artifact)}/${artifact.name}` });
}

export function Preview({ at, run, artifact }: { at: At; run: string; artifact: ArtifactView }) {
  const task = taskOf(run, artifact);
  return (
    <figure className="preview">
      <figcaption>
        <Link href={artifactPage(at.project, run, artifact)}>{artifact.name}</Link>
        <span className="quiet">
          {artifact.type} · {bytes(artifact.size)}
          {task && ` · ${task}`}
        </span>
      </figcaption>
      <PreviewBody artifact={artifact} />
    </figure>
  );
}

export function PreviewBody({ artifact, rows = 6 }: { artifact: ArtifactView; rows?: number }) {
  if (artifact.table.length > 0) return <TableHead table={artifact.table} rows={rows} />;
  return artifact.text ? <pre className="preview-text">{artifact.text}</pre> : null;
}

export function TableHead({ table, rows }: { table: readonly (readonly string[])[]; rows: number }) {
  const [head, ...body] = table;
  return (
    <div className="scroll-x" tabIndex={0} role="region" aria-label="Head of the table">
      <table className="data-table">
        <thead>
          <tr>
            {head?.map((name, index) => (
              <th key={index} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {body.slice(0, rows).map((row, index) => (
            <tr key={index}>
              {row.map((value, column) => (
                <td key={column} className={/^-?[\d.]+(e[+-]?\d+)?$/.test(value) ? "right num" : ""}>
                  {value}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
