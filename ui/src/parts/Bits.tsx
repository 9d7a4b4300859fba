/** Small parts: times, durations, things that can be copied, empty lists, errors. */
import { Check, Copy as CopyIcon } from "lucide-react";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { ApiError, loginAddress } from "../api/client";
import { duration, exactTime, shortTime } from "../lib/format";
import { useNow } from "../lib/now";

export function Time({ at }: { at: number | null | undefined }) {
  if (at === null || at === undefined) return null;
  return (
    <time className="num" dateTime={new Date(at * 1000).toISOString()}>
      {shortTime(at)}
    </time>
  );
}

/** The exact time, when the pointer comes over a short one: of thousands in a list few are ever asked. */
document.addEventListener("pointerover", (event) => {
  const time = event.target instanceof Element ? event.target.closest("time") : null;
  if (time) time.title = exactTime(Date.parse(time.dateTime) / 1000);
});

/** A duration; one that still grows is counted on from `since`. */
export function Took({ seconds, since, live }: { seconds?: number | null; since?: number | null; live?: boolean }) {
  const now = useNow(Boolean(live), 1);
  const shown = live && since ? Math.max(0, now - since) : seconds;
  return <span className="num">{live && shown !== undefined && shown !== null && shown > 10 ? duration(Math.round(shown)) : duration(shown)}</span>;
}

export function CopyButton({ text, what, children }: { text: string; what: string; children?: ReactNode }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = window.setTimeout(() => setDone(false), 1500);
    return () => window.clearTimeout(timer);
  }, [done]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
  };
  return (
    <button type="button" className={children ? "button" : "iconbutton"} onClick={copy} title={`Copy ${what}`} aria-label={children ? undefined : `Copy ${what}`}>
      {done ? <Check size={14} aria-hidden /> : <CopyIcon size={14} aria-hidden />}
      {children && <span>{done ? "Copied" : children}</span>}
      <span className="hidden" role="status">
        {done ? `Copied ${what}` : ""}
      </span>
    </button>
  );
}

/** A command to type, with a button that copies it. */
export function Command({ text }: { text: string }) {
  return (
    <div className="command">
      <code>{text}</code>
      <CopyButton text={text} what="the command" />
    </div>
  );
}

export function Empty({ title, children, command }: { title: string; children?: ReactNode; command?: string }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children && <div className="empty-text">{children}</div>}
      {command && <Command text={command} />}
    </div>
  );
}

export function Problem({ error, retry }: { error: Error; retry?: () => void }) {
  const api = error instanceof ApiError ? error : null;
  const title = api ? (api.status === 404 ? "Not found" : api.title) : "This page met a defect of its own";
  return (
    <div className="problem" role="alert">
      <p className="problem-title">{title}</p>
      <pre className="problem-text">{api?.detail || error.message}</pre>
      <p className="problem-more">
        {api?.requestId && (
          <span>
            Request <code>{api.requestId}</code>: the server's log says more under this id.
          </span>
        )}
        {retry && (
          <button type="button" className="button" onClick={retry}>
            Try again
          </button>
        )}
        {api?.status === 401 && <a href={loginAddress()}>Log in</a>}
      </p>
    </div>
  );
}

/** Bones of what is about to come; only after a moment, so that quick answers do not flash. */
export function Loading({ rows = 6 }: { rows?: number }) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = window.setTimeout(() => setLate(true), 150);
    return () => window.clearTimeout(timer);
  }, []);
  return (
    <div className="loading" role="status" aria-label="Loading">
      {late && Array.from({ length: rows }, (_, row) => <div key={row} className={`bone bone-${row % 4}`} />)}
    </div>
  );
}

/** What an answer shows: bones, an error, or its content. */
export function Shown<T>({
  query,
  rows,
  children,
}: {
  query: { data: T | undefined; error: Error | null; refetch: () => unknown };
  rows?: number;
  children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  return <Loading {...(rows ? { rows } : {})} />;
}

/** The native dialog: it keeps the focus, closes by Escape, and needs no style from a script. */
export function Dialog({
  title,
  open,
  onClose,
  children,
  wide,
}: {
  title: string;
  open: boolean;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    if (open && !dialog.open) dialog.showModal();
    if (!open && dialog.open) dialog.close();
  }, [open]);
  return (
    <dialog
      ref={ref}
      className={wide ? "dialog wide" : "dialog"}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => event.target === ref.current && onClose()}
    >
      {open && (
        <div className="dialog-inside">
          <header>
            <h2>{title}</h2>
            <button type="button" className="button quiet" onClick={onClose}>
              Close
            </button>
          </header>
          {children}
        </div>
      )}
    </dialog>
  );
}

/** Label and value, below each other in two columns. */
export function Facts({ rows }: { rows: (readonly [string, ReactNode] | null | false | undefined)[] }) {
  const shown = rows.filter((row): row is readonly [string, ReactNode] => {
    const value = row ? row[1] : null;
    return value !== null && value !== undefined && value !== "" && value !== false;
  });
  return (
    <dl className="facts">
      {shown.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Section({ title, more, children }: { title: string; more?: ReactNode; children: ReactNode }) {
  return (
    <section className="section">
      <header>
        <h2>{title}</h2>
        {more}
      </header>
      {children}
    </section>
  );
}
