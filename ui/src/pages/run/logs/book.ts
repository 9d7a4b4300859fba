/** Pieces of output put together to lines, in the order of their arrival. */
import type { Schemas } from "../../../api/client";

export type Piece = Schemas["LogItem"];

export interface Line {
  /** `fit/3.1.out.12.0`: task, attempt, stream, the piece it began in, and its place there. Links name it. */
  id: string;
  task: string;
  attempt: number;
  stream: string;
  time: number;
  text: string;
}

export class LogBook {
  readonly lines: Line[] = [];
  private readonly open = new Map<string, Line>();
  private readonly seen = new Set<string>();
  pieces = 0;

  /** Add pieces; each counts once, however often it comes. Says whether there was anything new. */
  add(pieces: readonly Piece[], run: string, whole = false): boolean {
    let fresh = false;
    for (const piece of pieces) {
      const task = piece.task.startsWith(`${run}/`) ? piece.task.slice(run.length + 1) : "";
      const key = `${task}.${piece.attempt}.${piece.stream}`;
      const id = `${key}.${piece.seq}`;
      if (!whole) {
        if (this.seen.has(id)) continue;
        this.seen.add(id);
      }
      fresh = true;
      this.pieces += 1;
      const parts = piece.text.split("\n");
      const begin = (text: string, place: number): Line => ({ id: `${id}.${place}`, task, attempt: piece.attempt, stream: piece.stream, time: piece.time, text });
      const before = whole ? undefined : this.open.get(key);
      if (before) {
        before.text += parts[0] ?? "";
      }
      parts.forEach((text, place) => {
        if (place === 0 && before) return;
        if (place === parts.length - 1 && text === "" && !whole) return;
        if (whole && place > 0) return;
        this.lines.push(begin(text, whole ? this.lines.length : place));
      });
      const ended = piece.text.endsWith("\n");
      const last = this.lines.at(-1);
      if (whole) continue;
      if (ended) this.open.delete(key);
      else if (parts.length > 1 || !before) {
        if (last) this.open.set(key, last);
      }
    }
    return fresh;
  }
}
