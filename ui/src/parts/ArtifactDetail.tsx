/** One artifact: what it looks like, where it came from and went, and how to have it. */
import { lazily } from "../lib/lazily";
import { Suspense, useState } from "react";
import { Link } from "wouter";
import { address, RUN, useGet, type Schemas } from "../api/client";
import { bytes, count } from "../lib/format";
import { runPage, taskPage } from "../lib/url";
import { Command, Facts, Loading, Section, Shown, Time } from "./Bits";
import { PreviewBody, TableHead } from "./Preview";

const LineageGraph = lazily(async () => ({ default: (await import("./LineageGraph")).LineageGraph }));

interface Props {
  at: { project: string; flow: string; number: number };
  run: string;
  /** `step/task/name`; `/name` of the flow itself. */
  id: string;
  close?: () => void;
}

export function partsOfId(id: string): { step: string; task: string; name: string } {
  if (id.startsWith("/")) return { step: "-", task: "0", name: id.slice(1) };
  const [step = "", task = "", ...name] = id.split("/");
  return { step, task, name: name.join("/") };
}

export function ArtifactDetail({ at, run, id, close }: Props) {
  const parts = partsOfId(id);
  const query = useGet(`${RUN}/artifacts/{step}/{task}/{name}` as const, { ...at, ...parts });
  return (
    <aside className="detail" aria-label={`Artifact ${id}`}>
      <header>
        <h2 title={id}>{parts.name}</h2>
        {close && (
          <button type="button" className="button quiet" onClick={close}>
            Close
          </button>
        )}
      </header>
      <Shown query={query}>{(found) => <Found at={at} run={run} parts={parts} found={found} />}</Shown>
    </aside>
  );
}

export function pictureOf(at: Props["at"], parts: ReturnType<typeof partsOfId>, format = "png"): string {
  return address(`${RUN}/artifacts/{step}/{task}/{name}/download`, { ...at, ...parts, format });
}

function Found({ at, run, parts, found }: { at: Props["at"]; run: string; parts: ReturnType<typeof partsOfId>; found: Schemas["ArtifactDetail"] }) {
  const one = found.artifact;
  const [open, setOpen] = useState<readonly string[]>([]);
  const file = (format: string) => address(`${RUN}/artifacts/{step}/{task}/{name}/download`, { ...at, ...parts, format });
  const own = parts.step === "-";
  const full = own ? `${run}/${parts.name}` : `${run}/${parts.step}/${parts.task}/${parts.name}`;
  return (
    <>
      {found.picture && (
        <div className="picture">
          <img src={file("png")} alt={`Preview of ${parts.name}`} loading="lazy" />
        </div>
      )}
      {one.table.length > 0 ? <TableHead table={one.table} rows={50} /> : <PreviewBody artifact={one} />}
      <Section title="Facts">
        <Facts
          rows={[
            ["Type", <code key="t">{one.type}</code>],
            ...Object.entries(one.facts).map(([key, value]) => [key, value] as const),
            ["Size", `${bytes(one.size)} (${count(one.size)} bytes)`],
            ["Format", one.codec],
            ["Made", <Time key="m" at={one.created} />],
            [
              "By",
              own ? "the flow itself" : (
                <Link key="b" href={taskPage(at.project, run, parts.step, parts.task)}>
                  {parts.step}/{parts.task}
                </Link>
              ),
            ],
            ["Taken by", found.consumers.length > 0 && <Tasks key="c" project={at.project} run={run} names={found.consumers} />],
            ["Digest", <code key="d" title={one.digest}>{one.digest.slice(0, 16)}</code>],
            ["Parts", found.blobs.length > 0 && `${count(found.blobs.length)} in the store`],
            ["Code", found.code.length > 0 && <code key="co">{found.code.join(", ")}</code>],
            ["Made with", found.made_with.join(", ")],
          ]}
        />
      </Section>
      {!own && (
        <Section title="Lineage" more={<Link href={runPage(at.project, run, "lineage", { task: `${parts.step}/${parts.task}` })}>larger</Link>}>
          <Suspense fallback={<Loading rows={3} />}>
            <div className="lineage-small">
              <LineageGraph project={at.project} task={`${run}/${parts.step}/${parts.task}`} open={open} onOpen={setOpen} />
            </div>
          </Suspense>
        </Section>
      )}
      <Section title="Have it">
        <p className="downloads">
          {found.formats.map((format) => (
            <a key={format} className="button" href={file(format)} download>
              .{format}
            </a>
          ))}
          <a className="button" href={address(`${RUN}/artifacts/{step}/{task}/{name}/raw`, { ...at, ...parts })} download>
            as stored
          </a>
        </p>
        <Command text={`headrace get ${full}`} />
        <Command text={`headrace.runs()[${JSON.stringify(run)}]${own ? "" : `[${JSON.stringify(parts.step)}][${parts.task}]`}.artifacts[${JSON.stringify(parts.name)}].value`} />
      </Section>
    </>
  );
}

function Tasks({ project, run, names }: { project: string; run: string; names: readonly string[] }) {
  return (
    <span className="sources">
      {names.slice(0, 12).map((name) => {
        const parts = name.slice(run.length + 1).split("/");
        return (
          <Link key={name} className="chip" href={taskPage(project, run, parts.slice(0, -1).join("/"), parts.at(-1) ?? "")}>
            {parts.join("/")}
          </Link>
        );
      })}
      {names.length > 12 && <span className="quiet">and {count(names.length - 12)} more</span>}
    </span>
  );
}
