/** What may stand at the caret of a filter: the small language of `headrace runs --where`. */

export interface Known {
  /** `metrics.accuracy`, `params.depth`, `tags.team`: with values that runs have, as they would be written. */
  names: ReadonlyMap<string, readonly string[]>;
}

export interface Choice {
  text: string;
  about: string;
}

const COLUMNS: Record<string, string> = {
  state: "running, failed, ...",
  flow: "name of the flow",
  number: "of the run",
  created: "a date such as 2026-01-31",
  duration: "such as 10m",
};
const STATES = ["running", "succeeded", "failed", "cancelled", "interrupted", "crashed"];
const OPERATORS = ["=", "!=", "<", "<=", ">", ">=", "in"];

interface Place {
  kind: "subject" | "operator" | "value" | "join";
  subject: string;
  word: string;
  start: number;
}

const TOKEN = /"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[()]|[=!<>]+|,|(?:[A-Za-z]+\.)?"(?:[^"\\]|\\.)*"?|[^\s=!<>()"',]+/g;

/** What is expected where the caret is, and the word that is being written there. */
export function placeOf(text: string, caret: number): Place {
  const before = text.slice(0, caret);
  const tokens = [...before.matchAll(TOKEN)].map((match) => ({ text: match[0], start: match.index }));
  const last = tokens.at(-1);
  const writing = last !== undefined && last.start + last.text.length === caret && !/^[()=!<>,]+$/.test(last.text);
  const done = writing ? tokens.slice(0, -1) : tokens;
  let kind: Place["kind"] = "subject";
  let subject = "";
  for (const { text: token } of done) {
    if (token === "(") {
      if (kind === "operator") kind = "value";
    } else if (token === ")") kind = "join";
    else if (token === ",") kind = "value";
    else if (kind === "subject") {
      subject = token;
      kind = "operator";
    } else if (kind === "operator") {
      if (!/^not$/i.test(token)) kind = "value";
    } else if (kind === "value") kind = "join";
    else if (/^(and|or)$/i.test(token)) kind = "subject";
  }
  return { kind, subject, word: writing ? last.text : "", start: writing ? last.start : caret };
}

export function choicesAt(text: string, caret: number, known: Known): Choice[] {
  const { kind, subject, word } = placeOf(text, caret);
  const starts = word.toLowerCase();
  const fits = (choice: Choice): boolean =>
    choice.text.toLowerCase() !== starts && choice.text.toLowerCase().includes(starts);
  return candidates(kind, subject, known)
    .filter(fits)
    .sort((a, b) => Number(b.text.toLowerCase().startsWith(starts)) - Number(a.text.toLowerCase().startsWith(starts)))
    .slice(0, 12);
}

function candidates(kind: Place["kind"], subject: string, known: Known): Choice[] {
  if (kind === "subject") {
    const columns = Object.entries(COLUMNS).map(([name, about]) => ({ text: name, about }));
    const named = [...known.names].map(([name, values]) => ({ text: quoted(name), about: values.slice(0, 3).join(", ") }));
    return [...columns, ...named];
  }
  if (kind === "operator") return OPERATORS.map((one) => ({ text: one, about: "" }));
  if (kind === "join") return ["and", "or"].map((one) => ({ text: one, about: "" }));
  if (subject === "state") return STATES.map((one) => ({ text: one, about: "" }));
  const bare = [...known.names].find(([name]) => quoted(name) === subject || name === subject);
  return (bare?.[1] ?? []).map((value) => ({ text: quotedValue(value), about: "" }));
}

/** A subject as the language wants it: names with spaces or operators stand in quotes. */
export function quoted(name: string): string {
  const dot = name.indexOf(".");
  const rest = name.slice(dot + 1);
  if (dot < 0 || /^[^\s=!<>"'()]+$/.test(rest)) return name;
  return `${name.slice(0, dot)}.${JSON.stringify(rest)}`;
}

export function quotedValue(value: string): string {
  return /^[^\s=!<>"'(),]+$/.test(value) ? value : JSON.stringify(value);
}

/** The text with `choice` in place of the word at the caret, and where the caret goes. */
export function complete(text: string, caret: number, choice: string): [string, number] {
  const { start } = placeOf(text, caret);
  const head = text.slice(0, start);
  const space = head && !/[\s(]$/.test(head) ? " " : "";
  const written = `${head}${space}${choice} `;
  return [written + text.slice(caret).trimStart(), written.length];
}
