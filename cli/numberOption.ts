import { Failure } from "./failure";

/** What an option's number may be. */
export interface NumberRange {
  readonly from: number;
  readonly to: number;
  readonly whole?: boolean;
}

/**
 * The number that an option was given; undefined if it was not given.
 *
 * @throws {@link Failure} that says what would be right.
 */
export function numberOption(option: string, text: string | undefined, { from, to, whole = false }: NumberRange): number | undefined {
  if (text === undefined) return undefined;
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (value >= from && value <= to && (!whole || Number.isInteger(value))) return value;
  throw new Failure(`--${option} is "${text}": it must be a ${whole ? "whole number" : "number"} from ${from} to ${to}.`);
}
