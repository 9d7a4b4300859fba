/** Text with ANSI colours as spans. Everything else a terminal would do (moving about, titles, links) is dropped. */

export interface Span {
  text: string;
  /** Names of CSS classes, by what the text is shown with. */
  style: string;
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
// CSI sequences, OSC sequences up to BEL or ST, other escapes, and control characters but tab.
// eslint-disable-next-line no-control-regex
const ESCAPE = /\x1b\[([0-9;:]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f]/g;

interface Look {
  fg: string;
  bg: string;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  under: boolean;
}

const PLAIN: Look = { fg: "", bg: "", bold: false, dim: false, italic: false, under: false };

/** The nearest of the sixteen colours for one of 256. */
function of256(code: number): string {
  if (code < 16) return COLOURS[code % 8] ?? "";
  if (code >= 232) return code < 244 ? "black" : "white";
  const [red, green, blue] = [Math.floor((code - 16) / 36), Math.floor((code - 16) / 6) % 6, (code - 16) % 6];
  return nearest(red * 51, green * 51, blue * 51);
}

function nearest(red: number, green: number, blue: number): string {
  const most = Math.max(red, green, blue);
  if (most < 64) return "black";
  const index = (red > most * 0.6 ? 1 : 0) + (green > most * 0.6 ? 2 : 0) + (blue > most * 0.6 ? 4 : 0);
  return COLOURS[index] ?? "";
}

function applied(look: Look, parameters: string): Look {
  const next = { ...look };
  const codes = parameters.split(/[;:]/).map((one) => Number(one || 0));
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 0) Object.assign(next, PLAIN);
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.under = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.under = false;
    else if (code === 39) next.fg = "";
    else if (code === 49) next.bg = "";
    else if (code === 38 || code === 48) {
      const kind = codes[index + 1];
      const colour =
        kind === 5 ? of256(codes[index + 2] ?? 0) : nearest(codes[index + 2] ?? 0, codes[index + 3] ?? 0, codes[index + 4] ?? 0);
      if (code === 38) next.fg = colour;
      else next.bg = colour;
      index += kind === 5 ? 2 : 4;
    } else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) next.fg = COLOURS[code % 10] ?? "";
    else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) next.bg = COLOURS[code % 10] ?? "";
  }
  return next;
}

function styleOf(look: Look): string {
  const found: string[] = [];
  if (look.fg) found.push(`a-${look.fg}`);
  if (look.bg) found.push(`a-on-${look.bg}`);
  if (look.bold) found.push("a-bold");
  if (look.dim) found.push("a-dim");
  if (look.italic) found.push("a-italic");
  if (look.under) found.push("a-under");
  return found.join(" ");
}

/** The spans of one line. A line that a carriage return begins again shows what it ends with. */
export function spansOf(line: string): Span[] {
  const ended = line.replace(/\r+$/, "");
  const last = ended.lastIndexOf("\r");
  const text = last >= 0 ? ended.slice(last + 1) : ended;
  if (!/[\x00-\x08\x0b-\x1f\x7f]/.test(text)) return [{ text, style: "" }];
  const spans: Span[] = [];
  let look = PLAIN;
  let from = 0;
  const add = (upTo: number) => {
    if (upTo > from) spans.push({ text: text.slice(from, upTo), style: styleOf(look) });
  };
  for (const match of text.matchAll(ESCAPE)) {
    add(match.index);
    from = match.index + match[0].length;
    if (match[2] === "m") look = applied(look, match[1] ?? "");
  }
  add(text.length);
  return spans;
}

export function withoutAnsi(line: string): string {
  return spansOf(line)
    .map((span) => span.text)
    .join("");
}

const LEVELS: [RegExp, string][] = [
  [/\b(ERROR|CRITICAL|FATAL|Traceback \(most recent call last\)|[A-Z]\w*(Error|Exception):)/, "error"],
  [/\b(WARN|WARNING|\w+Warning:)/, "warning"],
  [/\bDEBUG\b/, "debug"],
];

/** The level that a line says it has, at its beginning. */
export function levelOf(text: string): string {
  const head = text.slice(0, 120);
  return LEVELS.find(([pattern]) => pattern.test(head))?.[1] ?? "";
}
