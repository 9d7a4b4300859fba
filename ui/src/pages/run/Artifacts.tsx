/** Artifacts of a run as a list; the one that is chosen is shown beside it. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";
import { get, RUN, type ApiError } from "../../api/client";
import { bytes } from "../../lib/format";
import { useShortcuts } from "../../lib/keys";
import { useNarrow } from "../../lib/media";
import { useChangeQuery, useParam } from "../../lib/url";
import { ArtifactDetail } from "../../parts/ArtifactDetail";
import { Empty, Loading, Problem } from "../../parts/Bits";
import { Grid, type Column } from "../../parts/Grid";
import { widthOf } from "../../parts/Name";
import { Menu, MenuAction } from "../../parts/Menu";
import { InnerButton, isInner } from "../../parts/inner";
import { taskOf, type ArtifactView } from "../../parts/Preview";
import { useRun } from "./useRun";

const PATH = `${RUN}/artifacts` as const;

export default function Artifacts() {
  const { at, name, view, live } = useRun();
  const narrow = useNarrow();
  const change = useChangeQuery();
  const [step] = useParam("step");
  const [chosen, setChosen] = useParam("a");
  const [cursor, setCursor] = useState(-1);
  const pages = useInfiniteQuery({
    queryKey: [PATH, { ...at }, step],
    queryFn: ({ pageParam, signal }) => get(PATH, { ...at, ...(step ? { step } : {}), limit: 500, ...(pageParam ? { cursor: pageParam } : {}) }, signal),
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const [inner, setInner] = useParam("inner");
  const all = useMemo(() => (pages.data?.pages.flatMap((page) => page.items) ?? []) as ArtifactView[], [pages.data]);
  const rows = useMemo(() => (inner ? all : all.filter((one) => !isInner(one))), [all, inner]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = pages;
  const near = useCallback(
    (index: number) => {
      if (index > rows.length - 60 && hasNextPage && !isFetchingNextPage) void fetchNextPage();
    },
    [rows.length, hasNextPage, isFetchingNextPage, fetchNextPage],
  );
  const idOf = (row: ArtifactView): string => `${taskOf(name, row)}/${row.name}`;
  const move = (by: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, cursor + by));
    setCursor(next);
    const row = rows[next];
    if (row && chosen) setChosen(idOf(row));
  };
  useShortcuts([
    { keys: "j", does: "Next artifact", run: () => move(1) },
    { keys: "k", does: "Artifact before", run: () => move(-1) },
    { keys: "Enter, o", does: "Show the artifact", run: () => rows[cursor] && setChosen(idOf(rows[cursor] as ArtifactView)) },
    { keys: "Escape", does: "Close the artifact", run: () => setChosen("") },
  ]);
  const longest = rows.reduce((most, row) => Math.max(most, idOf(row).length), 0);
  const columns: Column<ArtifactView>[] = [
    {
      id: "name",
      title: "Artifact",
      width: narrow ? "minmax(140px, 1fr)" : widthOf(longest, 280, 520),
      cell: (row) => (
        <button type="button" className="linkbutton bare cut" onClick={() => setChosen(idOf(row))} title={idOf(row)} aria-label={idOf(row)}>
          <span className="name">
            {taskOf(name, row) && <span className="quiet">{taskOf(name, row)}</span>}
            <span>
              {taskOf(name, row) && <span className="quiet">/</span>}
              {row.name}
            </span>
          </span>
        </button>
      ),
    },
    { id: "type", title: "Type", width: narrow ? "110px" : "minmax(110px, 220px)", cell: (row) => <span title={row.type}>{row.type.split(".").pop()}</span> },
    { id: "size", title: "Size", width: "84px", right: true, cell: (row) => bytes(row.size) },
    ...(narrow || chosen ? [] : [{ id: "text", title: "Value", width: "minmax(160px, 1fr)", cell: (row: ArtifactView) => <span className="mono quiet" title={row.text}>{row.text.slice(0, 200)}</span> }]),
  ];
  return (
    <>
      <div className="toolbar">
        <Menu label="Filter by step" button={<span className="cut">{step === "-" ? "The flow itself" : step || "Every step"}</span>}>
          <MenuAction onSelect={() => change({ step: null })}>Every step</MenuAction>
          <MenuAction onSelect={() => change({ step: "-" })}>The flow itself</MenuAction>
          {view.steps.map((one) => (
            <MenuAction key={one.step} onSelect={() => change({ step: one.step })}>
              <span className="cut">{one.step}</span>
            </MenuAction>
          ))}
        </Menu>
        {view.artifacts_size !== null && view.artifacts_size !== undefined && <span className="quiet num">{bytes(view.artifacts_size)} in all</span>}
        {all.some(isInner) && <InnerButton shown={inner !== ""} show={(on) => setInner(on ? "1" : "")} />}
      </div>
      {pages.error && <Problem error={pages.error as ApiError} retry={() => void pages.refetch()} />}
      {!pages.data && !pages.error && <Loading rows={8} />}
      {pages.data && all.length === 0 && (
        <Empty title={live ? "No artifact yet" : "No artifacts"} command={'headrace.log_artifact("model", model)'}>
          What steps return is kept by itself; more is kept by:
        </Empty>
      )}
      {rows.length > 0 && (
        <div className="split">
          {!(narrow && chosen) && (
            <Grid label={`Artifacts of ${name}`} columns={columns} rows={rows} onNear={near} cursor={cursor} className={(row) => (idOf(row) === chosen ? "chosen" : "")} />
          )}
          {chosen && <ArtifactDetail at={at} run={name} id={chosen} close={() => setChosen("")} />}
        </div>
      )}
    </>
  );
}
