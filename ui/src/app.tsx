import { lazily } from "./lib/lazily";
import { Suspense } from "react";
import { Redirect, Route, Switch } from "wouter";
import { useGet } from "./api/client";
import { Empty, Loading, Shown } from "./parts/Bits";
import { Boundary } from "./parts/Boundary";
import { Toasts } from "./parts/Toast";
import { Shell } from "./parts/Shell";
import { RunsPage } from "./pages/runs/RunsPage";

const runPage = () => import("./pages/run/RunPage");
if (/\/runs\/[^/]+\/\d+/.test(window.location.pathname)) void runPage();
const RunPage = lazily(runPage);
const TaskPage = lazily(() => import("./pages/task/TaskPage"));
const ComparePage = lazily(() => import("./pages/compare/ComparePage"));
const ArtifactsPage = lazily(() => import("./pages/artifacts/ArtifactsPage"));
const WaitsPage = lazily(() => import("./pages/waits/WaitsPage"));
const AdminPage = lazily(() => import("./pages/admin/AdminPage"));

export function App() {
  return (
    <Toasts>
      <Shell>
        <Boundary>
          <Suspense fallback={<Loading />}>
            <Pages />
          </Suspense>
        </Boundary>
      </Shell>
    </Toasts>
  );
}

function Pages() {
  return (
    <Switch>
      <Route path="/" component={Home} />
      <Route path="/p/:project">{({ project }) => <Redirect to={`/p/${project}/runs`} replace />}</Route>
      <Route path="/p/:project/runs">{({ project }) => <RunsPage project={decode(project)} key={project} />}</Route>
      <Route path="/p/:project/runs/:flow/:number/tasks/:step/:task/:tab?">
        {({ project, flow, number, step, task, tab }) => (
          <TaskPage
            key={`${project}/${flow}/${number}/${step}/${task}`}
            project={decode(project)}
            flow={decode(flow)}
            number={Number(number)}
            step={decode(step)}
            task={decode(task)}
            tab={tab ?? ""}
          />
        )}
      </Route>
      <Route path="/p/:project/runs/:flow/:number/:tab?">
        {({ project, flow, number, tab }) => (
          <RunPage
            key={`${project}/${flow}/${number}`}
            project={decode(project)}
            flow={decode(flow)}
            number={Number(number)}
            tab={tab ?? ""}
          />
        )}
      </Route>
      <Route path="/p/:project/compare">{({ project }) => <ComparePage project={decode(project)} />}</Route>
      <Route path="/p/:project/artifacts">{({ project }) => <ArtifactsPage project={decode(project)} />}</Route>
      <Route path="/p/:project/waits">{({ project }) => <WaitsPage project={decode(project)} />}</Route>
      <Route path="/admin/:tab?">{({ tab }) => <AdminPage tab={tab ?? ""} />}</Route>
      <Route>
        <Empty title="There is no page at this address">
          <a href="/">Go to the runs</a>
        </Empty>
      </Route>
    </Switch>
  );
}

/** A part of the address as it was meant; a lone % stays what it is. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of the server alone leads to the project that it was started in, else to the first that the reader may see. */
function Home() {
  const about = useGet("/api/v1/about", {});
  const projects = useGet("/api/v1/projects", {});
  return (
    <Shown query={about}>
      {({ project }) => (
        <Shown query={projects}>
          {({ items }) => {
            const names = items.map((one) => one.name);
            const first = names.includes(project) ? project : names[0];
            if (first !== undefined) return <Redirect to={`/p/${encodeURIComponent(first)}/runs`} replace />;
            return (
              <Empty title="You have no role in any project yet" command="headrace user role NAME --project PROJECT viewer">
                An admin of a project, or of the server, gives one on the page Admin, or with:
              </Empty>
            );
          }}
        </Shown>
      )}
    </Shown>
  );
}
