/** The code that ran, file by file, and what changed against another run. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { address, RUN, text, useGet, type ApiError } from "../../../api/client";
import { useShortcuts } from "../../../lib/keys";
import { bytes, plural } from "../../../lib/format";
import { useChangeQuery, useParam } from "../../../lib/url";
import { Command, CopyButton, Empty, Loading, Problem, Shown } from "../../../parts/Bits";
import { RunPicker } from "../../../parts/RunPicker";
import { useRun } from "../useRun";
import { parseDiff } from "./diff";
import { highlighted } from "./highlight";

export default function Code() {
  const { at, name } = useRun();
  const change = useChangeQuery();
  const [path] = useParam("path");
  const [other, setOther] = useParam("with");
  const [line] = useParam("line");
  const query = useGet(`${RUN}/code` as const, { ...at });
  return (
    <>
      <div className="toolbar">
        <span className="quiet">Beside</span>
        <RunPicker project={at.project} flow={at.flow} not={name} value={other} onChange={setOther} empty="no other run" />
        {other && (
          <button type="button" className="button quiet" onClick={() => setOther("")}>
            Show the code
          </button>
        )}
      </div>
      {other ? (
        <SourceDiff other={other} />
      ) : (
        <Shown query={query}>
          {(code) => {
            if (code.files.length === 0) return <Empty title="This run recorded no code">It was defined at a prompt, or came from elsewhere.</Empty>;
            const entry = code.entry.split(":")[0] ?? "";
            const shown = code.files.find((one) => one.path === path) ?? code.files.find((one) => one.path === entry) ?? code.files[0];
            return (
              <div className="code-page">
                <nav className="code-files" aria-label="Files">
                  <ul>
                    {code.files.map((one) => (
                      <li key={one.path}>
                        <button type="button" className={one.path === shown?.path ? "file chosen" : "file"} onClick={() => change({ path: one.path, line: null })} aria-current={one.path === shown?.path || undefined}>
                          <span className="cut" title={one.path}>
                            {one.path}
                          </span>
                          <small className="quiet num">{bytes(one.size)}</small>
                        </button>
                      </li>
                    ))}
                  </ul>
                  <p className="quiet code-digest">
                    {plural(code.files.length, "file")}, package <code title={code.digest}>{code.digest.slice(0, 12)}</code>
                  </p>
                  <Command text={`headrace code ${name} --to folder`} />
                </nav>
                {shown && <File path={shown.path} line={Number(line) || 0} />}
              </div>
            );
          }}
        </Shown>
      )}
    </>
  );
}

function File({ path, line }: { path: string; line: number }) {
  const { at } = useRun();
  const change = useChangeQuery();
  const url = address(`${RUN}/code/{path}`, { ...at, path });
  const query = useQuery<string, ApiError>({ queryKey: [url], queryFn: ({ signal }) => text(url, signal), staleTime: Infinity });
  const lines = useMemo(() => highlighted(query.data ?? "", path), [query.data, path]);
  const scroller = useRef<HTMLDivElement>(null);
  useShortcuts([
    {
      keys: "y",
      does: "Link to the first line in sight",
      run: () => {
        const top = scroller.current?.getBoundingClientRect().top ?? 0;
        const shown = [...(scroller.current?.querySelectorAll(".source-line") ?? [])];
        const first = shown.findIndex((one) => one.getBoundingClientRect().top >= top);
        if (first >= 0) change({ path, line: String(first + 1) });
      },
    },
  ]);
  useEffect(() => {
    if (line && query.data) scroller.current?.querySelector(".source-line.chosen")?.scrollIntoView({ block: "center" });
  }, [query.data !== undefined]);
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (query.data === undefined) return <Loading rows={12} />;
  return (
    <section className="source" aria-label={path}>
      <header>
        <code>{path}</code>
        <CopyButton text={query.data} what="the file" />
      </header>
      <div className="source-scroll" ref={scroller} tabIndex={0} role="region" aria-label={`Source of ${path}`}>
        <pre>
          {lines.slice(0, 20_000).map((tokens, index) => (
            <span key={index} className={index + 1 === line ? "source-line chosen" : "source-line"}>
              <span className="source-number" title="Link to this line" onClick={() => change({ path, line: String(index + 1) })}>
                {index + 1}
              </span>
              <span>
                {tokens.map((token, place) => (
                  <span key={place} className={token.kind ? `h-${token.kind}` : undefined}>
                    {token.text}
                  </span>
                ))}
                {"\n"}
              </span>
            </span>
          ))}
        </pre>
      </div>
    </section>
  );
}

function SourceDiff({ other }: { other: string }) {
  const { at, name } = useRun();
  const [all] = useState(false);
  const url = address(`${RUN}/diff/source`, { ...at, with: other });
  const query = useQuery<string, ApiError>({ queryKey: [url], queryFn: ({ signal }) => text(url, signal), staleTime: Infinity });
  const lines = useMemo(() => parseDiff(query.data ?? ""), [query.data]);
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (query.data === undefined) return <Loading rows={12} />;
  if (!query.data.trim() && !all) return <Empty title={`${other} and ${name} ran the same code`} />;
  return (
    <div className="source-scroll" tabIndex={0} role="region" aria-label={`Code of ${other} and ${name}`}>
      <pre className="diff">
        {lines.map((line, index) => (
          <span key={index} className={`diff-line ${line.kind}`}>
            <span className="source-number">{line.left ?? ""}</span>
            <span className="source-number">{line.right ?? ""}</span>
            <span>
              {line.kind === "add" ? "+" : line.kind === "del" ? "-" : " "}
              {line.text}
              {"\n"}
            </span>
          </span>
        ))}
      </pre>
    </div>
  );
}
