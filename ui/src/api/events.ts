/** Live events of the server. A lost connection mends itself; what was missed is sent then (Last-Event-ID). */
import { useEffect, useRef, useState } from "react";

export interface LiveEvent {
  kind: string;
  id: string;
  data: unknown;
}

export interface Events {
  /** Events so far; changes with each. At most one change every `GATHER` ms is told. */
  count: number;
  open: boolean;
  lost: boolean;
}

const GATHER = 250;
/** Milliseconds after which a window that nobody sees listens no more: browsers have six connections for all of them. */
const HIDDEN = 10_000;

/** Listen at `url` (not at all when it is null); `onEvent` hears each event, the component is told of bundles. */
export function useEvents(url: string | null, kinds: readonly string[], onEvent?: (event: LiveEvent) => void): Events {
  const [state, setState] = useState<Events>({ count: 0, open: false, lost: false });
  const heard = useRef(onEvent);
  heard.current = onEvent;
  const wanted = kinds.join(" ");
  useEffect(() => {
    if (url === null) return;
    let source: EventSource | null = null;
    let timer = 0;
    let later = 0;
    let gathered = 0;
    let told = -Infinity;
    let tries = 0;
    let last = "";
    let stopped = false;
    const tell = () => {
      timer = 0;
      told = performance.now();
      const more = gathered;
      gathered = 0;
      setState((now) => ({ ...now, count: now.count + more }));
    };
    const hear = (event: MessageEvent<string>) => {
      gathered += 1;
      last = event.lastEventId || last;
      let data: unknown = null;
      try {
        data = JSON.parse(event.data);
      } catch {
        data = event.data;
      }
      heard.current?.({ kind: event.type, id: event.lastEventId, data });
      // The first after a pause is told at once, those that follow in bundles.
      if (!timer) timer = window.setTimeout(tell, Math.max(0, GATHER - (performance.now() - told)));
      // A run that ended may be resumed, tagged or removed: the stream goes on. After a removal nothing comes.
      if (event.type === "end" && (data as { state?: string }).state === "deleted") {
        stopped = true;
        close();
      }
    };
    const close = () => {
      source?.close();
      source = null;
      setState((now) => ({ ...now, open: false, lost: false }));
    };
    const connect = () => {
      window.clearTimeout(later);
      if (stopped || source) return;
      const made = new EventSource(last ? `${url}?after=${encodeURIComponent(last)}` : url);
      source = made;
      made.onopen = () => {
        tries = 0;
        setState((now) => ({ ...now, open: true, lost: false }));
      };
      made.onerror = () => {
        setState((now) => ({ ...now, open: false, lost: true }));
        // The browser tries again by itself unless the answer was an error.
        if (made.readyState !== EventSource.CLOSED) return;
        source = null;
        tries += 1;
        later = window.setTimeout(connect, Math.min(8000, 500 * 2 ** tries));
      };
      for (const kind of wanted.split(" ")) made.addEventListener(kind, hear as EventListener);
    };
    const seen = () => {
      window.clearTimeout(later);
      if (document.hidden) later = window.setTimeout(close, HIDDEN);
      else connect();
    };
    connect();
    document.addEventListener("visibilitychange", seen);
    return () => {
      stopped = true;
      window.clearTimeout(timer);
      window.clearTimeout(later);
      document.removeEventListener("visibilitychange", seen);
      source?.close();
    };
  }, [url, wanted]);
  return state;
}
