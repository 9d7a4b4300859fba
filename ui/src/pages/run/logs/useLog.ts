/** The output of a run or task: from its beginning or its end, page by page, and what is still being written. */
import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError, get, RUN } from "../../../api/client";
import type { RunAddress } from "../useRun";
import { LogBook, type Line } from "./book";

export interface LogWanted {
  step?: string;
  task?: string;
  stream?: string;
  search?: string;
}

export interface Log {
  lines: readonly Line[];
  /** Changes with the lines. */
  version: number;
  more: boolean;
  loading: boolean;
  error: ApiError | null;
  /** Only the newest lines are here, not those before. */
  cut: boolean;
  load: () => void;
  jump: () => void;
}

const PATH = `${RUN}/logs` as const;
const LIMIT = 1000;

interface State {
  book: LogBook;
  cursor: string;
  more: boolean;
  cut: boolean;
}

export function useLog(at: RunAddress, wanted: LogWanted, options: { live: boolean; tick: number; fromEnd: boolean }): Log {
  const run = `${at.flow}/${at.number}`;
  const key = JSON.stringify([at, wanted]);
  const state = useRef<State>({ book: new LogBook(), cursor: "", more: true, cut: false });
  const [version, setVersion] = useState(0);
  const [loading, setLoading] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const busy = useRef<AbortController | null>(null);
  const missed = useRef(false);

  const fetchPage = useCallback(
    async (tail: boolean) => {
      if (busy.current) {
        missed.current = true;
        return;
      }
      missed.current = false;
      const control = new AbortController();
      busy.current = control;
      setLoading(true);
      try {
        const now = state.current;
        const page = await get(
          PATH,
          {
            ...at,
            ...(wanted.step ? { step: wanted.step } : {}),
            ...(wanted.task ? { task: wanted.task } : {}),
            ...(wanted.stream ? { stream: wanted.stream as "out" | "err" } : {}),
            ...(wanted.search ? { search: wanted.search } : {}),
            ...(tail ? { tail: true } : {}),
            ...(now.cursor && !tail ? { cursor: now.cursor } : {}),
            limit: LIMIT,
          },
          control.signal,
        );
        if (control.signal.aborted) return;
        const book = tail ? new LogBook() : now.book;
        book.add(page.items, run, Boolean(wanted.search));
        state.current = {
          book,
          // At the end there is no cursor: what comes later is asked for from the last one, and what came twice is dropped.
          cursor: page.next ?? now.cursor,
          more: tail ? false : page.next !== null && page.next !== undefined,
          cut: tail ? page.items.length >= LIMIT : now.cut,
        };
        setError(null);
        setVersion((before) => before + 1);
      } catch (failed) {
        if (!control.signal.aborted) setError(failed instanceof ApiError ? failed : new ApiError(0, "No answer", String(failed)));
      } finally {
        if (busy.current === control) {
          busy.current = null;
          setLoading(false);
          // What was written while the page before was read may be in none of the two.
          if (missed.current && !state.current.more) void fetchPage(false);
        }
      }
    },
    [key, run],
  );

  useEffect(() => {
    state.current = { book: new LogBook(), cursor: "", more: true, cut: false };
    setVersion((before) => before + 1);
    void fetchPage(options.fromEnd && !wanted.search);
    return () => {
      busy.current?.abort();
      busy.current = null;
    };
  }, [fetchPage, options.fromEnd]);

  // What a live run writes meanwhile, and what it left when it ended.
  const { live, tick } = options;
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current && !state.current.more) void fetchPage(false);
    begun.current = true;
    if (!live) return;
    const timer = window.setInterval(() => !state.current.more && void fetchPage(false), 1500);
    return () => window.clearInterval(timer);
  }, [live, tick, fetchPage]);

  const load = useCallback(() => {
    if (state.current.more) void fetchPage(false);
  }, [fetchPage]);
  const jump = useCallback(() => void fetchPage(true), [fetchPage]);
  return { lines: state.current.book.lines, version, more: state.current.more, loading, error, cut: state.current.cut, load, jump };
}
