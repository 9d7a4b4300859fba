import { ArrowDownToLine, Download } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { address, RUN } from "../../../api/client";
import { plural } from "../../../lib/format";
import { useShortcuts } from "../../../lib/keys";
import { useNarrow } from "../../../lib/media";
import { taskPage, useChangeQuery, useParam } from "../../../lib/url";
import { Empty, Problem } from "../../../parts/Bits";
import { Menu, MenuAction } from "../../../parts/Menu";
import { useRun } from "../useRun";
import { hitsOf, LogView } from "./LogView";
import { useLog } from "./useLog";

export default function Logs() {
  const { at, name, view, live, tick } = useRun();
  const narrow = useNarrow();
  const change = useChangeQuery();
  const [step] = useParam("step");
  const [task] = useParam("task");
  const [stream] = useParam("stream");
  const [search, setSearch] = useParam("q");
  const [only] = useParam("only");
  const [linked, setLinked] = useParam("line");
  const [wrap, setWrap] = useParam("wrap");
  const [typed, setTyped] = useState(search);
  const [hit, setHit] = useState(-1);
  const [follow, setFollow] = useState(live && !linked && !search);
  const [fromEnd, setFromEnd] = useState(follow);
  const log = useLog(at, { step, task, stream, search: only ? search : "" }, { live, tick, fromEnd });
  const hits = useMemo(() => hitsOf(log.lines, search), [log.version, search]);
  useEffect(() => setTyped(search), [search]);
  useEffect(() => setHit(search && hits.length ? 0 : -1), [search, hits.length > 0]);
  // A linked line may be further down than what has come so far.
  const known = useMemo(() => !linked || log.lines.some((line) => line.id === linked), [linked, log.version]);
  useEffect(() => {
    if (!known && log.more && !log.loading) log.load();
  }, [known, log.more, log.loading, log.load]);
  const middle = useRef("");
  const next = (by: number) => hits.length && setHit((now) => (now + by + hits.length) % hits.length);
  useShortcuts([
    { keys: "n", does: "Next hit of the search", run: () => next(1) },
    { keys: "N", does: "Hit before", run: () => next(-1) },
    { keys: "y", does: "Link to the hit, or to the line in the middle", run: () => setLinked(log.lines[hits[hit] ?? -1]?.id ?? middle.current) },
    { keys: "f", does: "Follow the end of the log", run: () => setFollow(!follow) },
  ]);
  const taskHref = useCallback(
    (one: string) => {
      const cut = one.lastIndexOf("/");
      return cut > 0 ? taskPage(at.project, name, one.slice(0, cut), one.slice(cut + 1)) : null;
    },
    [at.project, name],
  );
  const onMiddle = useCallback((id: string) => {
    middle.current = id;
  }, []);
  const link = useCallback((id: string) => setLinked(id), [setLinked]);
  const text = address(`${RUN}/logs/text`, { ...at, step, task, stream });
  return (
    <>
      <div className="toolbar">
        <Menu label="Output of" button={<span className="cut">{step ? `${step}${task ? `/${task}` : ""}` : "Whole run"}</span>}>
          <MenuAction onSelect={() => change({ step: null, task: null, line: null })}>Whole run</MenuAction>
          {view.steps.map((one) => (
            <MenuAction key={one.step} onSelect={() => change({ step: one.step, task: null, line: null })}>
              <span className="cut">{one.step}</span>
            </MenuAction>
          ))}
        </Menu>
        <Menu label="Stream" button={stream === "out" ? "Output" : stream === "err" ? "Errors" : "Both streams"}>
          <MenuAction onSelect={() => change({ stream: null })}>Both streams</MenuAction>
          <MenuAction onSelect={() => change({ stream: "out" })}>Standard output</MenuAction>
          <MenuAction onSelect={() => change({ stream: "err" })}>Standard error</MenuAction>
        </Menu>
        <form
          className="log-search grow"
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            if (typed === search) next(1);
            else setSearch(typed);
          }}
        >
          <input data-search className="field" type="search" aria-label="Search in the output" placeholder="Search  ( / )" value={typed} onChange={(event) => setTyped(event.target.value)} onBlur={() => typed !== search && setSearch(typed)} />
          {search && (
            <>
              <span className="quiet num">{hits.length ? `${hit + 1} of ${hits.length}` : log.more ? "no hit so far" : "no hit"}</span>
              <button type="button" className="button" aria-pressed={only === "1"} onClick={() => change({ only: only ? null : "1", line: null })}>
                Only hits
              </button>
            </>
          )}
        </form>
        <button type="button" className="button" aria-pressed={wrap === "1"} onClick={() => setWrap(wrap ? "" : "1")}>
          Wrap
        </button>
        <button
          type="button"
          className="button"
          aria-pressed={follow}
          onClick={() => {
            if (!follow && log.more) log.jump();
            setFollow(!follow);
          }}
        >
          <ArrowDownToLine size={14} aria-hidden /> {live ? "Follow" : "End"}
        </button>
        <a className="button" href={text} download aria-label="Download the output" title="Download">
          <Download size={14} aria-hidden /> {!narrow && "Download"}
        </a>
      </div>
      {log.cut && (
        <p className="note">
          These are the newest lines.{" "}
          <button type="button" className="linkbutton" onClick={() => {
              setFollow(false);
              setFromEnd(false);
            }}>
            From the beginning
          </button>
        </p>
      )}
      {log.error && <Problem error={log.error} retry={log.load} />}
      {log.lines.length === 0 && !log.loading && !log.error && log.version > 1 ? (
        <Empty title={search && only ? "No line has this text" : live ? "Nothing was printed yet" : "Nothing was printed"}>
          {live ? "What steps and the flow print appears here as they print it." : "Neither the steps nor the flow printed anything."}
        </Empty>
      ) : (
        <LogView
          lines={log.lines}
          version={log.version}
          since={view.run.started}
          showTask={!task && !narrow}
          wrap={wrap === "1"}
          search={search}
          hit={hit}
          hits={hits}
          linked={linked}
          onLink={link}
          taskHref={taskHref}
          follow={follow}
          onFollow={setFollow}
          onEnd={log.load}
          onMiddle={onMiddle}
          label={`Output of ${name}`}
        />
      )}
      <p className="foot">
        {plural(log.lines.length, "line")}
        {log.more ? " so far; more as you scroll" : ""}
        {live && " · live"}
      </p>
    </>
  );
}
