/** Tasks of a run as rows of one long table: pages of it are fetched where they are looked at. */
import { useInfiniteQuery, useQueries } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { get, RUN, type ApiError, type Schemas } from "../../api/client";
import type { RunAddress, StepView } from "./useRun";

export type TaskRow = Schemas["TaskRow"];
const PATH = `${RUN}/tasks` as const;
const PAGE = 200;

interface Part {
  step: string;
  /** Number of the first task. */
  start: number;
  size: number;
  /** Row of the first task. */
  row: number;
}

/** Which tasks stand in which rows: steps in their order, tasks of a step by number. */
export function partsOf(steps: readonly StepView[], only: string): Part[] {
  const parts: Part[] = [];
  let row = 0;
  for (const step of steps) {
    if (only && step.step !== only) continue;
    const total = step.total + (step.counts["stale"] ?? 0);
    for (let start = 1; start <= total; start += PAGE) {
      const size = Math.min(PAGE, total - start + 1);
      parts.push({ step: step.step, start, size, row });
      row += size;
    }
  }
  return parts;
}

export interface Tasks {
  rows: readonly (TaskRow | undefined)[];
  total: number;
  near: (first: number, last: number) => void;
  error: ApiError | null;
}

/** All tasks, or those of one step: any row can be looked at without those before it. */
export function useAllTasks(at: RunAddress, steps: readonly StepView[], only: string, enabled: boolean, live: boolean): Tasks {
  const [range, setRange] = useState<[number, number]>([0, 60]);
  const parts = useMemo(() => partsOf(steps, only), [steps, only]);
  const seen = parts.filter((part) => part.row + part.size > range[0] - 100 && part.row < range[1] + 100);
  const answers = useQueries({
    queries: seen.map((part) => ({
      queryKey: [PATH, { ...at }, part.step, part.start],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        get(PATH, { ...at, step: part.step, start: part.start, limit: part.size }, signal),
      enabled,
      staleTime: live ? 1000 : 60_000,
    })),
  });
  const rows = useMemo(() => {
    const found: (TaskRow | undefined)[] = [];
    seen.forEach((part, index) => {
      const items = ((answers[index]?.data as { items: TaskRow[] } | undefined)?.items ?? []) as TaskRow[];
      items.forEach((item, place) => {
        const offset = item.number - part.start;
        found[part.row + (offset < part.size ? offset : place)] = item;
      });
    });
    return found;
  }, [seen, answers]);
  const waits = useRef<{ timer: number; next: [number, number] }>({ timer: 0, next: [0, 60] });
  const near = useCallback((first: number, last: number) => {
    // In steps of 50 rows, at most every tenth of a second, and not while a frame is made.
    const found = waits.current;
    found.next = [Math.floor(first / 50) * 50, Math.ceil(last / 50) * 50];
    if (found.timer) return;
    found.timer = window.setTimeout(() => {
      found.timer = 0;
      setRange((now) => (now[0] === found.next[0] && now[1] === found.next[1] ? now : found.next));
    }, 100);
  }, []);
  useEffect(() => () => window.clearTimeout(waits.current.timer), []);
  const last = parts.at(-1);
  const failed = answers.find((one) => one.error);
  return { rows, total: last ? last.row + last.size : 0, near, error: (failed?.error as ApiError | undefined) ?? null };
}

/** Tasks in some states: one page after the other. */
export function useTasksInStates(at: RunAddress, only: string, states: readonly string[], enabled: boolean): Tasks & { done: boolean } {
  const pages = useInfiniteQuery({
    queryKey: [PATH, { ...at }, only, states],
    queryFn: ({ pageParam, signal }) =>
      get(
        PATH,
        {
          ...at,
          ...(only ? { step: only } : {}),
          state: states as never,
          limit: PAGE,
          ...(pageParam ? { cursor: pageParam } : {}),
        },
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
    enabled,
  });
  const rows = useMemo(() => (pages.data?.pages.flatMap((page) => page.items) ?? []) as TaskRow[], [pages.data]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = pages;
  const near = useCallback(
    (_: number, last: number) => {
      if (last > rows.length - 60 && hasNextPage && !isFetchingNextPage) void fetchNextPage();
    },
    [rows.length, hasNextPage, isFetchingNextPage, fetchNextPage],
  );
  return { rows, total: rows.length, near, error: pages.error as ApiError | null, done: pages.isSuccess };
}
