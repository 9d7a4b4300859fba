/** Artifacts of all runs: by name, type and producer. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useCallback, useDeferredValue, useMemo, useState } from "react";
import { Link } from "wouter";
import { get, type ApiError } from "../../api/client";
import { bytes, plural } from "../../lib/format";
import { useShortcuts } from "../../lib/keys";
import { useNarrow } from "../../lib/media";
import { useTitle } from "../../lib/title";
import { runPage, useParam } from "../../lib/url";
import { ArtifactDetail } from "../../parts/ArtifactDetail";
import { Empty, Loading, Problem, Time } from "../../parts/Bits";
import { Name, widthOf } from "../../parts/Name";
import { Grid, type Column } from "../../parts/Grid";
import { InnerButton, isInner } from "../../parts/inner";
import type { ArtifactView } from "../../parts/Preview";

const PATH = "/api/v1/projects/{project}/artifacts" as const;

/** `train/42` and what follows: `fit/3`, or nothing for the flow itself. */
function placeOf(row: { task: string }): { run: string; task: string } {
  const parts = row.task.split("/");
  return { run: parts.slice(0, 2).join("/"), task: parts.slice(2).join("/") };
}

export default function ArtifactsPage({ project }: { project: string }) {
  useTitle("Artifacts");
  const narrow = useNarrow();
  const [name, setName] = useParam("name");
  const [type, setType] = useParam("type");
  const [producer, setProducer] = useParam("producer");
  const [chosen, setChosen] = useParam("a");
  const [cursor, setCursor] = useState(-1);
  const wanted = useDeferredValue(JSON.stringify({ name, type, producer }));
  const pages = useInfiniteQuery({
    queryKey: [PATH, project, wanted],
    queryFn: ({ pageParam, signal }) => {
      const filled = Object.fromEntries(Object.entries(JSON.parse(wanted) as Record<string, string>).filter(([, value]) => value));
      return get(PATH, { project, ...filled, limit: 200, ...(pageParam ? { cursor: pageParam } : {}) }, signal);
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const [inner, setInner] = useParam("inner");
  const all = useMemo(() => (pages.data?.pages.flatMap((page) => page.items) ?? []) as ArtifactView[], [pages.data]);
  // A name that is asked for is shown, whatever it begins with.
  const rows = useMemo(() => (inner || name.startsWith("_") ? all : all.filter((one) => !isInner(one))), [all, inner, name]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = pages;
  const near = useCallback(
    (index: number) => {
      if (index > rows.length - 60 && hasNextPage && !isFetchingNextPage) void fetchNextPage();
    },
    [rows.length, hasNextPage, isFetchingNextPage, fetchNextPage],
  );
  const idOf = (row: ArtifactView): string => `${row.task}//${row.name}`;
  useShortcuts([
    { keys: "j", does: "Next artifact", run: () => setCursor((now) => Math.min(rows.length - 1, now + 1)) },
    { keys: "k", does: "Artifact before", run: () => setCursor((now) => Math.max(0, now - 1)) },
    { keys: "Enter, o", does: "Show the artifact", run: () => rows[cursor] && setChosen(idOf(rows[cursor] as ArtifactView)) },
    { keys: "Escape", does: "Close the artifact", run: () => setChosen("") },
  ]);
  const longest = rows.reduce((most, row) => Math.max(most, row.task.length), 0);
  const columns: Column<ArtifactView>[] = [
    {
      id: "name",
      title: "Artifact",
      width: "minmax(120px, 220px)",
      cell: (row) => (
        <button type="button" className="linkbutton bare cut" onClick={() => setChosen(idOf(row))}>
          {row.name}
        </button>
      ),
    },
    {
      id: "run",
      title: "Made by",
      width: widthOf(longest, 240, 480),
      cell: (row) => (
        <Link href={runPage(project, placeOf(row).run)} title={row.task}>
          <Name text={row.task} />
        </Link>
      ),
    },
    { id: "type", title: "Type", width: narrow ? "100px" : "minmax(110px, 200px)", cell: (row) => <span title={row.type}>{row.type.split(".").pop()}</span> },
    ...(narrow || chosen
      ? []
      : [
          { id: "size", title: "Size", width: "84px", right: true, cell: (row: ArtifactView) => bytes(row.size) },
          { id: "made", title: "Made", width: "112px", cell: (row: ArtifactView) => <Time at={row.created} /> },
          { id: "text", title: "Value", width: "minmax(160px, 1fr)", cell: (row: ArtifactView) => <span className="mono quiet" title={row.text}>{row.text.slice(0, 200)}</span> },
        ]),
  ];
  const field = (label: string, value: string, set: (value: string) => void, hint: string, first = false) => (
    <input className="field grow" type="search" aria-label={label} placeholder={hint} value={value} onChange={(event) => set(event.target.value)} {...(first ? { "data-search": true } : {})} />
  );
  return (
    <>
      <h1 className="hidden">Artifacts of {project}</h1>
      <div className="toolbar">
        {field("Name", name, setName, "Name  ( / )", true)}
        {field("Type", type, setType, "Type, such as DataFrame")}
        {field("Producer", producer, setProducer, "Producer, such as train/42/fit")}
        {all.some(isInner) && <InnerButton shown={inner !== ""} show={(on) => setInner(on ? "1" : "")} />}
      </div>
      {pages.error && <Problem error={pages.error as ApiError} retry={() => void pages.refetch()} />}
      {!pages.data && !pages.error && <Loading rows={10} />}
      {pages.data && rows.length === 0 && !hasNextPage && (
        <Empty title={name || type || producer ? "No artifact fits" : "No artifacts yet"} command={name || type || producer ? "" : "headrace run train.py"}>
          What steps return, and what they log, is found here.
        </Empty>
      )}
      {rows.length > 0 && (
        <div className="split">
          {!(narrow && chosen) && (
            <Grid label={`Artifacts of ${project}`} columns={columns} rows={rows} onNear={near} cursor={cursor} className={(row) => (idOf(row) === chosen ? "chosen" : "")} />
          )}
          {chosen && <Chosen project={project} id={chosen} close={() => setChosen("")} />}
        </div>
      )}
      {rows.length === 0 && hasNextPage && (
        <p className="note">
          Not among the newest ones.{" "}
          <button type="button" className="linkbutton" onClick={() => void fetchNextPage()}>
            Look further
          </button>
        </p>
      )}
      <p className="foot">{plural(rows.length, "artifact")}{hasNextPage ? " so far; more as you scroll" : ""}</p>
    </>
  );
}

function Chosen({ project, id, close }: { project: string; id: string; close: () => void }) {
  const cut = id.indexOf("//");
  const { run, task } = placeOf({ task: id.slice(0, cut) });
  const at = { project, flow: run.slice(0, run.lastIndexOf("/")), number: Number(run.slice(run.lastIndexOf("/") + 1)) };
  return <ArtifactDetail at={at} run={run} id={`${task}/${id.slice(cut + 2)}`} close={close} />;
}
