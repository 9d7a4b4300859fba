/** What happened to a pod, in plain words, as Kubernetes and the driver told it. */
import type { Schemas } from "../api/client";
import { count } from "../lib/format";
import { Time } from "./Bits";

export function PodEvents({ pod, last }: { pod: Schemas["PodView"]; last?: number }) {
  const shown = last ? pod.events.slice(-last) : pod.events;
  if (shown.length === 0) return <p className="quiet">Nothing was told of it.</p>;
  return (
    <ol className="pod-events">
      {shown.map((one, index) => (
        <li key={index}>
          <Time at={one.time} />
          <span>
            {one.text}
            {one.count > 1 && <span className="quiet"> {count(one.count)} times</span>}
          </span>
        </li>
      ))}
    </ol>
  );
}
