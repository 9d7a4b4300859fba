/** A traceback with the reader's own lines first in weight: frames of libraries are folded away. */
import { useMemo, useState } from "react";
import { CopyButton } from "./Bits";

interface Frame {
  head: string;
  body: string[];
  own: boolean;
}

export function parseTraceback(text: string): (Frame | string)[] {
  const found: (Frame | string)[] = [];
  let frame: Frame | null = null;
  for (const line of text.split("\n")) {
    const match = /^ {2}File "([^"]*)", line \d+/.exec(line);
    if (match) {
      frame = { head: line.trim(), body: [], own: !/site-packages|dist-packages|\/lib\/python3|<frozen|\/usr\/lib/.test(match[1] ?? "") };
      found.push(frame);
    } else if (frame && line.startsWith("    ")) {
      frame.body.push(line.slice(4));
    } else {
      frame = null;
      if (line.trim()) found.push(line);
    }
  }
  return found;
}

export function Traceback({ text }: { text: string }) {
  const [all, setAll] = useState(false);
  const parts = useMemo(() => parseTraceback(text), [text]);
  const foreign = parts.filter((one) => typeof one !== "string" && !one.own).length;
  const some = parts.some((one) => typeof one !== "string" && one.own);
  const hide = !all && some;
  return (
    <div className="traceback">
      <div className="traceback-tools">
        {some && foreign > 0 && (
          <button type="button" className="linkbutton" onClick={() => setAll(!all)}>
            {all ? "Hide frames of libraries" : `Show ${foreign} frames of libraries`}
          </button>
        )}
        <CopyButton text={text} what="the traceback" />
      </div>
      {parts.map((one, index) => {
        if (typeof one === "string") {
          const last = index === parts.length - 1;
          return (
            <pre key={index} className={last ? "traceback-last" : "traceback-line"}>
              {one}
            </pre>
          );
        }
        if (hide && !one.own) return null;
        const where = /^File "([^"]*)", line (\d+)(?:, in (.*))?/.exec(one.head);
        return (
          <div key={index} className={one.own ? "frame own" : "frame"}>
            <code className="frame-head">
              {where ? (
                <>
                  <span title={where[1]}>{where[1]?.split("/").slice(-2).join("/")}</span>:{where[2]}
                  {where[3] && <span className="quiet"> in {where[3]}</span>}
                </>
              ) : (
                one.head
              )}
            </code>
            {one.body.length > 0 && <pre tabIndex={0}>{one.body.join("\n")}</pre>}
          </div>
        );
      })}
    </div>
  );
}

/** The last line of the user's own code in a traceback: file and line, and what stands there. */
export function lastFrame(traceback: string): string {
  const lines = traceback.split("\n");
  let found = "";
  lines.forEach((line, index) => {
    const frame = /^ {2}File "([^"]+)", line (\d+)/.exec(line);
    if (!frame || /site-packages|dist-packages|\/lib\/python3|<frozen/.test(frame[1] ?? "")) return;
    const code = lines[index + 1]?.startsWith("    ") ? (lines[index + 1] ?? "").trim() : "";
    found = `${(frame[1] ?? "").split("/").pop()}:${frame[2]}${code ? `  ${code}` : ""}`;
  });
  return found;
}
