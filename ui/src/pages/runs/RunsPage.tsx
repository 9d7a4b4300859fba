import { Columns3, GitCompareArrows, Star } from "lucide-react";
import { useCallback, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import { useGet } from "../../api/client";
import { plain, plural } from "../../lib/format";
import { useShortcuts } from "../../lib/keys";
import { useNarrow } from "../../lib/media";
import { useSetting } from "../../lib/store";
import { runPage, useChangeQuery, useParam, useParams, withQuery } from "../../lib/url";
import { Dialog, Empty, Loading, Problem } from "../../parts/Bits";
import { FilterField } from "../../parts/FilterField";
import { Grid } from "../../parts/Grid";
import { Menu, MenuAction, MenuCheck, MenuLabel, MenuLink } from "../../parts/Menu";
import { columnsOf, namesOf, type Sort } from "./columns";
import { useRuns, type RunRow } from "./useRuns";
import { useTitle } from "../../lib/title";

/** What a list with these marks asks for; without any, runs that are neither archived nor deleted. */
const MARKS: Record<string, string[]> = { pinned: ["pinned", "!archived", "!deleted"], archived: ["archived", "!deleted"] };
const STATES = ["running", "succeeded", "failed", "cancelled", "interrupted", "crashed"];

export function RunsPage({ project }: { project: string }) {
  useTitle("Runs");
  const [, navigate] = useLocation();
  const narrow = useNarrow();
  const change = useChangeQuery();
  const [where] = useParam("where");
  const [flow] = useParam("flow");
  const [states] = useParams("state");
  const [tags] = useParams("tag");
  const [mark] = useParam("mark");
  const [chosen, setChosen] = useParams("run");
  const [cols, setCols] = useParam("cols");
  const [order, setOrder] = useParam("sort");
  const [cursor, setCursor] = useState(-1);
  const wanted = useMemo(
    () => ({ where: where ? [where] : [], flow: flow || undefined, state: states, tag: tags, mark: MARKS[mark], sort: order || undefined }),
    [where, flow, states, tags, mark, order],
  );
  const { rows: found, pages, error } = useRuns(project, wanted);
  const sort = useMemo<Sort | null>(() => (order ? { by: order.replace(/^-/, ""), down: order.startsWith("-") } : null), [order]);
  const rows = found;
  const known = useMemo(() => namesOf(found), [found]);
  const shownColumns = useMemo(() => cols.split("~").filter(Boolean), [cols]);
  const selected = useMemo(() => new Set(chosen), [chosen]);

  const toggle = useCallback(
    (name: string) => setChosen(selected.has(name) ? chosen.filter((one) => one !== name) : [...chosen, name].slice(-50)),
    [chosen, selected, setChosen],
  );
  const compare = () => {
    if (chosen.length >= 2) navigate(withQuery(`/p/${encodeURIComponent(project)}/compare`, { run: chosen }));
  };
  const at = rows[cursor];
  useShortcuts([
    { keys: "j", does: "Next row", run: () => setCursor((now) => Math.min(rows.length - 1, now + 1)) },
    { keys: "k", does: "Row before", run: () => setCursor((now) => Math.max(0, now - 1)) },
    { keys: "x", does: "Select the row", run: () => at && toggle(at.name) },
    { keys: "Enter, o", does: "Open the row", run: () => at && navigate(runPage(project, at.name)) },
    { keys: "l", does: "Open the logs of the row", run: () => at && navigate(runPage(project, at.name, "logs")) },
    { keys: "c", does: "Compare the selected runs", run: compare },
    { keys: "Escape", does: "Select nothing", run: () => setChosen([]) },
  ]);

  const longest = useMemo(() => found.reduce((most, row) => Math.max(most, row.name.length + (row.tags["name"]?.length ?? 0)), 0), [found]);
  const columns = useMemo(
    () => columnsOf({ project, longest, narrow, shown: shownColumns, selected, toggle, sort, setSort: (by) => setOrder(nextOrder(order, by), true) }),
    [project, longest, narrow, shownColumns, selected, toggle, sort, order, setOrder],
  );
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = pages;
  const near = useCallback(
    (index: number) => {
      if (index > rows.length - 60 && hasNextPage && !isFetchingNextPage) void fetchNextPage();
    },
    [rows.length, hasNextPage, isFetchingNextPage, fetchNextPage],
  );
  const began = useRef<string | undefined>(undefined);
  if (began.current === undefined && rows.length > 0 && !sort) began.current = rows[0]?.name;
  const marked = !sort && rows[0]?.name !== began.current ? began.current : undefined;

  const refused = error?.status === 400;
  return (
    <>
      <h1 className="hidden">Runs of {project}</h1>
      <div className="toolbar">
        <FilterField
          value={where}
          onChange={(text) => change({ where: text }, true)}
          known={known}
          error={refused ? error.detail.replace(/^where: /, "") : null}
          placeholder={narrow ? "Filter" : "Filter: metrics.accuracy > 0.9 and params.depth in (4, 8)   ( / )"}
        />
        <FlowMenu project={project} flow={flow} />
        <Menu label="Filter by state" button={[...states, mark].filter(Boolean).join(", ") || "Any state"}>
          {STATES.map((state) => (
            <MenuCheck
              key={state}
              checked={states.includes(state)}
              onChange={(on) => change({ state: on ? [...states, state] : states.filter((one) => one !== state) })}
            >
              {state}
            </MenuCheck>
          ))}
          <MenuLabel>Marked</MenuLabel>
          {Object.keys(MARKS).map((one) => (
            <MenuCheck key={one} checked={mark === one} onChange={(on) => change({ mark: on ? one : null })}>
              {one}
            </MenuCheck>
          ))}
        </Menu>
        <Menu label="Columns" button={<><Columns3 size={14} aria-hidden /> Columns</>}>
          <MenuLabel>{known.names.size ? "As columns of their own" : "No run has parameters or metrics yet"}</MenuLabel>
          {[...known.names.keys()].map((name) => (
            <MenuCheck
              key={name}
              checked={shownColumns.includes(name)}
              onChange={(on) => setCols((on ? [...shownColumns, name] : shownColumns.filter((one) => one !== name)).join("~"))}
            >
              <span className="cut">{name}</span>
            </MenuCheck>
          ))}
        </Menu>
        <Views />
        {tags.map((tag) => (
          <button key={tag} type="button" className="button" onClick={() => change({ tag: tags.filter((one) => one !== tag) })} aria-label={`Do not filter by tag ${tag}`}>
            tag {tag} ×
          </button>
        ))}
        {chosen.length > 0 && (
          <span className="selection">
            <button type="button" className="button main" disabled={chosen.length < 2} onClick={compare}>
              <GitCompareArrows size={14} aria-hidden /> Compare {chosen.length}
            </button>
            <button type="button" className="button quiet" onClick={() => setChosen([])}>
              Clear
            </button>
          </span>
        )}
      </div>
      <Body
        project={project}
        rows={rows}
        loading={pages.data === undefined && !pages.error}
        error={refused ? null : rows.length ? null : error}
        filtered={Boolean(where || flow || states.length || tags.length || mark)}
        refused={refused}
      >
        <Grid
          label={`Runs of ${project}`}
          columns={columns}
          rows={rows}
          cursor={cursor}
          onNear={near}
          className={(row) => `${selected.has(row.name) ? "chosen" : ""}${row.name === marked ? " marked" : ""}`}
        />
        <p className="foot">{plural(rows.length, "run")}{hasNextPage ? " so far; more as you scroll" : ""}</p>
      </Body>
    </>
  );
}

function nextOrder(now: string, by: string): string {
  if (now === by) return `-${by}`;
  return now === `-${by}` ? "" : by;
}

function Body(props: {
  project: string;
  rows: RunRow[];
  loading: boolean;
  error: Error | null;
  filtered: boolean;
  refused: boolean;
  children: React.ReactNode;
}) {
  const change = useChangeQuery();
  if (props.loading) return <Loading rows={10} />;
  if (props.error) return <Problem error={props.error} />;
  if (props.refused) return null;
  if (props.rows.length > 0) return <>{props.children}</>;
  if (props.filtered) {
    return (
      <Empty title="No run fits this filter">
        <button type="button" className="button" onClick={() => change({ where: null, flow: null, state: null, tag: null, mark: null }, true)}>
          Show all runs
        </button>
      </Empty>
    );
  }
  return (
    <Empty title={`No runs in project ${props.project} yet`} command="headrace run train.py">
      Run a flow, and it shows up here by itself.
    </Empty>
  );
}

function FlowMenu({ project, flow }: { project: string; flow: string }) {
  const change = useChangeQuery();
  const flows = useGet("/api/v1/projects/{project}/flows", { project });
  const names = flows.data?.items ?? [];
  if (names.length < 2 && !flow) return null;
  return (
    <Menu label="Filter by flow" button={<span className="cut">{flow || "Any flow"}</span>}>
      <MenuAction onSelect={() => change({ flow: null }, true)}>Any flow</MenuAction>
      {names.map((one) => (
        <MenuAction key={one.name} onSelect={() => change({ flow: one.name }, true)}>
          <span className="cut">{one.name}</span> <small className="quiet num">{plain(one.runs)}</small>
        </MenuAction>
      ))}
    </Menu>
  );
}

/** Named addresses of this page, kept by this browser. */
function Views() {
  const [stored, setStored] = useSetting("views");
  const views = useMemo<Record<string, string>>(() => {
    try {
      return JSON.parse(stored ?? "{}") as Record<string, string>;
    } catch {
      return {};
    }
  }, [stored]);
  const here = window.location.pathname + window.location.search;
  const [naming, setNaming] = useState(false);
  return (
    <>
    <Menu label="Saved views" button={<><Star size={14} aria-hidden /> Views</>}>
      {Object.entries(views).map(([name, href]) => (
        <MenuLink key={name} href={href} chosen={href === here}>
          {name}
        </MenuLink>
      ))}
      <MenuAction onSelect={() => setNaming(true)}>Save this view…</MenuAction>
      {Object.entries(views).some(([, href]) => href === here) && (
        <MenuAction onSelect={() => setStored(JSON.stringify(Object.fromEntries(Object.entries(views).filter(([, href]) => href !== here))))}>
          Forget this view
        </MenuAction>
      )}
      <MenuLabel>The address of this page is the view; share that.</MenuLabel>
    </Menu>
    <Dialog title="Save this view" open={naming} onClose={() => setNaming(false)}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          const name = String(new FormData(event.currentTarget).get("name") ?? "").trim();
          if (!name) return;
          setStored(JSON.stringify({ ...views, [name]: here }));
          setNaming(false);
        }}
      >
        <label>
          Name of the filter, columns and sort that are set now
          <input className="field" name="name" required maxLength={60} autoFocus />
        </label>
        <button type="submit" className="button main">
          Save
        </button>
      </form>
    </Dialog>
    </>
  );
}

