/** Boxes and lines that elk places: as SVG where they are few, on a canvas where they are many. Pans, zooms and fits, and
 * keeps its place while what stands in the boxes changes. */
import { useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { colour, useTheme } from "../lib/colours";
import { layout, pathOf, type Box, type Line, type Placed } from "../lib/layout";
import { useSize } from "../lib/size";
import { Loading, Problem } from "./Bits";
import { usePanZoom, type View } from "./usePanZoom";

/** From so many boxes on, a canvas: thousands of elements would make every move slow. */
export const MANY = 300;

export interface DrawnLine extends Line {
  /** From 0 to 1: how thick. */
  weight?: number;
  title?: string;
  dashed?: boolean;
}

export interface Place {
  x: number;
  y: number;
  width: number;
  height: number;
}

interface Props {
  label: string;
  boxes: readonly Box[];
  lines: readonly DrawnLine[];
  down: boolean;
  chosen: string;
  onChoose: (id: string) => void;
  /** What stands in a box; 0, 0 is its corner. */
  node: (id: string, place: Place) => ReactNode;
  /** The same on a canvas. */
  paint: (draw: CanvasRenderingContext2D, id: string, place: Place, zoom: number) => void;
}

export function Drawing(props: Props) {
  const { boxes, lines, down, chosen } = props;
  const [frame, size] = useSize<HTMLDivElement>();
  const [view, setView, drag] = usePanZoom(frame, { x: 0, y: 0, zoom: 1 });
  const [placed, setPlaced] = useState<Placed | null>(null);
  const [failed, setFailed] = useState<Error | null>(null);
  const fitted = useRef<Placed | null>(null);
  // Boxes and lines alone decide where things stand: what changes inside them moves nothing.
  const shape = useMemo(() => JSON.stringify([down, boxes.map((one) => one.id), lines.map((one) => one.id)]), [down, boxes, lines]);
  useEffect(() => {
    let stale = false;
    layout(boxes, lines, down, boxes.length >= MANY).then(
      (found) => !stale && setPlaced(found),
      (error: unknown) => !stale && setFailed(error instanceof Error ? error : new Error(String(error))),
    );
    return () => {
      stale = true;
    };
  }, [shape]);

  const fit = useCallback(() => {
    if (!placed || size.width === 0) return;
    // Small drawings in large windows grow, up to what still reads as text.
    const zoom = Math.min(size.width > 1600 ? 1.6 : 1.15, size.width / (placed.width + 16), size.height / (placed.height + 16));
    setView({ zoom, x: Math.max(8, (size.width - placed.width * zoom) / 2), y: Math.max(8, Math.min(40, (size.height - placed.height * zoom) / 2)) });
  }, [placed, size.width, size.height, setView]);
  useEffect(() => {
    if (!placed || size.width === 0 || fitted.current === placed) return;
    const begun = fitted.current !== null;
    fitted.current = placed;
    if (!begun || placed.boxes.size > 0) fit();
  }, [placed, size.width, fit]);
  const find = (id: string) => {
    const box = placed?.boxes.get(id);
    if (!box) return;
    const zoom = Math.max(0.8, view.zoom);
    setView({ zoom, x: size.width / 2 - (box.x + box.width / 2) * zoom, y: size.height / 2 - (box.y + box.height / 2) * zoom });
    props.onChoose(id);
  };

  if (failed) return <Problem error={failed} />;
  const many = boxes.length >= MANY;
  return (
    <div className="graph-frame" ref={frame} onPointerDown={drag}>
      {!placed && <Loading />}
      {placed && !many && <Vectors {...props} placed={placed} view={view} />}
      {placed && many && <Pixels {...props} placed={placed} view={view} width={size.width} height={size.height} />}
      <div className="graph-tools">
        {many && <Find boxes={boxes} chosen={chosen} find={find} />}
        <button type="button" className="button" onClick={fit}>
          Fit
        </button>
      </div>
    </div>
  );
}

function Find({ boxes, chosen, find }: { boxes: readonly Box[]; chosen: string; find: (id: string) => void }) {
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        find(String(new FormData(event.currentTarget).get("box")));
      }}
    >
      <input key={chosen} name="box" className="field" aria-label="Find a step" placeholder={`One of ${boxes.length} steps  ( / )`} defaultValue={chosen} list="graph-boxes" data-search />
      <datalist id="graph-boxes">
        {boxes.map((one) => (
          <option key={one.id} value={one.id} />
        ))}
      </datalist>
    </form>
  );
}

type Inside = Props & { placed: Placed; view: View };

function Vectors({ label, boxes, lines, chosen, node, placed, view }: Inside) {
  return (
    <svg className="graph-svg" role="group" aria-label={label}>
      <defs>
        <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto">
          <path d="M0 0.500 8 4 0 7.500z" className="graph-arrow" />
        </marker>
      </defs>
      <g transform={`translate(${view.x} ${view.y}) scale(${view.zoom})`}>
        {lines.map((line) => {
          const points = placed.lines.get(line.id);
          if (!points) return null;
          const near = chosen !== "" && (chosen === line.from || chosen === line.to);
          return (
            <path key={line.id} className={`graph-edge${near ? " near" : ""}${line.dashed ? " dashed" : ""}`} d={pathOf(points, placed.curved)} strokeWidth={1 + 3 * (line.weight ?? 0)} markerEnd="url(#arrow)">
              {line.title && <title>{line.title}</title>}
            </path>
          );
        })}
        {boxes.map((one) => {
          const place = placed.boxes.get(one.id);
          return place ? (
            <g key={one.id} transform={`translate(${place.x} ${place.y})`}>
              {node(one.id, place)}
            </g>
          ) : null;
        })}
      </g>
    </svg>
  );
}

function Pixels({ label, boxes, lines, chosen, onChoose, paint, placed, view, width, height }: Inside & { width: number; height: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const theme = useTheme();
  const paths = useMemo(() => new Map([...placed.lines].map(([id, points]) => [id, new Path2D(pathOf(points, placed.curved))])), [placed]);
  useEffect(() => {
    const draw = canvas.current?.getContext("2d");
    if (!draw || !canvas.current || width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.current.width = width * ratio;
    canvas.current.height = height * ratio;
    draw.setTransform(ratio * view.zoom, 0, 0, ratio * view.zoom, ratio * view.x, ratio * view.y);
    const [left, top] = [-view.x / view.zoom, -view.y / view.zoom];
    const [right, bottom] = [left + width / view.zoom, top + height / view.zoom];
    for (const line of lines) {
      const path = paths.get(line.id);
      const points = placed.lines.get(line.id);
      if (!path || !points || !crosses(points, left, top, right, bottom)) continue;
      const near = chosen !== "" && (chosen === line.from || chosen === line.to);
      draw.strokeStyle = colour(near ? "--accent" : "--line-2");
      draw.lineWidth = Math.max(near ? 2 : 1, 0.5 / view.zoom);
      draw.stroke(path);
    }
    draw.textBaseline = "alphabetic";
    for (const one of boxes) {
      const place = placed.boxes.get(one.id);
      if (!place || place.x > right || place.x + place.width < left || place.y > bottom || place.y + place.height < top) continue;
      paint(draw, one.id, place, view.zoom);
    }
  }, [placed, paths, view, width, height, theme, chosen, boxes, lines, paint]);
  const down = useRef({ x: 0, y: 0 });
  const click = (event: React.MouseEvent<HTMLCanvasElement>) => {
    if (Math.hypot(event.clientX - down.current.x, event.clientY - down.current.y) > 4) return;
    const [x, y] = [(event.nativeEvent.offsetX - view.x) / view.zoom, (event.nativeEvent.offsetY - view.y) / view.zoom];
    for (const [id, box] of placed.boxes) {
      if (x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height) return onChoose(id);
    }
  };
  return (
    <canvas
      ref={canvas}
      className="graph-canvas"
      role="img"
      aria-label={`${label}: ${boxes.length} boxes and ${lines.length} lines. The field below finds one; the overview lists them.`}
      onPointerDown={(event) => (down.current = { x: event.clientX, y: event.clientY })}
      onClick={click}
    />
  );
}

function crosses(points: readonly { x: number; y: number }[], left: number, top: number, right: number, bottom: number): boolean {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y } of points) {
    [x0, y0] = [Math.min(x0, x), Math.min(y0, y)];
    [x1, y1] = [Math.max(x1, x), Math.max(y1, y)];
  }
  return x0 <= right && x1 >= left && y0 <= bottom && y1 >= top;
}
