/** Attempts as bars: in rows of workers, with the chain that took longest. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { get, RUN, type Schemas } from "../../../api/client";
import type { RunAddress } from "../useRun";

export type Bar = Schemas["TimelineItem"];

export interface Rows {
  workers: string[];
  /** Bars of each worker, by start. */
  bars: Bar[][];
  start: number;
  end: number;
}

const PATH = `${RUN}/attempts` as const;

export function useBars(at: RunAddress) {
  const query = useInfiniteQuery({
    queryKey: [PATH, { ...at }],
    queryFn: ({ pageParam, signal }) => get(PATH, { ...at, limit: 10_000, ...(pageParam ? { cursor: pageParam } : {}) }, signal),
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const { hasNextPage, isFetchingNextPage, fetchNextPage, data } = query;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage, data]);
  const bars = useMemo(() => (data?.pages.flatMap((page) => page.items) ?? []) as Bar[], [data]);
  return { query, bars };
}

export function rowsOf(bars: readonly Bar[], now: number): Rows {
  const byWorker = new Map<string, Bar[]>();
  let [start, end] = [Infinity, -Infinity];
  for (const bar of bars) {
    const key = `${bar.place && bar.place !== "local" ? `${bar.place} ` : ""}${bar.worker || "unknown"}`;
    const row = byWorker.get(key);
    if (row) row.push(bar);
    else byWorker.set(key, [bar]);
    start = Math.min(start, bar.started);
    end = Math.max(end, bar.finished ?? now);
  }
  const entries = [...byWorker];
  for (const [, row] of entries) row.sort((a, b) => a.started - b.started);
  entries.sort(([, a], [, b]) => (a[0]?.started ?? 0) - (b[0]?.started ?? 0));
  return { workers: entries.map(([name]) => name), bars: entries.map(([, row]) => row), start, end };
}

/** The chain that ends last: before each attempt, the one of a step it takes data from that ended last. */
export function longestChain(bars: readonly Bar[], parents: ReadonlyMap<string, readonly string[]>): Set<Bar> {
  const ended = bars.filter((one) => one.finished !== null);
  const byStep = new Map<string, Bar[]>();
  for (const one of ended) byStep.set(one.step, [...(byStep.get(one.step) ?? []), one]);
  for (const row of byStep.values()) row.sort((a, b) => (a.finished ?? 0) - (b.finished ?? 0));
  let at = ended.reduce<Bar | undefined>((last, one) => (!last || (one.finished ?? 0) > (last.finished ?? 0) ? one : last), undefined);
  const found = new Set<Bar>();
  while (at && !found.has(at)) {
    found.add(at);
    const before: number = at.started + 0.005;
    let best: Bar | undefined;
    for (const step of parents.get(at.step) ?? []) {
      const one = lastBefore(byStep.get(step) ?? [], before, found);
      if (one && (!best || (one.finished ?? 0) > (best.finished ?? 0))) best = one;
    }
    at = best;
  }
  return found;
}

function lastBefore(row: readonly Bar[], time: number, not: ReadonlySet<Bar>): Bar | undefined {
  let [low, high] = [0, row.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((row[middle]?.finished ?? 0) <= time) low = middle + 1;
    else high = middle;
  }
  for (let index = low - 1; index >= 0; index -= 1) {
    const one = row[index];
    if (one && !not.has(one)) return one;
  }
  return undefined;
}

/** Ticks of an axis of seconds: round distances, at most `most`. */
export function ticksOf(span: number, most: number): number {
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];
  return steps.find((one) => span / one <= most) ?? Math.ceil(span / most / 86400) * 86400;
}
