import { randomBytes, scryptSync, timingSafeEqual } from "node:crypto";

const BYTES = 32;

/** A salted hash of a password, to know it again without keeping it. */
export function passwordHash(password: string, salt = randomBytes(16).toString("base64url")): string {
  return `${salt}:${scryptSync(password, salt, BYTES).toString("base64url")}`;
}

/** Whether a password is the one that a hash was made of. */
export function isPassword(password: string, hash: string): boolean {
  const [salt = ""] = hash.split(":");
  const [one, other] = [Buffer.from(passwordHash(password, salt)), Buffer.from(hash)];
  return one.length === other.length && timingSafeEqual(one, other);
}
