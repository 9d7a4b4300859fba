/** A table of any length: rows of equal height, of which only those in sight exist. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useRef, useState, type ReactNode } from "react";

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

export function Grid<T>(props: GridProps<T>) {
  const { columns, rows, cursor, total = rows.length } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const height = props.height ?? 28;
  const virtual = useVirtualizer({
    count: total,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    overscan: OVERSCAN,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  // Elements of rows that go out of sight are those of rows that come in: changing a text costs less than making elements.
  const pool = useRef(64);
  while (items.length > pool.current) pool.current *= 2;
  const near = props.onNear;
  useEffect(() => near?.(last), [near, last, rows.length]);
  const first = items[0]?.index ?? 0;
  const quick = useQuick(first, last);
  const range = props.onRange;
  useEffect(() => range?.(first, last), [range, first, last]);
  useEffect(() => {
    if (cursor !== undefined && cursor >= 0) virtual.scrollToIndex(cursor, { align: "auto" });
  }, [cursor, virtual]);
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
        <div className="grid-space" role="rowgroup" style={{ height: virtual.getTotalSize() }}>
          {items.map((item) => {
            const row = rows[item.index];
            const chosen = item.index === cursor ? " at" : "";
            const own = row === undefined ? "" : ` ${props.className?.(row) ?? ""}`;
            return (
              <Row
                key={item.index % pool.current}
                row={row}
                quick={quick}
                index={item.index}
                columns={columns as Column<unknown>[]}
                className={`grid-row${chosen}${own}`}
                template={template}
                height={height}
                start={item.start}
              />
            );
          })}
        </div>
      </div>
    </div>
  );
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
        <div key={column.id} role="cell" className={column.right ? "cell right" : "cell"}>
          {row === undefined ? <span className="bone" /> : column.cell(row, index)}
        </div>
      ))}
    </div>
  );
});

const SORTS = { up: "ascending", down: "descending", none: "none" } as const;
