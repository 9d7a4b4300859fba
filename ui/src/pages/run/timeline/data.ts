/** Attempts as bars: in rows of workers, with the chain that took longest. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { get, RUN, useGet, type ApiError, type Schemas } from "../../../api/client";
import { duration } from "../../../lib/format";
import type { RunAddress } from "../useRun";

export type Usage = Schemas["UsageView"];

/** An attempt, or several that are too short to be told apart, one after the other on a worker. */
export interface Bar {
  step: string;
  /** The last part of its name; of the first one where there are several. */
  task: string;
  attempt: number;
  state: string;
  started: number;
  finished: number | null;
  attempts: number;
  wasted: number;
  worker: number;
  cpu_seconds: number;
  peak_memory: number;
}

export interface Rows {
  workers: string[];
  /** Bars of each worker, by start. */
  bars: Bar[][];
  start: number;
  end: number;
}

const PATH = `${RUN}/usage` as const;

export function useUsage(at: RunAddress) {
  return useGet(PATH, { ...at });
}

/** The spans of a narrower time, where those of all of it hold several attempts; asked for when the zoom has come to rest. */
export function useDetail(at: RunAddress, usage: Usage, from: string, to: string): Usage {
  const wanted = usage.merged && from && to ? `${from} ${to}` : "";
  const [rested, setRested] = useState(wanted);
  useEffect(() => {
    const timer = window.setTimeout(() => setRested(wanted), 150);
    return () => window.clearTimeout(timer);
  }, [wanted]);
  const [begin = 0, until = 0] = rested.split(" ").map(Number);
  const query = useQuery<Usage, ApiError>({
    queryKey: [PATH, { ...at }, rested],
    queryFn: ({ signal }) => get(PATH, { ...at, begin, until }, signal),
    enabled: rested !== "",
    placeholderData: keepPreviousData,
  });
  return wanted && query.data ? query.data : usage;
}

export function useBars(usage: Usage): Bar[] {
  return useMemo(() => barsOf(usage), [usage]);
}

function barsOf({ spans, start, steps }: Usage): Bar[] {
  const absolute = (offset: number | null | undefined) => (offset === null || offset === undefined ? null : start + offset);
  return spans.start.map((begun, index) => ({
    step: steps[spans.step[index] ?? 0]?.name ?? "",
    task: spans.task[index] ?? "",
    attempt: spans.attempt[index] ?? 1,
    state: spans.state[index] ?? "",
    started: start + begun,
    finished: absolute(spans.end[index]),
    attempts: spans.attempts[index] ?? 1,
    wasted: spans.wasted[index] ?? 0,
    worker: spans.worker[index] ?? 0,
    cpu_seconds: spans.cpu_seconds[index] ?? 0,
    peak_memory: spans.peak_memory[index] ?? 0,
  }));
}

/** A row for each worker, by when its first attempt started; `bars` may be those of a part of the time. */
export function rowsOf(usage: Usage, all: readonly Bar[], bars: readonly Bar[], now: number): Rows {
  const order = [...new Set([...all].sort((a, b) => a.started - b.started).map((bar) => bar.worker))];
  const place = new Map(order.map((worker, row) => [worker, row]));
  const rows: Bar[][] = order.map(() => []);
  for (const bar of bars) rows[place.get(bar.worker) ?? 0]?.push(bar);
  const running = all.some((bar) => bar.finished === null);
  return { workers: order.map((worker) => usage.workers[worker]?.name ?? ""), bars: rows, start: usage.start, end: running ? Math.max(usage.end, now) : usage.end };
}

/** The chain that ends last: before each attempt, the one of a step it takes data from that ended last. */
export function longestChain(bars: readonly Bar[], parents: ReadonlyMap<string, readonly string[]>): Set<Bar> {
  const ended = bars.filter((one) => one.finished !== null);
  const byStep = new Map<string, Bar[]>();
  for (const one of ended) {
    const row = byStep.get(one.step);
    if (row) row.push(one);
    else byStep.set(one.step, [one]);
  }
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

/** Distances of ticks on an axis of seconds. */
export const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];

/** Ticks of an axis of seconds: round distances, at most `most`. */
export function ticksOf(span: number, most: number): number {
  return SECONDS.find((one) => span / one <= most) ?? Math.ceil(span / most / 86400) * 86400;
}

/** A time of an axis whose ticks are `tick` seconds apart: as exact as they are. */
export function tickText(at: number, tick: number): string {
  if (tick >= 1 || at < 60) return duration(at);
  const places = tick < 0.01 ? 3 : tick < 0.1 ? 2 : 1;
  const [whole, rest] = [Math.floor(at / 60), (at % 60).toFixed(places)];
  return whole < 60 ? `${whole} min ${rest} s` : `${Math.floor(whole / 60)} h ${whole % 60} min ${rest} s`;
}
