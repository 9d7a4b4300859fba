/** Lines of output: only those in sight exist, so that 100 MB scroll. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useMemo, useRef } from "react";
import { useLocation } from "wouter";
import { levelOf, spansOf, withoutAnsi } from "../../../lib/ansi";
import { duration, exactTime } from "../../../lib/format";
import { Name } from "../../../parts/Name";
import type { Line } from "./book";

interface Props {
  lines: readonly Line[];
  version: number;
  /** Times are shown as seconds since then. */
  since: number;
  showTask: boolean;
  wrap: boolean;
  search: string;
  hit: number;
  hits: readonly number[];
  linked: string;
  onLink: (id: string) => void;
  taskHref: (task: string) => string | null;
  follow: boolean;
  onFollow: (follow: boolean) => void;
  onEnd: () => void;
  label: string;
  short?: boolean;
  /** Told the line in the middle of what is in sight. */
  onMiddle?: (id: string) => void;
}

export function LogView(props: Props) {
  const { lines, version, follow, hits, hit, linked } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 20,
    overscan: 20,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const { onEnd } = props;
  useEffect(() => {
    if (last >= lines.length - 100) onEnd();
  }, [last, lines.length, onEnd]);
  useEffect(() => {
    if (follow && lines.length) virtual.scrollToIndex(lines.length - 1, { align: "end" });
  }, [follow, version, lines.length, virtual]);
  useEffect(() => {
    const index = hits[hit];
    if (index !== undefined) virtual.scrollToIndex(index, { align: "center" });
  }, [hit, hits, virtual]);
  const shown = useRef("");
  useEffect(() => {
    if (!linked || shown.current === linked) return;
    const index = lines.findIndex((line) => line.id === linked);
    if (index < 0) return;
    shown.current = linked;
    virtual.scrollToIndex(index, { align: "center" });
  }, [linked, version, lines, virtual]);
  const middle = lines[items[Math.floor(items.length / 2)]?.index ?? 0]?.id ?? "";
  const { onMiddle } = props;
  useEffect(() => onMiddle?.(middle), [onMiddle, middle]);
  const digits = Math.max(3, String(lines.length).length);
  const scrolled = () => {
    const element = scroller.current;
    if (!element) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 30;
    if (!atEnd && follow) props.onFollow(false);
  };
  return (
    <div className={props.short ? "log short" : "log"}>
      <div
        className={props.wrap ? "log-scroll wrap" : "log-scroll"}
        ref={scroller}
        onWheel={scrolled}
        onTouchMove={scrolled}
        role="log"
        aria-live="off"
        aria-label={props.label}
        tabIndex={0}
      >
        <div className="log-space" style={{ height: virtual.getTotalSize() }}>
          <div className="log-lines" style={{ transform: `translateY(${items[0]?.start ?? 0}px)` }}>
            {items.map((item) => {
              const line = lines[item.index];
              return line ? (
                <div key={line.id} data-index={item.index} ref={props.wrap ? virtual.measureElement : undefined}>
                  <LogLine
                    line={line}
                    text={line.text}
                    number={item.index + 1}
                    digits={digits}
                    since={props.since}
                    showTask={props.showTask}
                    search={props.search}
                    chosen={line.id === linked}
                    current={hits[hit] === item.index}
                    onLink={props.onLink}
                    taskHref={props.taskHref}
                  />
                </div>
              ) : null;
            })}
          </div>
        </div>
      </div>
      {hits.length > 0 && (
        <svg className="log-margin" viewBox="0 0 4 1000" preserveAspectRatio="none" aria-hidden="true">
          {hits.slice(0, 2000).map((index) => (
            <rect key={index} className="log-hit" y={(index / Math.max(1, lines.length)) * 1000} width="4" height="3" />
          ))}
        </svg>
      )}
    </div>
  );
}

interface LineProps {
  line: Line;
  text: string;
  number: number;
  digits: number;
  since: number;
  showTask: boolean;
  search: string;
  chosen: boolean;
  current: boolean;
  onLink: (id: string) => void;
  taskHref: (task: string) => string | null;
}

const LogLine = memo(function LogLine(props: LineProps) {
  const { line, search } = props;
  const [, navigate] = useLocation();
  const level = levelOf(props.text);
  const href = props.showTask && line.task ? props.taskHref(line.task) : null;
  return (
    <div className={`log-line ${level}${props.chosen ? " chosen" : ""}${props.current ? " current" : ""}`}>
      {/* For the mouse; the key y does the same: thousands of small buttons would be no help to the keyboard. */}
      <span className="log-number" style={{ width: `${props.digits + 1}ch` }} onClick={() => props.onLink(line.id)} title="Link to this line">
        {props.number}
      </span>
      <span className="log-time" title={exactTime(line.time)}>
        {duration(Math.max(0, line.time - props.since))}
      </span>
      {props.showTask && (
        <span className={href ? "log-task to" : "log-task"} title={line.task} onClick={() => href && navigate(href)}>
          <Name text={line.task || "flow"} />
        </span>
      )}
      {line.stream === "err" && <span className="log-err" title="Standard error">err</span>}
      <Text text={props.text} search={search} />
    </div>
  );
});

function Text({ text, search }: { text: string; search: string }) {
  const spans = useMemo(() => spansOf(text), [text]);
  return (
    <span className="log-text">
      {spans.map((span, index) => (
        <span key={index} className={span.style || undefined}>
          {search ? marked(span.text, search) : span.text}
        </span>
      ))}
    </span>
  );
}

function marked(text: string, search: string) {
  const lower = text.toLowerCase();
  const wanted = search.toLowerCase();
  const parts = [];
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0 && parts.length < 200; at = lower.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + wanted.length)}</mark>);
    from = at + wanted.length;
  }
  parts.push(text.slice(from));
  return parts;
}

export function hitsOf(lines: readonly Line[], search: string): number[] {
  if (!search) return [];
  const wanted = search.toLowerCase();
  const found: number[] = [];
  lines.forEach((line, index) => {
    if (withoutAnsi(line.text).toLowerCase().includes(wanted)) found.push(index);
  });
  return found;
}
