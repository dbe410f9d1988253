import { LRUCache } from "lru-cache";

/*
 * As much of SQL's grammar as it takes to say which statements a text has. Where it cannot tell, the answer is the one that has a statement not repeated.
 */

/** Words that may stand before a parenthesis in a statement that only reads: of the grammar, of types, and functions that write nothing. */
const HARMLESS = new Set(
  [
    "all and any array as between by case cast cross distinct else end except exists extract filter from full group having in inner intersect interval is join lateral left like ilike limit materialized not null offset on or order",
    "outer over partition position right row select similar some substring then to trim union using values when where with within",
    "bit bpchar char character decimal float numeric time timestamp timestamptz varchar varying",
    "abs array_agg avg bool_and bool_or ceil coalesce concat concat_ws count cume_dist date_part date_trunc dense_rank every first_value floor format generate_series greatest json_agg json_build_array json_build_object json_object_agg",
    "jsonb_agg jsonb_build_array jsonb_build_object jsonb_object_agg lag last_value lead least left length lower max md5 min mode now ntile nullif percent_rank percentile_cont percentile_disc rank regexp_replace replace right round",
    "row_number row_to_json split_part stddev string_agg substr sum to_char to_date to_json to_jsonb to_timestamp to_tsquery to_tsvector unnest upper variance",
  ].flatMap((words) => words.split(" ")),
);

/** What was found out about a text. */
interface Found {
  readonly commands: readonly string[];
  onlyReads: boolean | undefined;
}

/** Programs have few texts, and run them again and again; those that write values into them have new ones all the time. */
const FOUND = new LRUCache<string, Found>({ max: 1000, maxSize: 1_000_000, sizeCalculation: (_, text) => text.length + 1 });

function find(text: string): Found {
  const known = FOUND.get(text);
  if (known !== undefined) return known;
  const commands = bare(text)
    .split(";")
    .map((statement) => /^[\s(]*([^\s(]+)/.exec(statement)?.[1]?.toUpperCase())
    .filter((command) => command !== undefined);
  const found: Found = { commands, onlyReads: undefined };
  FOUND.set(text, found);
  return found;
}

/** The commands of a text's statements, in capitals: `["BEGIN", "INSERT", "COMMIT"]`. */
export function commandsOf(text: string): readonly string[] {
  return find(text).commands;
}

/** Whether a text may have committed something where a later part of it was refused: procedures, blocks, and several statements at once. */
export function mayCommitInPart(text: string): boolean {
  const [command = "", ...others] = commandsOf(text);
  return others.length > 0 || command === "CALL" || command === "DO";
}

/** Whether a text is one statement that reads and does nothing else. A function that is not PostgreSQL's own may write, and counts as if it did. */
export function onlyReads(text: string): boolean {
  const found = find(text);
  return (found.onlyReads ??= doesOnlyRead(text, found.commands));
}

function doesOnlyRead(text: string, commands: readonly string[]): boolean {
  if (commands.length !== 1 || !["SELECT", "WITH", "TABLE", "VALUES"].includes(commands[0] as string)) return false;
  const code = bare(text).toLowerCase();
  if (/\b(insert|update|delete|merge|into)\b/.test(code)) return false;
  return [...code.matchAll(/([^\s()+*/<>=~!@#%^&|`?,:;[\]-]+)\s*\(/g)].every(([, word = ""]) => HARMLESS.has(word));
}

/** Commands that leave nothing in their session that a later statement could count on, once their transaction has ended. */
const LEAVE_NOTHING = new Set(["INSERT", "UPDATE", "DELETE", "MERGE", "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "EXPLAIN", "SHOW"]);

/** PostgreSQL's functions that leave something, wherever they stand. */
const LEAVES = /\b(?:set_config|pg_(?:try_)?advisory_\w+)\b/i;

/** Whether a text is one statement that begins a transaction. Where a comment stands before it, the answer is no. */
export function beginsTransaction(text: string): boolean {
  return /^\s*(?:begin|start)\b/i.test(text) && commandsOf(text).length === 1;
}

/** Whether a text may commit the transaction that it is run in. */
export function commits(text: string): boolean {
  return /commit|end|prepare/i.test(text) && commandsOf(text).some((command) => command === "COMMIT" || command === "END" || command === "PREPARE");
}

/** Whether a text needs the session in which another statement was run before it. */
export function needsSession(text: string): boolean {
  return /\b(?:currval|lastval)\b/i.test(text);
}

/** Whether a text may leave something in its session that a later statement counts on: a setting, a lock, a prepared statement, a temporary table. Where it cannot tell, it may. */
export function leavesState(text: string): boolean {
  if (LEAVES.test(text)) return true;
  if (/^\s*set\s+(?:local|transaction|constraints)\b/i.test(text)) return commandsOf(text).length > 1;
  return !commandsOf(text).every((command) => LEAVE_NOTHING.has(command)) && !onlyReads(text);
}

/** A text without what can hold anything: comments and quoted texts become a space, quoted names a word that means nothing. */
function bare(text: string): string {
  let code = "";
  let from = 0;
  for (let at = 0; at < text.length; ) {
    const end = endOfQuoted(text, at);
    if (end === at) {
      at += 1;
      continue;
    }
    code += text.slice(from, at) + (text[at] === '"' ? "quoted" : " ");
    [at, from] = [end, end];
  }
  return code + text.slice(from);
}

/** Where the comment, quoted text or quoted name ends that begins here; here, if none does. */
function endOfQuoted(text: string, at: number): number {
  switch (text[at]) {
    case "-":
      return text[at + 1] === "-" ? after(text, "\n", at) : at;
    case "/":
      return text[at + 1] === "*" ? endOfComment(text, at) : at;
    case '"':
      return endOfPair(text, at, false);
    case "'":
      // In E'…' a backslash hides a quote.
      return endOfPair(text, at, /(^|[^\w$])e$/i.test(text.slice(Math.max(0, at - 2), at)));
    case "$": {
      const tag = /[\w$]/.test(text[at - 1] ?? "") ? undefined : /^\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/.exec(text.slice(at, at + 70))?.[0];
      return tag === undefined ? at : after(text, tag, at + tag.length);
    }
    case undefined:
    default:
      return at;
  }
}

/** Comments with /* nest. */
function endOfComment(text: string, at: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = at;
  let depth = 0;
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
  return text.length;
}

/** Two quotes are one inside. */
function endOfPair(text: string, at: number, backslashes: boolean): number {
  const quote = text[at];
  for (let end = at + 1; end < text.length; end += 1) {
    if (backslashes && text[end] === "\\") end += 1;
    else if (text[end] === quote && text[end + 1] === quote) end += 1;
    else if (text[end] === quote) return end + 1;
  }
  return text.length;
}

function after(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found < 0 ? text.length : found + mark.length;
}
