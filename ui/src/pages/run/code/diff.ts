/** A unified diff as lines with their kind and numbers. */
export interface DiffLine {
  kind: "file" | "hunk" | "add" | "del" | "same";
  text: string;
  left: number | null;
  right: number | null;
}

export function parseDiff(text: string): DiffLine[] {
  const found: DiffLine[] = [];
  let [left, right] = [0, 0];
  for (const line of text.split("\n")) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(line);
    if (hunk) {
      [left, right] = [Number(hunk[1]), Number(hunk[2])];
      found.push({ kind: "hunk", text: line, left: null, right: null });
    } else if (/^(--- |\+\+\+ |diff |index |new file|deleted file|Only in |Binary )/.test(line)) {
      found.push({ kind: "file", text: line, left: null, right: null });
    } else if (line.startsWith("+")) found.push({ kind: "add", text: line.slice(1), left: null, right: right++ });
    else if (line.startsWith("-")) found.push({ kind: "del", text: line.slice(1), left: left++, right: null });
    else if (line.startsWith(" ")) found.push({ kind: "same", text: line.slice(1), left: left++, right: right++ });
    else if (line) found.push({ kind: "file", text: line, left: null, right: null });
  }
  return found;
}
