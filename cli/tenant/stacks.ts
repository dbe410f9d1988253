import { readdirSync } from "node:fs";
import type { ClusterAccess } from "../../tenants/clusterAccess";
import { TenantError } from "../../tenants/tenantError";
import { POSTGRES_PORT } from "../../topology/plan";
import { connectionUris, coordinatorUris } from "../connections";
import { Failure } from "../failure";
import { PROJECT_DIRECTORY, requireStack, stacksIn } from "../project";
import { readStack, type Stack } from "../stack";

/**
 * The stack that a command's words begin with, and the words after it. Without a stack's name it is the only stack here that spreads tenants over clusters.
 *
 * @param command what follows `npm run`.
 * @throws {@link Failure} if there is no such stack, or not only one.
 */
export function chooseTenantStack(command: string, words: readonly string[]): { stack: Stack; rest: readonly string[] } {
  const names = stacksIn(readdirSync(PROJECT_DIRECTORY));
  const [first, ...others] = words;
  if (first !== undefined && names.includes(first)) return { stack: withTenants(readStack(first)), rest: others };
  const able = names.flatMap((name) => readableStack(name)).filter(({ plan }) => plan.topology === "active-active");
  const [only, ...more] = able;
  if (only === undefined) throw new Failure("No stack here spreads tenants over clusters: only stacks whose topology is active-active do.");
  if (more.length > 0) return { stack: withTenants(readStack(requireStack(command, first, able.map(({ name }) => name)))), rest: others };
  return { stack: only, rest: words };
}

/** The stack of a command that takes no other word. @throws what {@link chooseTenantStack} throws; {@link Failure} where a word is no stack's name, or one too many. */
export function onlyTenantStack(command: string, words: readonly string[]): Stack {
  const { stack, rest } = chooseTenantStack(command, words);
  const [word] = rest;
  if (word === undefined) return stack;
  requireStack(command, word);
  throw new Failure(`One stack at a time, and there are ${words.length}: ${words.join(", ")}.`);
}

/** A stack whose configuration can be read; another stack's mistakes are no concern of this command. */
function readableStack(name: string): Stack[] {
  try {
    return [readStack(name)];
  } catch {
    return [];
  }
}

function withTenants(stack: Stack): Stack {
  if (stack.plan.topology !== "active-active") throw new Failure(`${stack.name} has one cluster, which is home to every tenant: only stacks whose topology is active-active spread them.`);
  return stack;
}

/** How the clusters of a stack that is up are reached. */
export async function clustersOf(stack: Stack): Promise<ClusterAccess[]> {
  const uris = coordinatorUris(stack, await connectionUris(stack.name));
  return stack.plan.clusters.map(({ name, coordinator, workers, setup }) => {
    const uri = uris.find(({ cluster }) => cluster === name)?.uri;
    if (uri === undefined) throw new Failure(`The last update of ${stack.name} does not know cluster ${name} yet. Run npm run up -- ${stack.name}`);
    const nodes = [...(coordinator === undefined ? [] : [coordinator]), ...workers].flatMap((node) =>
      node.ports.map(({ external }) => [`${node.name}:${POSTGRES_PORT}`, { host: setup.endpoint.host, port: external }] as const),
    );
    return { name, uri, nodes: Object.fromEntries(nodes) };
  });
}

/** The one word that a command needs beside the stack. @throws {@link Failure} that shows what was meant. */
export function onlyWord(rest: readonly string[], what: string, example: string): string {
  const [word, ...more] = rest;
  if (word === undefined) throw new Failure(`Which ${what}? For example: ${example}`);
  if (more.length > 0) throw new Failure(`One ${what} at a time, and there are ${rest.length}: ${rest.join(", ")}. For example: ${example}`);
  return word;
}

/** Work on tenants; what ends it with a sentence ends the command with it. */
export async function explained<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof TenantError ? new Failure(`${error.message.replace(/\.$/, "")}.`) : error;
  }
}
