/** A metric of several runs on one chart, each in its run's hue. */
import { useQueries } from "@tanstack/react-query";
import { useMemo } from "react";
import { get, RUN, useGet, type Schemas } from "../../api/client";
import { metric } from "../../lib/format";
import { useChangeQuery, useParam } from "../../lib/url";
import { Chart, type Line } from "../../parts/Chart";
import { Menu, MenuAction } from "../../parts/Menu";

const PATH = `${RUN}/metrics/{name}` as const;

interface Props {
  project: string;
  runs: readonly string[];
  metrics: readonly Schemas["ComparedValues"][];
  hues: ReadonlyMap<string, string>;
}

function addressOf(project: string, run: string): { project: string; flow: string; number: number } {
  const cut = run.lastIndexOf("/");
  return { project, flow: run.slice(0, cut), number: Number(run.slice(cut + 1)) };
}

export default function Overlaid({ project, runs, metrics, hues }: Props) {
  const change = useChangeQuery();
  const [chosen] = useParam("metric");
  const [log] = useParam("log");
  // Unless one was chosen: the metric with most points, as the first run that has metrics says.
  const place = metrics[0]?.values.findIndex((one) => one !== null) ?? -1;
  const first = addressOf(project, runs[Math.max(0, place)] ?? "");
  const summaries = useGet(`${RUN}/metrics` as const, first, { fixed: true });
  const longest = [...(summaries.data?.items ?? [])].sort((a, b) => b.count - a.count)[0]?.name;
  const name = metrics.some((one) => one.name === chosen) ? chosen : (longest ?? metrics[0]?.name ?? "");
  const values = metrics.find((one) => one.name === name)?.values ?? [];
  const answers = useQueries({
    queries: runs.slice(0, 20).map((run, index) => {
      const has = values[index] !== null && values[index] !== undefined && !summaries.isPending;
      const at = addressOf(project, run);
      return { enabled: has, queryKey: [PATH, { ...at, name, points: 400 }], queryFn: () => get(PATH, { ...at, name, points: 400 }), retry: false, staleTime: 30_000 };
    }),
  });
  const state = answers.map((one) => one.dataUpdatedAt).join(" ");
  const lines = useMemo<Line[]>(
    () =>
      runs.slice(0, 20).flatMap((run, index) => {
        const points = (answers[index]?.data?.series ?? []).flatMap((one) => one.steps.map((step, place) => [step, one.values[place] ?? 0] as const));
        if (points.length === 0) return [];
        // Tasks of a run that log the same steps: their mean.
        const by = new Map<number, number[]>();
        for (const [step, value] of points) by.set(step, [...(by.get(step) ?? []), value]);
        const sorted = [...by].sort(([a], [b]) => a - b);
        return [{ name: run, hue: hues.get(run) ?? "--c1", x: sorted.map(([x]) => x), y: sorted.map(([, ys]) => ys.reduce((sum, one) => sum + one, 0) / ys.length) }];
      }),
    [state, name, runs.join(" ")],
  );
  return (
    <>
      <div className="toolbar bare">
        <Menu label="Metric" button={<span className="cut">{name}</span>}>
          {metrics.map((one) => (
            <MenuAction key={one.name} onSelect={() => change({ metric: one.name })}>
              {one.name}
            </MenuAction>
          ))}
        </Menu>
        <button type="button" className="button" aria-pressed={log === "1"} onClick={() => change({ log: log ? null : "1" })}>
          Log scale
        </button>
      </div>
      <Chart
        lines={lines}
        log={log === "1"}
        time={false}
        smooth={0}
        height={300}
        label={`${name} of ${runs.length} runs: ${lines.map((one) => `${one.name} ends at ${metric(one.y.at(-1))}`).join(", ")}`}
        zoom={null}
        onZoom={() => undefined}
      />
    </>
  );
}
