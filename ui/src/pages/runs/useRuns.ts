/** The runs of a project: pages of them as they are scrolled to, and the newest kept up to date. */
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
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
  });
  const events = useEvents(`/api/v1/projects/${encodeURIComponent(project)}/events`, ["runs"]);
  const newest = useQuery({
    queryKey: [...key, "newest"],
    queryFn: ({ signal }) => get(PATH, { project, ...clean(wanted), limit: 40 }, signal),
    refetchInterval: events.open ? 10_000 : 2_500,
    // Where something else than time decides the order, the pages that are there are asked for again instead.
    enabled: pages.data !== undefined && !pages.isPlaceholderData && !wanted.sort,
  });
  const refetch = wanted.sort ? pages.refetch : newest.refetch;
  useEffect(() => {
    if (events.count > 0) void refetch();
  }, [events.count, refetch]);

  const rows = useMemo(() => {
    const older = (pages.data?.pages.flatMap((page) => page.items) ?? []) as RunRow[];
    if (pages.isPlaceholderData) return older;
    const fresh = (newest.data?.items ?? []) as RunRow[];
    const known = new Map(fresh.map((row) => [row.name, row]));
    const seen = new Set(older.map((row) => row.name));
    const added = fresh.filter((row) => !seen.has(row.name));
    return [...added, ...older.map((row) => known.get(row.name) ?? row)];
  }, [pages.data, pages.isPlaceholderData, newest.data]);

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
