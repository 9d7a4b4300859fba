/** What metrics came to: their last, smallest and largest values. */
import { Link } from "wouter";
import type { Schemas } from "../api/client";
import { count, metric } from "../lib/format";

/** `href` leads from a metric's name to its chart, where there is one. */
export function MetricTable({ metrics, href }: { metrics: Schemas["MetricView"][]; href?: (name: string) => string }) {
  return (
    <div className="scroll-x" tabIndex={0} role="group" aria-label="Table">
      <table className="plain-table">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col" className="right">Last</th>
            <th scope="col" className="right">Smallest</th>
            <th scope="col" className="right">Largest</th>
            <th scope="col" className="right">Points</th>
          </tr>
        </thead>
        <tbody>
          {metrics.map((one) => (
            <tr key={one.name}>
              <td>{href ? <Link href={href(one.name)}>{one.name}</Link> : one.name}</td>
              <td className="right num strong">{metric(one.last)}</td>
              <td className="right num">{metric(one.min)}</td>
              <td className="right num">{metric(one.max)}</td>
              <td className="right num quiet">{count(one.count)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
