/** The keyboard: pages register what their keys do; `?` lists all that are registered now. */
import { useEffect, useRef } from "react";

export interface Shortcut {
  keys: string;
  does: string;
  run: () => void;
}

const registered = new Map<symbol, Shortcut[]>();
let pending = "";
let timer = 0;

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
  );
}

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]") || document.querySelector('[role="menu"]')) return;
  if (event.key === "Shift") return;
  const pressed = pending ? `${pending} ${event.key}` : event.key;
  const all = [...registered.values()].reverse().flat();
  const found = all.find((one) => one.keys.split(", ").includes(pressed));
  window.clearTimeout(timer);
  pending = "";
  if (found) {
    event.preventDefault();
    found.run();
  } else if (all.some((one) => one.keys.startsWith(`${pressed} `))) {
    pending = pressed;
    timer = window.setTimeout(() => (pending = ""), 1200);
  }
}

if (typeof window !== "undefined") window.addEventListener("keydown", onKey);

export function allShortcuts(): Shortcut[] {
  const seen = new Set<string>();
  return [...registered.values()].flat().filter((one) => !seen.has(one.keys) && seen.add(one.keys));
}

/** Register shortcuts while the component is shown. A later component wins over an earlier one. */
export function useShortcuts(shortcuts: Shortcut[]): void {
  const current = useRef(shortcuts);
  current.current = shortcuts;
  useEffect(() => {
    const id = Symbol("shortcuts");
    registered.set(
      id,
      current.current.map((one, index) => ({ ...one, run: () => current.current[index]?.run() })),
    );
    return () => void registered.delete(id);
  }, [shortcuts.length]);
}
