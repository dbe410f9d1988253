import type { PasswordKey } from "../config/settings";
import { docker } from "./docker";
import { psqlIn } from "./userTables";

/** The role that each password is of. */
const ROLES: Readonly<Record<PasswordKey, string>> = { superuserPassword: "postgres", replicationPassword: "replicator", rewindPassword: "rewinder" };

/** A line for each of these roles that has a password: its name, a space, and what PostgreSQL keeps of the password. */
const VERIFIERS = `SELECT rolname || ' ' || rolpassword FROM pg_authid WHERE rolname IN (${Object.values(ROLES).map((role) => `'${role}'`).join(", ")}) AND rolpassword LIKE 'SCRAM-SHA-256$%'`;

/** What databases keep of each password: one verifier for each of the containers that runs and whose database answers. */
export async function passwordVerifiers(containers: readonly string[]): Promise<Readonly<Record<PasswordKey, readonly string[]>>> {
  const running = new Set((await docker(["ps", "--format", "{{.Names}}"])).stdout.split("\n"));
  const answers = await Promise.all(containers.filter((container) => running.has(container)).map((container) => psqlIn(container, VERIFIERS)));
  return verifiersIn(answers.map((answer = "") => answer).join("\n"));
}

/** The verifiers in what {@link VERIFIERS} printed. */
export function verifiersIn(printed: string): Readonly<Record<PasswordKey, readonly string[]>> {
  const lines = printed.split("\n");
  const of = (key: PasswordKey): string[] => lines.flatMap((line) => (line.startsWith(`${ROLES[key]} `) ? [line.slice(ROLES[key].length + 1)] : []));
  return { superuserPassword: of("superuserPassword"), replicationPassword: of("replicationPassword"), rewindPassword: of("rewindPassword") };
}
