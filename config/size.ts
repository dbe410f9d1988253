/** An amount of memory as PostgreSQL writes it: a whole number and a unit of 1024s, `"512 MB"`. */
export type Size = `${number}${" " | ""}${"MB" | "GB"}`;

const PATTERN = /^(\d{1,9}) ?(MB|GB)$/;

/** Whether a text is a {@link Size} of at least 1 MB. */
export function isSize(text: string): text is Size {
  const match = PATTERN.exec(text);
  return match !== null && Number(match[1]) > 0;
}

/** The size in MiB, the unit of Docker's provider. `"1 GB"` is 1024. */
export function toMebibytes(size: Size): number {
  const [, amount, unit] = PATTERN.exec(size) ?? [];
  if (amount === undefined) throw new Error(`${size} is not a size: write it as "512 MB" or "2 GB"`);
  return Number(amount) * (unit === "GB" ? 1024 : 1);
}
