import { useCallback, useEffect, useRef, useState, type RefObject } from "react";

export interface View {
  x: number;
  y: number;
  zoom: number;
}

/** Moving about in a drawing: wheel zooms at the pointer, dragging moves. */
export function usePanZoom(ref: RefObject<HTMLElement | null>, initial: View): [View, (view: View) => void, (event: React.PointerEvent) => void] {
  const [view, setView] = useState(initial);
  const latest = useRef(view);
  latest.current = view;
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const box = element.getBoundingClientRect();
      const { x, y, zoom } = latest.current;
      const next = Math.min(3, Math.max(0.05, zoom * Math.exp(-event.deltaY * 0.0015)));
      const [px, py] = [event.clientX - box.left, event.clientY - box.top];
      setView({ zoom: next, x: px - ((px - x) / zoom) * next, y: py - ((py - y) / zoom) * next });
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, [ref]);
  const start = useCallback((event: React.PointerEvent) => {
    if (event.button !== 0 || (event.target as Element).closest("a, button, [role=button]")) return;
    const from = { ...latest.current };
    const [px, py] = [event.clientX, event.clientY];
    const move = (moved: PointerEvent) => setView({ ...latest.current, x: from.x + moved.clientX - px, y: from.y + moved.clientY - py });
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
  }, []);
  return [view, setView, start];
}
