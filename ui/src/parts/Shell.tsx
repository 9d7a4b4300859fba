/** The bar at the top, the help of the keyboard, and the quiet line that says when the server is away. */
import { useIsFetching, useQueryClient } from "@tanstack/react-query";
import { CircleHelp, Monitor, Moon, Sun } from "lucide-react";
import { useEffect, useState, type ReactNode } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { ApiError, useGet } from "../api/client";
import { allShortcuts, useShortcuts } from "../lib/keys";
import { useSetting } from "../lib/store";
import { runsPage } from "../lib/url";
import { Dialog } from "./Bits";
import { Menu, MenuLink } from "./Menu";
import { Account, useMay, useSession } from "./Account";

/** The project of the address, else the one the server was started in. */
export function useProject(): string {
  const [location] = useLocation();
  const asked = new URLSearchParams(useSearch()).get("project");
  const about = useGet("/api/v1/about", {}, { fixed: true });
  const named = /^\/p\/([^/]+)/.exec(location)?.[1];
  return named ? decodeURIComponent(named) : asked || (about.data?.project ?? "");
}

export function Shell({ children }: { children: ReactNode }) {
  const [location, navigate] = useLocation();
  const project = useProject();
  const [help, setHelp] = useState(false);
  const base = `/p/${encodeURIComponent(project)}`;
  const session = useSession();
  const may = useMay(project);
  useShortcuts([
    { keys: "?", does: "Show this help", run: () => setHelp(true) },
    { keys: "g r", does: "Go to the runs", run: () => navigate(`${base}/runs`) },
    { keys: "g a", does: "Go to the artifacts", run: () => navigate(`${base}/artifacts`) },
    { keys: "g w", does: "Go to what waits for an answer", run: () => navigate(`${base}/waits`) },
    { keys: "/", does: "Search or filter", run: focusSearch },
  ]);
  const links = [
    [`${base}/runs`, "Runs"],
    [`${base}/artifacts`, "Artifacts"],
    [`${base}/waits`, "Waits"],
  ] as const;
  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <header className="bar">
        <Link href={project ? runsPage(project) : "/"} className="brand" aria-label="Headrace, all runs">
          <svg width="22" height="22" viewBox="0 0 24 24" aria-hidden="true">
            <rect width="24" height="24" rx="5" fill="var(--accent)" />
            <path
              d="M4 9c2.700 0 2.700 2 5.300 2s2.700-2 5.400-2 2.600 2 5.300 2M4 14c2.700 0 2.700 2 5.300 2s2.700-2 5.400-2 2.600 2 5.300 2"
              fill="none"
              stroke="var(--on-accent)"
              strokeWidth="1.900"
              strokeLinecap="round"
            />
          </svg>
          <span>Headrace</span>
        </Link>
        <ProjectMenu project={project} />
        <nav aria-label="Main">
          {links.map(([to, title]) => (
            <Link key={to} href={to} {...(location.startsWith(to) ? { "aria-current": "page" as const } : {})}>
              {title}
            </Link>
          ))}
          {(may.manage || session.data?.auth === "none") && (
            <Link href={`/admin?project=${encodeURIComponent(project)}`} {...(location.startsWith("/admin") ? { "aria-current": "page" as const } : {})}>
              Admin
            </Link>
          )}
        </nav>
        <span className="bar-rest" />
        <ThemeButton />
        <button type="button" className="iconbutton help" onClick={() => setHelp(true)} aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)">
          <CircleHelp size={16} aria-hidden />
        </button>
        <Account />
      </header>
      <Away />
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <Dialog title="Keyboard" open={help} onClose={() => setHelp(false)}>
        <table className="keys">
          <tbody>
            {allShortcuts().map((one) => (
              <tr key={one.keys}>
                <td>
                  {one.keys.split(", ").map((keys) => (
                    <span key={keys} className="keycombo">
                      {keys.split(" ").map((key, index) => (
                        <kbd key={index}>{key}</kbd>
                      ))}
                    </span>
                  ))}
                </td>
                <td>{one.does}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Dialog>
    </>
  );
}

function focusSearch(): void {
  const field = document.querySelector<HTMLElement>("[data-search]");
  field?.focus();
  if (field instanceof HTMLInputElement) field.select();
}

function ProjectMenu({ project }: { project: string }) {
  const projects = useGet("/api/v1/projects", {}, { enabled: Boolean(project) });
  const names = projects.data?.items.map((one) => one.name) ?? [];
  if (!project || (names.length <= 1 && names[0] === project)) return <span className="project-name">{project}</span>;
  return (
    <Menu label={`Project ${project}`} button={<span className="project-name">{project}</span>}>
      {names.map((name) => (
        <MenuLink key={name} href={runsPage(name)} chosen={name === project}>
          {name}
        </MenuLink>
      ))}
    </Menu>
  );
}

const THEMES = { system: "light", light: "dark", dark: "system" } as const;

function ThemeButton() {
  const [theme, setTheme] = useSetting("theme");
  const now = theme === "light" || theme === "dark" ? theme : "system";
  useEffect(() => {
    if (now === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = now;
  }, [now]);
  const next = THEMES[now];
  const Icon = now === "system" ? Monitor : now === "light" ? Sun : Moon;
  return (
    <button
      type="button"
      className="iconbutton"
      onClick={() => setTheme(next === "system" ? null : next)}
      aria-label={`Theme: ${now}; change to ${next}`}
      title={`Theme: ${now}`}
    >
      <Icon size={16} aria-hidden />
    </button>
  );
}

/** One quiet line while the server does not answer; gone as soon as it does. */
function Away() {
  const queries = useQueryClient();
  const busy = useIsFetching();
  const [away, setAway] = useState(false);
  useEffect(() => {
    const check = () => {
      const failed = queries.getQueryCache().getAll().some((query) => {
        const error = query.state.fetchFailureReason ?? query.state.error;
        return query.getObserversCount() > 0 && error instanceof ApiError && (error.status === 0 || error.status === 503);
      });
      setAway(failed);
    };
    check();
    return queries.getQueryCache().subscribe(check);
  }, [queries, busy]);
  useEffect(() => {
    if (!away) return;
    const timer = window.setInterval(() => void queries.refetchQueries({ type: "active", stale: true }), 2000);
    return () => window.clearInterval(timer);
  }, [away, queries]);
  return (
    <div className="away" role="status">
      {away && "The server, or its store, does not answer. What you see may be old; this page tries again every 3 s."}
    </div>
  );
}
