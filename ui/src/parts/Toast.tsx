/** One line at the bottom: what was done, and how to undo it. */
import { createContext, useCallback, useContext, useEffect, useState, type ReactNode } from "react";

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
  return (
    <Say.Provider value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
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
    </Say.Provider>
  );
}
