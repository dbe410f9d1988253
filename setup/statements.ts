/** One statement of an SQL text. */
export interface Statement {
  readonly text: string;
  /** The line of the text that it begins on, from 1. */
  readonly line: number;
}

/** A comment, which may hold comments. */
const comment = (inner: string): string => String.raw`\/\*(?:[^*/]|\*(?!\/)|\/(?!\*)|${inner})*\*\/`;
const NOTHING = "(?!)";

/** What SQL consists of, as far as semicolons are concerned. Comments are told apart three deep. */
const TOKEN = new RegExp(
  [
    String.raw`\s+`,
    String.raw`--[^\n]*`,
    comment(comment(comment(NOTHING))),
    String.raw`[eE]'(?:[^'\\]|\\[^]|'')*'`,
    String.raw`'(?:[^']|'')*'`,
    String.raw`"(?:[^"]|"")*"`,
    String.raw`\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$[^]*?\$\1\$`,
    String.raw`[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*`,
    "[^]",
  ].join("|"),
  "g",
);

/**
 * Splits SQL into its statements, as psql does: quotes, comments, parentheses and SQL-standard function bodies
 * (`BEGIN ATOMIC … END`) hold semicolons of their own. Citus refuses some statements, such as CREATE TRIGGER, as one of
 * several, and a statement that runs alone has a line where it fails.
 */
export function splitStatements(sql: string): Statement[] {
  const statements: Statement[] = [];
  let start: number | undefined;
  let words: string[] = [];
  let depth = 0;
  const finish = (end: number): void => {
    if (start !== undefined) statements.push({ text: sql.slice(start, end).trim(), line: lineAt(sql, start) });
    start = undefined;
    words = [];
    depth = 0;
  };
  for (const { 0: token, index } of sql.matchAll(TOKEN)) {
    if (/^(\s|--|\/\*)/.test(token)) continue;
    if (token === ";" && depth === 0) {
      finish(index);
      continue;
    }
    start ??= index;
    words.push(token.toLowerCase());
    depth = Math.max(0, depth + nesting(words));
  }
  finish(sql.length);
  return statements;
}

/** By how much the last word of a statement opens or closes something that holds semicolons. */
function nesting(words: readonly string[]): number {
  const [last, previous] = [words.at(-1), words.at(-2)];
  if (last === "(") return 1;
  if (last === ")") return -1;
  const [first, second, third, fourth] = words;
  const kind = second === "or" && third === "replace" ? fourth : second;
  if (first !== "create" || (kind !== "function" && kind !== "procedure")) return 0;
  const opened = words.includes("atomic");
  if (last === "atomic" && previous === "begin") return 1;
  if (last === "case" && opened) return 1;
  return last === "end" && opened ? -1 : 0;
}

/** The line, from 1, of a position in a text. */
export function lineAt(text: string, position: number): number {
  return text.slice(0, position).split("\n").length;
}
