import { useEffect } from "react";

/** The title of the window: what is shown, so that a tab is found again. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · Headrace` : "Headrace";
  }, [title]);
}
