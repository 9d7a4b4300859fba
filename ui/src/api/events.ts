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
    let gathered = 0;
    let told = -Infinity;
    let tries = 0;
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
      if (heard.current) {
        let data: unknown = null;
        try {
          data = JSON.parse(event.data);
        } catch {
          data = event.data;
        }
        heard.current({ kind: event.type, id: event.lastEventId, data });
      }
      // The first after a pause is told at once, those that follow in bundles.
      if (!timer) timer = window.setTimeout(tell, Math.max(0, GATHER - (performance.now() - told)));
      if (event.type === "end") {
        stopped = true;
        source?.close();
        setState((now) => ({ ...now, open: false, lost: false }));
      }
    };
    const connect = () => {
      source = new EventSource(url);
      source.onopen = () => {
        tries = 0;
        setState((now) => ({ ...now, open: true, lost: false }));
      };
      source.onerror = () => {
        setState((now) => ({ ...now, open: false, lost: !stopped }));
        // The browser tries again by itself unless the answer was an error.
        if (source?.readyState === EventSource.CLOSED && !stopped) {
          tries += 1;
          window.setTimeout(() => !stopped && connect(), Math.min(30_000, 1000 * 2 ** tries));
        }
      };
      for (const kind of wanted.split(" ")) source.addEventListener(kind, hear as EventListener);
    };
    connect();
    return () => {
      stopped = true;
      window.clearTimeout(timer);
      source?.close();
    };
  }, [url, wanted]);
  return state;
}
