/** Parts of the pages that are loaded when they are first shown. */
import { lazy, type ComponentType, type LazyExoticComponent, type ReactNode } from "react";

const pause = (time: number) => new Promise((done) => window.setTimeout(done, time));

/** Like React's `lazy`, for a network that has gone for a moment, and a server whose pages are newer than those that are open. */
export function lazily<P>(load: () => Promise<{ default: (props: P) => ReactNode }>): LazyExoticComponent<ComponentType<P>> {
  return lazy<ComponentType<P>>(async () => {
    for (const wait of [300, 1000]) {
      try {
        return await load();
      } catch {
        await pause(wait);
      }
    }
    try {
      return await load();
    } catch (error) {
      // What is not there any more belongs to an older build: the pages as they are now have it. Once, lest it goes on for ever.
      const last = Number(window.sessionStorage.getItem("loaded-again") ?? 0);
      if (Date.now() - last < 30_000 || !navigator.onLine) throw error;
      window.sessionStorage.setItem("loaded-again", String(Date.now()));
      window.location.reload();
      return new Promise<never>(() => undefined);
    }
  });
}
