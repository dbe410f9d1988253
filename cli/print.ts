import colors from "picocolors";

/*
 * What a command tells its reader goes to the error output, so that the standard output stays for results: a URI, a
 * table, JSON.
 */

/** A step that is done or begins. */
export function say(line: string): void {
  console.error(line);
}

/** Something that the reader should know, and that does not stop the command. */
export function warn(sentence: string): void {
  console.error(`${colors.yellow("Warning:")} ${sentence}`);
}

/** Why the command ends. */
export function fail(sentence: string): void {
  console.error(`${colors.red("Error:")} ${sentence}`);
}

/** A duration as a person reads it: `0.8 s`, `12 s`, `2 min 5 s`. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** An amount of bytes as a person reads it: `0 B`, `12 kB`, `3.4 MB`. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 ** 2 ? `${(bytes / 1024).toFixed(0)} kB` : `${(bytes / 1024 ** 2).toFixed(1)} MB`;
}

/** A list as a sentence has it: `a`, `a and b`, `a, b and c`. */
export function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1) ?? ""}`;
}
