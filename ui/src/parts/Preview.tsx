/** An artifact as it may be shown without loading it. */
import { useState } from "react";
import { Link } from "wouter";
import { address, RUN, type Schemas } from "../api/client";
import { bytes, metric } from "../lib/format";
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
      <Picture at={at} run={run} artifact={artifact} />
      <PreviewBody artifact={artifact} />
    </figure>
  );
}

/** The small picture that was kept of a figure; of a figure without one, nothing. */
function Picture({ at, run, artifact }: { at: At; run: string; artifact: ArtifactView }) {
  const [gone, setGone] = useState(false);
  if (gone || !/figure|image|chart/i.test(artifact.type)) return null;
  const [step = "-", task = "0"] = taskOf(run, artifact).split("/").filter(Boolean);
  const source = address(`${RUN}/artifacts/{step}/{task}/{name}/download`, { ...at, step, task, name: artifact.name, format: "png" });
  return <img src={source} alt={`Preview of ${artifact.name}`} loading="lazy" onError={() => setGone(true)} />;
}

export function PreviewBody({ artifact, rows = 6 }: { artifact: ArtifactView; rows?: number }) {
  if (artifact.table.length > 0) return <TableHead table={artifact.table} rows={rows} />;
  return artifact.text ? <pre className="preview-text">{artifact.text}</pre> : null;
}

const isNumber = (text: string): boolean => /^-?\d[\d.]*(e[+-]?\d+)?$/.test(text);

/** A fraction with six significant digits; the whole of it is in the tooltip. */
function short(text: string): string {
  return isNumber(text) && text.includes(".") && text.length > 9 ? metric(Number(text)) : text;
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
                <td key={column} className={isNumber(value) ? "right num" : ""} title={value}>
                  {short(value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
