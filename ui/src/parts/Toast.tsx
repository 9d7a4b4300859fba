/** One line at the bottom: what was done, and how to undo it. */
import { createContext, useCallback, useContext, useEffect, useRef, useState, type ReactNode } from "react";

export interface Said {
  text: string;
  bad?: boolean;
  undo?: () => void;
}

const Say = createContext<(said: Said) => void>(() => undefined);

export const useToast = (): ((said: Said) => void) => useContext(Say);

/** How long something can be undone, in milliseconds: the server keeps it for as long. */
const UNDO = 28_000;

export function Toasts({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState<Said | null>(null);
  const say = useCallback((next: Said) => setSaid(next), []);
  useEffect(() => {
    if (!said || said.bad) return;
    const timer = window.setTimeout(() => setSaid(null), said.undo ? UNDO : 5000);
    return () => window.clearTimeout(timer);
  }, [said]);
  const line = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = line.current;
    if (!element || typeof element.showPopover !== "function") return;
    if (element.matches(":popover-open")) element.hidePopover();
    if (said) element.showPopover(); // on top of a dialog that may be open
  }, [said]);
  return (
    <Say.Provider value={say}>
      {children}
      <div role="status" aria-live="polite">
        <div className="toasts" popover="manual" ref={line}>
        {said && (
          <div className={said.bad ? "toast bad" : "toast"}>
            <span>{said.text}</span>
            {said.undo && (
              <button
                type="button"
                className="button"
                onClick={() => {
                  said.undo?.();
                  setSaid(null);
                }}
              >
                Undo
              </button>
            )}
            <button type="button" className="button quiet" onClick={() => setSaid(null)}>
              Close
            </button>
          </div>
        )}
        </div>
      </div>
    </Say.Provider>
  );
}
