/** What the stores hold, and what garbage collection would free. */
import { useGet } from "../../api/client";
import { bytes, count, plural } from "../../lib/format";
import { useParam } from "../../lib/url";
import { Command, Facts, Section, Shown } from "../../parts/Bits";

const DAY = 86_400;

export function Storage({ project }: { project: string }) {
  const [days, setDays] = useParam("days", "30");
  const age = Math.max(0, Number(days) || 0);
  const query = useGet("/api/v1/projects/{project}/storage", { project, older_than: age * DAY }, { enabled: Boolean(project), keep: true });
  return (
    <Shown query={query}>
      {(found) => (
        <div className="storage">
          <Section title="Artifact store">
            <Facts
              rows={[
                ["Holds", `${bytes(found.bytes)} in ${plural(found.blobs, "blob")}`],
                ["Unused", found.unused.blobs > 0 ? `${bytes(found.unused.bytes)} in ${plural(found.unused.blobs, "blob")} that no run needs` : "nothing: every blob belongs to a run"],
                ["Too young to tell", found.unused.young > 0 && `${count(found.unused.young)} blobs, stored lately or beside live runs`],
              ]}
            />
            <Command text="headrace gc --delete" />
          </Section>
          <Section title={`Old runs of ${project}`}>
            <p className="toolbar bare">
              <label className="check-label">
                Runs that ended more than
                <input className="field days" type="number" min="0" max="9999" value={days} onChange={(event) => setDays(event.target.value)} />
                days ago
              </label>
            </p>
            <p>
              {found.older.runs.length === 0
                ? "There are none."
                : `${plural(found.older.runs.length, "run")}: without ${found.older.runs.length === 1 ? "it" : "them"}, ${bytes(found.older.bytes)} in ${plural(found.older.blobs, "blob")} would be free.`}
            </p>
            {found.older.runs.length > 0 && (
              <>
                <p className="quiet">{found.older.runs.slice(0, 30).join(", ")}{found.older.runs.length > 30 && `, and ${count(found.older.runs.length - 30)} more`}</p>
                <Command text={`headrace gc --older-than ${days}d`} />
              </>
            )}
          </Section>
        </div>
      )}
    </Shown>
  );
}
