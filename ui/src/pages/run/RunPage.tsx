import { lazily } from "../../lib/lazily";
import { Suspense, useEffect, useMemo, useRef } from "react";
import { Link, useLocation } from "wouter";
import { count } from "../../lib/format";
import { useShortcuts } from "../../lib/keys";
import { useTitle } from "../../lib/title";
import { runPage } from "../../lib/url";
import { Empty, Loading, Shown } from "../../parts/Bits";
import { Boundary } from "../../parts/Boundary";
import { Header } from "./Header";
import { Overview } from "./Overview";
import { Run, useRunView, type RunAddress, type RunView } from "./useRun";

const TABS = {
  "": { title: "Overview", key: "1", show: Overview },
  graph: { title: "Graph", key: "2", show: lazily(() => import("./graph/Graph")) },
  timeline: { title: "Timeline", key: "3", show: lazily(() => import("./timeline/Timeline")) },
  resources: { title: "Resources", key: "", show: lazily(() => import("./Resources")) },
  tasks: { title: "Tasks", key: "4", show: lazily(() => import("./Tasks")) },
  logs: { title: "Logs", key: "5", show: lazily(() => import("./logs/Logs")) },
  metrics: { title: "Metrics", key: "6", show: lazily(() => import("./metrics/Metrics")) },
  artifacts: { title: "Artifacts", key: "7", show: lazily(() => import("./Artifacts")) },
  code: { title: "Code", key: "8", show: lazily(() => import("./code/Code")) },
  environment: { title: "Environment", key: "9", show: lazily(() => import("./Environment")) },
  lineage: { title: "Lineage", key: "0", show: lazily(() => import("./Lineage")) },
  cards: { title: "Cards", key: "", show: lazily(() => import("./Cards")) },
} as const;

type Tab = keyof typeof TABS;

export default function RunPage({ tab, ...at }: RunAddress & { tab: string }) {
  const name = `${at.flow}/${at.number}`;
  const { query, live, tick, lost, gone } = useRunView(at);
  useTitle(query.data ? `${name} ${query.data.run.state}` : name);
  return (
    <Shown query={query} rows={10}>
      {(view) => <Page at={at} name={name} view={view} live={live} tick={tick} lost={lost} gone={gone} tab={tab} />}
    </Shown>
  );
}

function Page(props: { at: RunAddress; name: string; view: RunView; live: boolean; tick: number; lost: boolean; gone: boolean; tab: string }) {
  const { at, name, view, live, tick, tab } = props;
  const [, navigate] = useLocation();
  const shared = useMemo(() => ({ at, name, view, live, tick }), [at.project, at.flow, at.number, name, view, live, tick]);
  const known = (Object.keys(TABS) as Tab[]).filter((one) => one !== "cards" || hasCards(view) || tab === "cards");
  const go = (one: string) => navigate(runPage(at.project, name, one));
  useShortcuts([
    ...known.filter((one) => TABS[one].key).map((one) => ({ keys: TABS[one].key, does: `${TABS[one].title} of the run`, run: () => go(one) })),
    { keys: "l", does: "Logs of the run", run: () => go("logs") },
    { keys: "u", does: "Back to the runs", run: () => navigate(`/p/${encodeURIComponent(at.project)}/runs`) },
  ]);
  // In a narrow window the strip of tabs scrolls: the one that is shown is in sight.
  const strip = useRef<HTMLElement>(null);
  useEffect(() => {
    const current = strip.current?.querySelector<HTMLElement>("[aria-current]");
    if (strip.current && current) strip.current.scrollLeft = current.offsetLeft - (strip.current.clientWidth - current.offsetWidth) / 2;
  }, [tab]);
  const Shows = TABS[tab as Tab]?.show;
  return (
    <Run.Provider value={shared}>
      {props.gone && (
        <p className="run-note" role="alert">
          {name} was deleted. What stands here is what was read last. <Link href={`/p/${encodeURIComponent(at.project)}/runs`}>Go to the runs</Link>
        </p>
      )}
      <Header lost={props.lost} />
      <nav className="tabs" aria-label="Parts of the run" ref={strip}>
        {known.map((one) => {
          const number = countOf(view, one);
          return (
            <Link key={one} href={runPage(at.project, name, one)} {...(one === tab ? { "aria-current": "page" as const } : {})}>
              {TABS[one].title}
              {number !== null && <span className="tab-count num">{count(number)}</span>}
            </Link>
          );
        })}
      </nav>
      <div className="tab-body">
        <Boundary key={tab}>
          <Suspense fallback={<Loading />}>
            {Shows ? <Shows /> : <Empty title={`A run has no part called ${tab}`} />}
          </Suspense>
        </Boundary>
      </div>
    </Run.Provider>
  );
}

function hasCards(view: RunView): boolean {
  return view.artifacts.some((one) => one.type === "card");
}

function countOf(view: RunView, tab: Tab): number | null {
  if (tab === "tasks") return view.steps.reduce((sum, step) => sum + step.total, 0) || null;
  if (tab === "metrics") return view.metrics.length || null;
  if (tab === "artifacts") return view.artifacts_size === null ? null : view.artifacts.length || null;
  return null;
}
