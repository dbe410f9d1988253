import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { expect, test } from "vitest";
import { passwordHash } from "../../../setup/passwordHash";
import { passwordStanding, type PasswordEvidence, type PasswordStanding } from "../../../setup/passwordStanding";
import { verifiersIn } from "../../../setup/passwordVerifiers";
import { isScramPassword } from "../../../setup/scram";

/** RFC 7677's example, of the password `pencil`. */
const PENCIL = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/** A verifier of a password that is in its normal form, as PostgreSQL writes it. */
function verifierOf(password: string): string {
  const salted = pbkdf2Sync(password, "salt", 4096, 32, "sha256");
  const hmac = (text: string): Buffer => createHmac("sha256", salted).update(text).digest();
  const storedKey = createHash("sha256").update(hmac("Client Key")).digest("base64");
  return `SCRAM-SHA-256$4096:${Buffer.from("salt").toString("base64")}$${storedKey}:${hmac("Server Key").toString("base64")}`;
}

test("a password is known by the verifier that a database keeps", () => {
  expect(["pencil", "pencils", ""].map((password) => isScramPassword(password, PENCIL))).toEqual([true, false, false]);
});

test("a password is written as PostgreSQL writes it before it is compared, and as it is", () => {
  expect(isScramPassword("u\u0308\u00a0x\u00ady", verifierOf("\u00fc xy"))).toBe(true);
  expect(isScramPassword("u\u0308", verifierOf("u\u0308"))).toBe(true);
  expect(isScramPassword("u", verifierOf("\u00fc"))).toBe(false);
});

test.each(["", "md5c20f0e4f6d4d6d9b4e1b5a3e2e7f6a5b", "SCRAM-SHA-256$4096:c2FsdA==$short:x", "SCRAM-SHA-256$x"])("what is no verifier, %j, confirms nothing", (verifier) => {
  expect(isScramPassword("pencil", verifier)).toBe(false);
});

test("verifiers are found by the roles that they are of", () => {
  const [postgres, replicator] = [verifierOf("p"), verifierOf("r")];
  const printed = [`postgres ${postgres}`, `replicator ${replicator}`, "", `postgres ${PENCIL}`, "other SCRAM-SHA-256$x"].join("\n");
  expect(verifiersIn(printed)).toEqual({ superuserPassword: [postgres, PENCIL], replicationPassword: [replicator], rewindPassword: [] });
});

const other = verifierOf("other");

test.each<[string, PasswordEvidence, PasswordStanding]>([
  ["nothing", { verifiers: [] }, "unknown"],
  ["the hash that was recorded", { hash: passwordHash("pencil"), verifiers: [] }, "right"],
  ["another hash", { hash: passwordHash("other"), verifiers: [] }, "wrong"],
  ["another hash, and a database that confirms it", { hash: passwordHash("other"), verifiers: [PENCIL] }, "right"],
  ["a database that does not", { verifiers: [other] }, "wrong"],
  ["one that does, beside one that was made with a wrong one", { verifiers: [other, PENCIL] }, "right"],
  ["a database that confirms it, and a container that was made with another one", { verifiers: [PENCIL], inUse: "other" }, "right"],
  ["a database that does not, and a container that was made with it", { verifiers: [other], inUse: "pencil" }, "wrong"],
  ["a container that was made with it", { verifiers: [], inUse: "pencil" }, "right"],
  ["a container that was made with another one", { verifiers: [], inUse: "other" }, "wrong"],
])("a password of which there is %s", (_, evidence, standing) => {
  expect(passwordStanding("pencil", evidence)).toBe(standing);
});
