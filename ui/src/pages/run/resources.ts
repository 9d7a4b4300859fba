/** What attempts used, as curves over time and sums by step and by worker. */
import type { Bar } from "./timeline/data";

export type Attempt = Pick<Bar, "step" | "state" | "started" | "finished" | "cpu_seconds" | "peak_memory" | "place" | "worker">;

export interface Curves {
  /** Seconds since the first start. */
  x: number[];
  running: number[];
  /** Cores in use: the CPU time of an attempt spread over its duration. */
  cores: number[];
  /** The peaks of what ran at that time, added: no more than this was in use. */
  memory: number[];
}

export interface Sum {
  name: string;
  attempts: number;
  /** Attempts that came to nothing: failed, lost or cancelled. */
  wasted: number;
  wastedSeconds: number;
  seconds: number;
  cpu: number;
  peak: number;
}

/** Means over `points` pieces of the time from the first start to the last end. */
export function curvesOf(attempts: readonly Attempt[], now: number, points = 400): Curves {
  const begin = attempts.reduce((least, one) => Math.min(least, one.started), Infinity);
  const end = attempts.reduce((last, one) => Math.max(last, one.finished ?? now), begin);
  const width = Math.max(1e-6, (end - begin) / points);
  const found: Curves = { x: [], running: [], cores: [], memory: [] };
  for (let index = 0; index < points; index += 1) {
    found.x.push(index * width);
    found.running.push(0);
    found.cores.push(0);
    found.memory.push(0);
  }
  for (const one of attempts) {
    const [from, to] = [one.started - begin, (one.finished ?? now) - begin];
    const cores = one.cpu_seconds / Math.max(to - from, 1e-6);
    const [first, last] = [Math.max(0, Math.floor(from / width)), Math.min(points - 1, Math.floor(to / width))];
    for (let index = first; index <= last; index += 1) {
      const share = Math.max(0, Math.min(to, (index + 1) * width) - Math.max(from, index * width)) / width;
      found.running[index] = (found.running[index] ?? 0) + share;
      found.cores[index] = (found.cores[index] ?? 0) + share * cores;
      found.memory[index] = (found.memory[index] ?? 0) + (share > 0 ? one.peak_memory : 0);
    }
  }
  return found;
}

/** Sums by what `key` says, in the order of their first attempt. */
export function sumsOf(attempts: readonly Attempt[], key: (one: Attempt) => string, now: number): Sum[] {
  const sums = new Map<string, Sum>();
  for (const one of attempts) {
    const name = key(one);
    const sum = sums.get(name) ?? { name, attempts: 0, wasted: 0, wastedSeconds: 0, seconds: 0, cpu: 0, peak: 0 };
    const seconds = Math.max(0, (one.finished ?? now) - one.started);
    sum.attempts += 1;
    sum.seconds += seconds;
    sum.cpu += one.cpu_seconds;
    sum.peak = Math.max(sum.peak, one.peak_memory);
    if (one.state === "failed" || one.state === "lost" || one.state === "cancelled") {
      sum.wasted += 1;
      sum.wastedSeconds += seconds;
    }
    sums.set(name, sum);
  }
  return [...sums.values()];
}
