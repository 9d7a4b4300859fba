/** Settings of the reader on this machine; never needed to show a page, so a forbidden storage does not matter. */
import { useCallback, useSyncExternalStore } from "react";

const listeners = new Set<() => void>();

export function readSetting(name: string): string | null {
  try {
    return localStorage.getItem(`headrace.${name}`);
  } catch {
    return null;
  }
}

export function writeSetting(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`headrace.${name}`);
    else localStorage.setItem(`headrace.${name}`, value);
  } catch {
    // Kept for this page only.
  }
  for (const listener of listeners) listener();
}

export function useSetting(name: string): [string | null, (value: string | null) => void] {
  const value = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => readSetting(name),
  );
  return [value, useCallback((next) => writeSetting(name, next), [name])];
}
