const MILLISECONDS: Readonly<Record<string, number>> = { "": 1, ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** Whether two values of a parameter are one: `5000` and `5s` are, for a parameter that is a time in milliseconds. */
export function sameSetting(one: string, other: string): boolean {
  if (one === other) return true;
  const [first, second] = [milliseconds(one), milliseconds(other)];
  return first !== undefined && first === second;
}

function milliseconds(value: string): number | undefined {
  const [, number, unit = ""] = /^(-?\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(value.trim()) ?? [];
  const factor = MILLISECONDS[unit];
  return number === undefined || factor === undefined ? undefined : Number(number) * factor;
}
