/** Why a task ran, or was reused: its verdict, and which parts of its key differ from another task's. */
import { RUN, useGet } from "../../api/client";
import { plural } from "../../lib/format";
import { Problem, Section } from "../../parts/Bits";

interface Props {
  at: { project: string; flow: string; number: number };
  step: string;
  task: string;
}

export function Explain({ at, step, task }: Props) {
  const query = useGet(`${RUN}/tasks/{step}/{task}/explain` as const, { ...at, step, task });
  if (query.error) return <Section title="Why it ran"><Problem error={query.error} /></Section>;
  const found = query.data;
  if (!found) return null;
  const changed = found.compared?.parts.filter((one) => !one.same) ?? [];
  const same = found.compared?.parts.filter((one) => one.same) ?? [];
  return (
    <Section title="Why it ran">
      <p>
        <b>{found.verdict}</b>
        {found.reason && `: ${found.reason}`}
      </p>
      {found.compared && (
        <div className="explain">
          <p className="quiet">
            Beside <code>{found.compared.task}</code>
            {changed.length === 0 ? ": nothing differs" : ":"}
          </p>
          <ul>
            {changed.map((one) => (
              <li key={one.part}>
                <b>{one.part}</b>
                <del className="diff-del">{one.left || "(none)"}</del>
                <ins className="diff-ins">{one.right || "(none)"}</ins>
                {one.details.map((detail) => (
                  <span key={detail} className="quiet">
                    {detail}
                  </span>
                ))}
              </li>
            ))}
          </ul>
          {same.length > 0 && <p className="quiet">the same: {same.map((one) => one.part).join(", ")}</p>}
        </div>
      )}
      {Object.keys(found.code_parts).length > 0 && (
        <details>
          <summary>Code that the step reaches: {plural(Object.keys(found.code_parts).length, "part")}</summary>
          <ul className="plain-list">
            {Object.entries(found.code_parts).map(([name, digest]) => (
              <li key={name}>
                <code>{name}</code> <code className="quiet">{digest.slice(0, 8)}</code>
                {found.code_changed.includes(name) && <b> changed</b>}
              </li>
            ))}
          </ul>
        </details>
      )}
    </Section>
  );
}
