/** A length of time as a person writes it: a number and a unit, `"1 s"`, `"500 ms"`, `"1.5 s"`, `"2 min"`. */
export type Duration = `${number}${" " | ""}${"ms" | "s" | "min"}`;

const PATTERN = /^(\d{1,6}(?:\.\d{1,3})?) ?(ms|s|min)$/;
const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000 };

/** Whether a text is a {@link Duration} longer than nothing. */
export function isDuration(text: string): text is Duration {
  const match = PATTERN.exec(text);
  return match !== null && Number(match[1]) > 0;
}

/** The length in milliseconds. `"2 min"` is 120000. */
export function toMilliseconds(duration: Duration): number {
  const [, amount, unit = ""] = PATTERN.exec(duration) ?? [];
  const factor = MILLISECONDS[unit];
  if (amount === undefined || factor === undefined) throw new Error(`${duration} is not a duration: write it as "500 ms", "1 s" or "2 min"`);
  return Number(amount) * factor;
}
