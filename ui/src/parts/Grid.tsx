/** A table of any length: rows of equal height, of which only those in sight exist. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useRef, type ReactNode } from "react";

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
  rowKey: (row: T, index: number) => string;
  /** Rows there are in all, where not all of them have been fetched yet. */
  total?: number;
  onNear?: (index: number) => void;
  onRange?: (first: number, last: number) => void;
  cursor?: number;
  className?: (row: T) => string;
  height?: number;
  fill?: boolean;
}

export function Grid<T>(props: GridProps<T>) {
  const { columns, rows, rowKey, cursor, total = rows.length } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const height = props.height ?? 28;
  const virtual = useVirtualizer({
    count: total,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const near = props.onNear;
  useEffect(() => near?.(last), [near, last, rows.length]);
  const first = items[0]?.index ?? 0;
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
                key={row === undefined ? `pending ${item.index}` : rowKey(row, item.index)}
                row={row}
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

/** The least width in pixels that the columns need. */
function least(columns: readonly { width: string }[]): number {
  return columns.reduce((sum, column) => sum + Number(/(\d+)px/.exec(column.width)?.[1] ?? 80), 0);
}

interface RowProps {
  row: unknown;
  index: number;
  columns: Column<unknown>[];
  className: string;
  template: string;
  height: number;
  start: number;
}

/** Drawn again only when it changes: scrolling costs the rows that come in. */
const Row = memo(function Row({ row, index, columns, className, template, height, start }: RowProps) {
  return (
    <div role="row" aria-rowindex={index + 2} className={className} style={{ gridTemplateColumns: template, height, transform: `translateY(${start}px)` }}>
      {columns.map((column) => (
        <div key={column.id} role="cell" className={column.right ? "cell right" : "cell"}>
          {row === undefined ? <span className="bone" /> : column.cell(row, index)}
        </div>
      ))}
    </div>
  );
});

const SORTS = { up: "ascending", down: "descending", none: "none" } as const;
