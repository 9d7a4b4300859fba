import { useEffect, useState } from "react";

/** The time now, in seconds; changes every `every` seconds while `on`. */
export function useNow(on = true, every = 1): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    if (!on) return;
    const timer = window.setInterval(() => setNow(Date.now() / 1000), every * 1000);
    return () => window.clearInterval(timer);
  }, [on, every]);
  return now;
}
