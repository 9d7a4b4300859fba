import { useDeferredValue } from "react";
import { RUN, useGet } from "../../api/client";
import { count, plural } from "../../lib/format";
import { useParam } from "../../lib/url";
import { Empty, Facts, Section, Shown } from "../../parts/Bits";
import { RunPicker } from "../../parts/RunPicker";
import { useRun } from "./useRun";

export default function Environment() {
  const { at, name } = useRun();
  const [other, setOther] = useParam("with");
  const [filter, setFilter] = useParam("q");
  const wanted = useDeferredValue(filter.toLowerCase());
  const query = useGet(`${RUN}/environment` as const, { ...at, ...(other ? { with: other } : {}) }, { keep: true });
  return (
    <>
      <div className="toolbar">
        <input data-search className="field grow" type="search" aria-label="Filter packages" placeholder="Packages by name  ( / )" value={filter} onChange={(event) => setFilter(event.target.value)} />
        <span className="quiet">Beside</span>
        <RunPicker project={at.project} flow={at.flow} not={name} value={other} onChange={setOther} empty="no other run" />
      </div>
      <Shown query={query}>
        {(found) => {
          const packages = Object.entries(found.packages).filter(([one]) => one.toLowerCase().includes(wanted));
          return (
            <div className="environment">
              {other && (
                <Section title={`What differs from ${other}`}>
                  {found.changes.length === 0 ? (
                    <p className="quiet">Nothing: Python and packages are the same.</p>
                  ) : (
                    <ul className="plain-list">
                      {found.changes.map((one) => (
                        <li key={one}>
                          <code>{one}</code>
                        </li>
                      ))}
                    </ul>
                  )}
                </Section>
              )}
              <Section title="Interpreter">
                <Facts
                  rows={[
                    ["Python", found.surroundings.python],
                    ["Platform", found.surroundings.platform],
                    ["Place", found.surroundings.place],
                    ["Folder", <code key="f">{found.surroundings.cwd}</code>],
                  ]}
                />
              </Section>
              {found.steps.map((one) => (
                <Section key={`${one.step} ${one.digest}`} title={`Step ${one.step}: ${one.label}`}>
                  <Facts
                    rows={[
                      ["Python", one.python],
                      ["Platform", one.platform],
                      ["Image", one.image],
                      ["Variables", one.variables.join(", ")],
                      ["Lock", <code key="l">{one.digest.slice(0, 16)}</code>],
                      ["Packages", <code key="p">{Object.entries(one.packages).map(([key, value]) => `${key}==${value}`).join(" ")}</code>],
                    ]}
                  />
                </Section>
              ))}
              <Section title="Packages" more={<span className="num">{wanted ? `${count(packages.length)} of ` : ""}{plural(Object.keys(found.packages).length, "package")}</span>}>
                {packages.length === 0 ? (
                  <Empty title="No package has this name" />
                ) : (
                  <ul className="packages">
                    {packages.map(([one, version]) => (
                      <li key={one}>
                        <span className="cut">{one}</span> <code>{version}</code>
                      </li>
                    ))}
                  </ul>
                )}
              </Section>
            </div>
          );
        }}
      </Shown>
    </>
  );
}
