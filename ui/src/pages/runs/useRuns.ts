/** The runs of a project: pages of them as they are scrolled to, and the newest kept up to date. */
import { keepPreviousData, useInfiniteQuery, useQuery, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useEffect, useMemo, useRef } from "react";
import { ApiError, get, type Schemas } from "../../api/client";
import { useEvents } from "../../api/events";

export type RunRow = Schemas["RunRow"];

export interface Wanted {
  where: string[];
  flow?: string | undefined;
  state?: string[] | undefined;
  tag?: string[] | undefined;
  mark?: string[] | undefined;
  sort?: string | undefined;
}

const PATH = "/api/v1/projects/{project}/runs" as const;
const PAGE = 100;

export function useRuns(project: string, wanted: Wanted) {
  const key = [PATH, project, wanted];
  const pages = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam, signal }) =>
      get(PATH, { project, ...clean(wanted), limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) }, signal),
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    refetchOnMount: "always",
  });
  const queries = useQueryClient();
  const plain = !wanted.sort && Object.keys(clean(wanted)).length === 0;
  const moved = useRef(false);
  const events = useEvents(`/api/v1/projects/${encodeURIComponent(project)}/events`, ["runs"], ({ data }) => {
    const { items, gone: names } = data as { items: RunRow[]; gone: string[] };
    const changed = new Map(items.map((row) => [row.name, row]));
    const out = new Set(wanted.mark ? [] : names);
    const here = queries.getQueryData<InfiniteData<{ items: RunRow[] }>>(key)?.pages.flatMap((page) => page.items) ?? [];
    const first = here[0]?.created ?? Infinity;
    const shown = new Set(here.map((row) => row.name));
    // Archived, deleted, or restored somewhere below.
    moved.current ||= names.length > 0 || items.some((row) => !shown.has(row.name) && row.created < first);
    // Rows that are here change at once; which of them a filter leaves out, and where new ones belong, says the server.
    const put = <T extends { items: RunRow[] }>(page: T): T => ({
      ...page,
      items: page.items.filter((row) => !out.has(row.name)).map((row) => changed.get(row.name) ?? row),
    });
    queries.setQueryData<InfiniteData<{ items: RunRow[] }>>(key, (now) => now && { ...now, pages: now.pages.map(put) });
    queries.setQueryData<{ items: RunRow[] }>([...key, "newest"], (now) => now && put(now));
  });
  const newest = useQuery({
    queryKey: [...key, "newest"],
    queryFn: ({ signal }) => get(PATH, { project, ...clean(wanted), limit: 40 }, signal),
    refetchInterval: events.open ? 10_000 : 2_000,
    // Where something else than time decides what is listed, the pages that are there are asked for again instead.
    enabled: pages.data !== undefined && !pages.isPlaceholderData && plain,
  });
  const { refetch: whole } = pages;
  const { refetch: top } = newest;
  useEffect(() => {
    if (events.count === 0) return;
    if (plain) void top();
    if (!plain || moved.current) void whole();
    moved.current = false;
  }, [events.count, plain, top, whole]);
  useEffect(() => {
    if (plain || events.open) return;
    const timer = window.setInterval(() => void whole(), 2_000);
    return () => window.clearInterval(timer);
  }, [plain, events.open, whole]);

  const rows = useMemo(() => {
    const older = (pages.data?.pages.flatMap((page) => page.items) ?? []) as RunRow[];
    if (pages.isPlaceholderData) return older;
    const fresh = plain ? ((newest.data?.items ?? []) as RunRow[]) : [];
    const known = new Map(fresh.map((row) => [row.name, row]));
    const seen = new Set(older.map((row) => row.name));
    const added = fresh.filter((row) => !seen.has(row.name));
    return [...added, ...older.map((row) => known.get(row.name) ?? row)];
  }, [pages.data, pages.isPlaceholderData, newest.data, plain]);

  // Runs further down that were live when they were fetched: ask again now and then.
  const live = rows.slice(40).some((row) => row.state === "running");
  const again = useRef(pages.refetch);
  again.current = pages.refetch;
  useEffect(() => {
    if (!live) return;
    const timer = window.setInterval(() => void again.current(), 15_000);
    return () => window.clearInterval(timer);
  }, [live]);

  const failed = pages.error ?? newest.error;
  return { rows, pages, error: failed instanceof Error ? (failed as ApiError) : null };
}

function clean(wanted: Wanted): Wanted {
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value && value.length > 0)) as unknown as Wanted;
}
