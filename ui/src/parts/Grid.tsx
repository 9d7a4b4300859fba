/** A table of any length: rows of equal height, of which only those in sight exist. */
import { memo, useEffect, useLayoutEffect, useRef, useState, type ReactNode, type RefObject } from "react";
import { flushSync } from "react-dom";

export interface Column<T> {
  id: string;
  title: ReactNode;
  /** A CSS grid track: `80px`, `minmax(120px, 1fr)`. */
  width: string;
  right?: boolean;
  /** Left out where the table is narrow. */
  wide?: boolean;
  sort?: { now: "up" | "down" | null; change: () => void };
  cell: (row: T, index: number) => ReactNode;
  /** What the pointer is told over the cell. */
  hint?: (row: T) => string | undefined;
}

export interface GridProps<T> {
  label: string;
  columns: Column<T>[];
  rows: readonly T[];
  /** Rows there are in all, where not all of them have been fetched yet. */
  total?: number;
  onNear?: (index: number) => void;
  onRange?: (first: number, last: number) => void;
  cursor?: number;
  className?: (row: T) => string;
  height?: number;
  fill?: boolean;
}

/** Rows beyond those in sight, on each side. */
const OVERSCAN = 8;
/** Pixels of the row of titles. */
const HEAD = 28;

export function Grid<T>(props: GridProps<T>) {
  const { columns, rows, cursor, total = rows.length } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const height = props.height ?? 28;
  const [first, last] = useRowsInSight(scroller, height, total);
  // Elements of rows that go out of sight are those of rows that come in: changing a text costs less than making elements.
  const pool = useRef(64);
  while (last - first >= pool.current) pool.current *= 2;
  const near = props.onNear;
  useEffect(() => near?.(last), [near, last, rows.length]);
  const quick = useQuick(first, last);
  const range = props.onRange;
  useEffect(() => range?.(first, last), [range, first, last]);
  useEffect(() => {
    const element = scroller.current;
    if (cursor === undefined || cursor < 0 || !element) return;
    const top = cursor * height;
    const seen = element.clientHeight - HEAD - height;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + seen) element.scrollTop = top - seen;
  }, [cursor, height]);
  const template = columns.map((column) => column.width).join(" ");
  return (
    <div className={props.fill === false ? "grid" : "grid fill"} ref={scroller} role="region" aria-label={props.label} tabIndex={0}>
      <div role="table" aria-label={props.label} aria-rowcount={total + 1} className="grid-table" style={{ minWidth: least(columns) }}>
        <div role="row" className="grid-row grid-head" style={{ gridTemplateColumns: template }} aria-rowindex={1}>
          {columns.map((column) => (
            <div
              key={column.id}
              role="columnheader"
              className={column.right ? "cell right" : "cell"}
              {...(column.sort ? { "aria-sort": SORTS[column.sort.now ?? "none"] } : {})}
            >
              {column.sort ? (
                <button type="button" className="sort" onClick={column.sort.change}>
                  {column.title}
                  <span aria-hidden="true">{column.sort.now === "up" ? " ↑" : column.sort.now === "down" ? " ↓" : ""}</span>
                </button>
              ) : (
                column.title
              )}
            </div>
          ))}
        </div>
        <div className="grid-space" role="rowgroup" style={{ height: total * height }}>
          {Array.from({ length: Math.max(0, last - first + 1) }, (_, offset) => {
            const index = first + offset;
            const row = rows[index];
            const chosen = index === cursor ? " at" : "";
            const own = row === undefined ? "" : ` ${props.className?.(row) ?? ""}`;
            return (
              <Row
                key={index % pool.current}
                row={row}
                quick={quick}
                index={index}
                columns={columns as Column<unknown>[]}
                className={`grid-row${chosen}${own}`}
                template={template}
                height={height}
                start={index * height}
              />
            );
          })}
        </div>
      </div>
    </div>
  );
}

/** The first and the last row that exist: those in sight and some around them. Reads nothing that needs a layout. */
function useRowsInSight(scroller: RefObject<HTMLDivElement | null>, height: number, total: number): [number, number] {
  const [place, setPlace] = useState({ top: 0, seen: 0 });
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    let now = { top: -1, seen: element.clientHeight };
    const look = () => {
      const next = { top: Math.floor(element.scrollTop / height), seen: now.seen };
      if (next.top === now.top) return;
      now = next;
      flushSync(() => setPlace(next)); // in this frame, not in the next one
    };
    const resized = new ResizeObserver(() => {
      now = { top: now.top, seen: element.clientHeight };
      setPlace(now);
    });
    now = { top: Math.floor(element.scrollTop / height), seen: now.seen };
    setPlace(now);
    resized.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      resized.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [scroller, height]);
  // A list that became shorter may be scrolled beyond its end.
  const top = Math.min(place.top, Math.max(0, total - Math.ceil(place.seen / height)));
  return [Math.max(0, top - OVERSCAN), Math.min(total - 1, top + Math.ceil(place.seen / height) + OVERSCAN)];
}

/** Whether the rows in sight are others altogether than a moment ago, as when the bar of the scroller is dragged: nobody reads
 * them then, and they are drawn when it rests. */
function useQuick(first: number, last: number): boolean {
  const before = useRef(first);
  const jumped = useRef(0);
  const [, draw] = useState(0);
  const seen = Math.max(1, last - first - 2 * OVERSCAN);
  const far = Math.abs(first - before.current) > seen * 0.6;
  before.current = first;
  const now = performance.now();
  // One jump, as by a key or a link, is drawn at once; the second within a tenth of a second is not.
  const quick = far && now - jumped.current < 100;
  if (far) jumped.current = now;
  useEffect(() => {
    if (!quick) return;
    const timer = window.setTimeout(() => draw((count) => count + 1), 100);
    return () => window.clearTimeout(timer);
  });
  return quick;
}

/** The least width in pixels that the columns need. */
function least(columns: readonly { width: string }[]): number {
  return columns.reduce((sum, column) => sum + Number(/(\d+)px/.exec(column.width)?.[1] ?? 80), 0);
}

interface RowProps {
  row: unknown;
  quick: boolean;
  index: number;
  columns: Column<unknown>[];
  className: string;
  template: string;
  height: number;
  start: number;
}

/** Drawn again only when it changes: scrolling costs the rows that come in. */
const Row = memo(function Row({ row, quick, index, columns, className, template, height, start }: RowProps) {
  return (
    <div role="row" aria-rowindex={index + 2} className={className} style={{ gridTemplateColumns: template, height, transform: `translateY(${start}px)` }}>
      {quick && (
        <div role="cell" className="cell">
          <span className="bone" />
        </div>
      )}
      {(quick ? [] : columns).map((column) => (
        <div key={column.id} role="cell" className={column.right ? "cell right" : "cell"} title={row === undefined ? undefined : column.hint?.(row)}>
          {row === undefined ? <span className="bone" /> : column.cell(row, index)}
        </div>
      ))}
    </div>
  );
});

const SORTS = { up: "ascending", down: "descending", none: "none" } as const;
