/** What one task printed, on its page. */
import { useCallback, useState } from "react";
import { Problem } from "../../parts/Bits";
import { LogView } from "../run/logs/LogView";
import { useLog } from "../run/logs/useLog";

interface Props {
  at: { project: string; flow: string; number: number };
  step: string;
  task: string;
  live: boolean;
  tick: number;
}

const NONE: number[] = [];

export function TaskLogs({ at, step, task, live, tick }: Props) {
  const [began] = useState(live); // what is here stays when the task ends
  const [follow, setFollow] = useState(live);
  const log = useLog(at, { step, task }, { live, tick, fromEnd: began });
  const none = useCallback(() => null, []);
  if (log.error) return <Problem error={log.error} retry={log.load} />;
  if (log.lines.length === 0) return log.version > 1 && !log.loading ? <p className="quiet">{live ? "Nothing was printed yet." : "It printed nothing."}</p> : null;
  return (
    <LogView
      lines={log.lines}
      version={log.version}
      since={log.lines[0]?.time ?? 0}
      showTask={false}
      wrap={false}
      search=""
      hit={-1}
      hits={NONE}
      linked=""
      onLink={none}
      taskHref={none}
      follow={follow}
      onFollow={setFollow}
      onEnd={log.load}
      label={`Output of ${step}/${task}`}
      short
    />
  );
}
