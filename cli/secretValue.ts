const SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d";

/** A value of an exported state without the wrapping of a secret. */
export function plain(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !(SECRET_SIGNATURE in value)) return value;
  const { plaintext } = value as { plaintext?: string };
  return plaintext === undefined ? undefined : (JSON.parse(plaintext) as unknown);
}
