/** Colours for what is drawn on a canvas: the tokens, as the browser resolves them now. */
import { useEffect, useState } from "react";

let probe: HTMLElement | null = null;
const known = new Map<string, string>();

/** The colour of a token such as `--accent`, as a canvas takes it. */
export function colour(token: string): string {
  const theme = themeNow();
  const key = `${theme} ${token}`;
  const found = known.get(key);
  if (found) return found;
  if (!probe) {
    probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(${token})`;
  const resolved = getComputedStyle(probe).color;
  known.set(key, resolved);
  return resolved;
}

function themeNow(): string {
  return document.documentElement.dataset["theme"] ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

/** Changes when the theme does, so that canvases are drawn again. */
export function useTheme(): string {
  const [theme, setTheme] = useState(themeNow);
  useEffect(() => {
    const look = () => setTheme(themeNow());
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", look);
    const observer = new MutationObserver(look);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => {
      media.removeEventListener("change", look);
      observer.disconnect();
    };
  }, []);
  return theme;
}

export const HUES = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"] as const;

/** The hue of a name: the same everywhere and always. */
export function hueOfName(name: string): (typeof HUES)[number] {
  let hash = 2166136261;
  for (let index = 0; index < name.length; index += 1) hash = Math.imul(hash ^ name.charCodeAt(index), 16777619);
  return HUES[(hash >>> 0) % HUES.length] ?? "--c1";
}

/** Hues for some names beside each other: its own for each where that is free, else the next free one. */
export function huesFor(names: readonly string[]): Map<string, (typeof HUES)[number]> {
  const found = new Map<string, (typeof HUES)[number]>();
  const used = new Set<string>();
  for (const name of names) {
    let hue = hueOfName(name);
    if (used.size >= HUES.length) used.clear();
    while (used.has(hue)) hue = HUES[(HUES.indexOf(hue) + 1) % HUES.length] ?? "--c1";
    used.add(hue);
    found.set(name, hue);
  }
  return found;
}
