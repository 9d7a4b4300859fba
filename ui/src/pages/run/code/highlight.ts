/** Just enough colour for source: comments, texts, numbers, keywords. */
export interface Token {
  text: string;
  kind: "" | "comment" | "string" | "number" | "keyword" | "decorator";
}

const PYTHON =
  /(?<comment>#[^\n]*)|(?<string>[rbfuRBFU]{0,2}(?:"""[\s\S]*?(?:"""|(?![\s\S]))|'''[\s\S]*?(?:'''|(?![\s\S]))|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?))|(?<decorator>^[ \t]*@[\w.]+)|(?<number>\b\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?\b)|(?<keyword>\b(?:False|None|True|and|as|assert|async|await|break|case|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|match|nonlocal|not|or|pass|raise|return|try|while|with|yield)\b)/gm;

/** Tokens of a Python file, by line; other files stay plain. */
export function highlighted(source: string, path: string): Token[][] {
  if (!/\.(py|pyi)$/.test(path) || source.length > 500_000) return source.split("\n").map((text) => [{ text, kind: "" }]);
  const lines: Token[][] = [[]];
  const add = (text: string, kind: Token["kind"]) => {
    text.split("\n").forEach((part, index) => {
      if (index > 0) lines.push([]);
      if (part) lines.at(-1)?.push({ text: part, kind });
    });
  };
  let from = 0;
  for (const match of source.matchAll(PYTHON)) {
    add(source.slice(from, match.index), "");
    const kind = Object.entries(match.groups ?? {}).find(([, value]) => value !== undefined)?.[0] ?? "";
    add(match[0], kind as Token["kind"]);
    from = match.index + match[0].length;
  }
  add(source.slice(from), "");
  return lines;
}
