import { useInfiniteQuery } from "@tanstack/react-query";
import { useCallback, useMemo, useRef } from "react";
import { address, get, type ApiError, type Schemas } from "../../api/client";
import { useParam } from "../../lib/url";
import { Empty, Loading, Problem, Time } from "../../parts/Bits";
import { Grid, type Column } from "../../parts/Grid";

type Entry = Schemas["AuditEntry"];

/** The whole log, or the part of one project for its admins. */
export function Audit({ project }: { project: string }) {
  const [actor, setActor] = useParam("actor");
  const [action, setAction] = useParam("action");
  const [outcome, setOutcome] = useParam("outcome");
  const wanted = { ...(actor ? { actor } : {}), ...(action ? { action } : {}), ...(outcome ? { outcome } : {}) };
  const pages = useInfiniteQuery({
    queryKey: ["/api/v1/audit", project, actor, action, outcome],
    queryFn: ({ pageParam, signal }) => {
      const page = { ...wanted, limit: 200, ...(pageParam ? { cursor: pageParam } : {}) };
      return project ? get("/api/v1/projects/{project}/audit", { project, ...page }, signal) : get("/api/v1/audit", page, signal);
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const rows = useMemo(() => (pages.data?.pages.flatMap((page) => page.items) ?? []) as Entry[], [pages.data]);
  const seen = useRef(new Set<string>());
  for (const row of rows) seen.current.add(row.action);
  const actions = [...seen.current].sort();
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = pages;
  const near = useCallback(
    (index: number) => {
      if (index > rows.length - 60 && hasNextPage && !isFetchingNextPage) void fetchNextPage();
    },
    [rows.length, hasNextPage, isFetchingNextPage, fetchNextPage],
  );
  const columns: Column<Entry>[] = [
    { id: "time", title: "Time", width: "120px", cell: (row) => <Time at={row.created} /> },
    { id: "actor", title: "Who", width: "minmax(90px, 160px)", cell: (row) => <span title={row.actor}>{row.actor}</span> },
    { id: "action", title: "Did", width: "minmax(110px, 160px)", cell: (row) => row.action },
    { id: "object", title: "To", width: "minmax(120px, 260px)", cell: (row) => <span title={row.object}>{row.object}</span> },
    { id: "outcome", title: "Outcome", width: "90px", cell: (row) => <span className={row.outcome === "done" ? "" : "s-failed"}>{row.outcome}</span> },
    { id: "project", title: "Project", width: "110px", cell: (row) => row.project },
    { id: "address", title: "From", width: "130px", cell: (row) => <code>{row.address}</code> },
    { id: "detail", title: "Detail", width: "minmax(140px, 1fr)", cell: (row) => <span className="quiet" title={`${row.detail}\nrequest ${row.request_id}`}>{row.detail}</span> },
  ];
  return (
    <>
      <div className="toolbar">
        <input className="field grow" type="search" aria-label="Who" placeholder="Who" value={actor} onChange={(event) => setActor(event.target.value)} data-search />
        <input className="field grow" type="search" aria-label="Did what" placeholder="Did, such as run.delete" value={action} onChange={(event) => setAction(event.target.value)} list="actions" />
        <datalist id="actions">
          {actions.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <select className="field" aria-label="Outcome" value={outcome} onChange={(event) => setOutcome(event.target.value)}>
          <option value="">any outcome</option>
          <option value="done">done</option>
          <option value="refused">refused</option>
          <option value="failed">failed</option>
        </select>
        <a className="button" href={project ? address("/api/v1/projects/{project}/audit/export", { project, ...wanted }) : address("/api/v1/audit/export", wanted)} download="audit.jsonl">
          JSON lines
        </a>
      </div>
      {pages.error && <Problem error={pages.error as ApiError} retry={() => void pages.refetch()} />}
      {!pages.data && !pages.error && <Loading rows={10} />}
      {pages.data && rows.length === 0 && <Empty title="No entry fits">Every change, and every one that was refused, is kept here.</Empty>}
      {rows.length > 0 && <Grid label="Audit log" columns={columns} rows={rows} onNear={near} />}
    </>
  );
}
