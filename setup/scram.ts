import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto";

const BYTES = 32;

/** Whether PostgreSQL made this verifier, `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, of a password. */
export function isScramPassword(password: string, verifier: string): boolean {
  const [, iterations, salt = "", storedKey = ""] = /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):/.exec(verifier) ?? [];
  const stored = Buffer.from(storedKey, "base64");
  if (iterations === undefined || stored.length !== BYTES) return false;
  // As it is, too: PostgreSQL takes a password so that holds what SASLprep prohibits.
  return [prepared(password), password].some((candidate) => {
    const clientKey = createHmac("sha256", pbkdf2Sync(candidate, Buffer.from(salt, "base64"), Number(iterations), BYTES, "sha256")).update("Client Key").digest();
    return timingSafeEqual(createHash("sha256").update(clientKey).digest(), stored);
  });
}

/** A password as SASLprep (RFC 4013) writes it: spaces of all kinds are one, what has no width goes, and the rest is in its normal form. */
function prepared(password: string): string {
  return password
    .replace(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, " ")
    .replace(/\u00ad|\u034f|\u1806|[\u180b-\u180d]|\u200c|\u200d|\u2060|[\ufe00-\ufe0f]|\ufeff/g, "")
    .normalize("NFKC");
}
