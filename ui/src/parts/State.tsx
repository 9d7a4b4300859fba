/** States by colour and shape: running ring, succeeded dot, failed square, waiting hollow, cached bolt, cancelled bar. */
import type { ReactElement } from "react";

const SHAPES: Record<string, ReactElement> = {
  running: (
    <>
      <circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" strokeWidth="2" strokeOpacity="0.35" />
      <path className="spin" d="M6 1.8A4.2 4.2 0 0 1 10.200 6" fill="none" stroke="currentColor" strokeWidth="2" />
    </>
  ),
  succeeded: <circle cx="6" cy="6" r="4.6" fill="currentColor" />,
  failed: <rect x="1.6" y="1.6" width="8.8" height="8.8" rx="1" fill="currentColor" />,
  waiting: <circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" strokeWidth="1.500" />,
  ready: <circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" strokeWidth="1.500" strokeDasharray="2 1.600" />,
  delayed: (
    <path d="M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8M6 3.600V6l1.800 1.200" fill="none" stroke="currentColor" strokeWidth="1.400" />
  ),
  cached: <path d="M7 0.800 2.200 6.900h3.200L5 11.200l4.800-6.100H6.600z" fill="currentColor" />,
  cancelled: <rect x="1" y="4.500" width="10" height="3" rx="1" fill="currentColor" />,
  interrupted: <path d="M2.500 1.500h2.600v9H2.500zM6.900 1.500h2.600v9H6.900z" fill="currentColor" />,
  crashed: <path d="M6 0.800 11.600 11H0.400z" fill="currentColor" />,
  lost: <path d="M6 1.200 10.800 6 6 10.800 1.200 6z" fill="none" stroke="currentColor" strokeWidth="1.500" />,
  stale: <circle cx="6" cy="6" r="2.200" fill="currentColor" />,
};

export function hueOf(state: string): string {
  if (state === "ready" || state === "delayed" || state === "stale") return "waiting";
  if (state === "crashed" || state === "lost") return "interrupted";
  return state in SHAPES ? state : "waiting";
}

export function StateMark({ state, size = 12 }: { state: string; size?: number }) {
  return (
    <svg className={`mark s-${hueOf(state)}`} width={size} height={size} viewBox="0 0 12 12" aria-hidden="true">
      {SHAPES[state] ?? SHAPES["waiting"]}
    </svg>
  );
}

/** The state of a run in words: one whose driver has not begun in its cluster is pending. */
export const shownState = (run: { state: string; driver: string }): string => (run.driver === "pending" ? run.driver : run.state);

/** Marks that style sheets draw: lists have thousands of them. */
const DRAWN = new Set(["succeeded", "failed", "cached"]);

export function State({ state }: { state: string }) {
  if (DRAWN.has(state)) return <span className={`state drawn s-${state}`}>{state}</span>;
  return (
    <span className={`state s-${hueOf(state)}`}>
      <StateMark state={state} />
      {state}
    </span>
  );
}

/** Tasks of a run or step by state, as one small bar; its label says the numbers. */
export function StateBar({ counts, total }: { counts: Record<string, number>; total: number }) {
  const order = ["succeeded", "cached", "failed", "cancelled", "lost", "running", "delayed", "ready", "waiting"];
  const shown = order.filter((state) => (counts[state] ?? 0) > 0);
  const known = shown.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
  const whole = Math.max(total, known, 1);
  const label = shown.map((state) => `${counts[state]} ${state}`).join(", ") || "no tasks yet";
  let x = 0;
  return (
    <svg className="statebar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={label}>
      <title>{label}</title>
      <rect className="statebar-rest" width="100" height="8" />
      {shown.map((state) => {
        const width = ((counts[state] ?? 0) / whole) * 100;
        const at = x;
        x += width;
        const faint = ["waiting", "ready", "delayed"].includes(state);
        return (
          <rect key={state} className={`f-${hueOf(state)}${faint ? " faint" : ""}`} x={at} width={width} height="8" />
        );
      })}
    </svg>
  );
}

/** Counts in which results that were taken over stand apart. */
export function withReused(counts: Record<string, number>, reused: number | null | undefined): Record<string, number> {
  if (!reused) return counts;
  return { ...counts, cached: reused, succeeded: Math.max(0, (counts["succeeded"] ?? 0) - reused) };
}
