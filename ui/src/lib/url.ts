/** The address is the state of a page: filters, sort, columns, selection, zoom. */
import { useCallback, useMemo } from "react";
import { useLocation, useSearch } from "wouter";

export type Query = Record<string, string | number | boolean | null | undefined | readonly string[]>;

export function withQuery(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "" || value === false) continue;
    if (Array.isArray(value)) for (const one of value) search.append(name, one);
    else search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

const part = encodeURIComponent;

export const runsPage = (project: string, query: Query = {}): string => withQuery(`/p/${part(project)}/runs`, query);
export const runPage = (project: string, run: string, tab = "", query: Query = {}): string => {
  const at = run.lastIndexOf("/");
  const base = `/p/${part(project)}/runs/${part(run.slice(0, at))}/${part(run.slice(at + 1))}`;
  return withQuery(tab ? `${base}/${tab}` : base, query);
};
/** `task` is a full name, `train/42/fit/3`. The flow function's own task is `train/42//0`. */
export const taskPage = (project: string, run: string, step: string, number: string | number, tab = ""): string =>
  runPage(project, run, `tasks/${part(step || "-")}/${part(String(number))}${tab ? `/${tab}` : ""}`);

/** One value of the address's query, and a function that changes it without a new entry in the history. */
export function useParam(name: string, fallback = ""): [string, (value: string, push?: boolean) => void] {
  const search = useSearch();
  const value = useMemo(() => new URLSearchParams(search).get(name) ?? fallback, [search, name, fallback]);
  const change = useChangeQuery();
  const set = useCallback(
    (next: string, push = false) => change({ [name]: next === fallback ? null : next }, push),
    [change, name, fallback],
  );
  return [value, set];
}

export function useParams(name: string): [string[], (values: readonly string[]) => void] {
  const search = useSearch();
  const values = useMemo(() => new URLSearchParams(search).getAll(name), [search, name]);
  const change = useChangeQuery();
  return [values, useCallback((next) => change({ [name]: next }), [change, name])];
}

/** Change several values of the query at once. */
export function useChangeQuery(): (changes: Query, push?: boolean) => void {
  const [, navigate] = useLocation();
  return useCallback(
    (changes: Query, push = false) => {
      const now = new URLSearchParams(window.location.search);
      for (const [name, value] of Object.entries(changes)) {
        now.delete(name);
        if (value === null || value === undefined || value === "" || value === false) continue;
        if (Array.isArray(value)) for (const one of value) now.append(name, one);
        else now.set(name, String(value));
      }
      const text = now.toString();
      navigate(window.location.pathname + (text ? `?${text}` : ""), { replace: !push });
    },
    [navigate],
  );
}
