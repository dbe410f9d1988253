import { createServer } from "node:net";
import type { DockerEngine } from "./docker";
import { Failure } from "./failure";
import type { ListedContainer } from "./live";
import { lastLine, run } from "./run";
import type { Stack } from "./stack";

/**
 * Makes sure that every port that a stack publishes is free, or held by the stack itself.
 *
 * @param containers all containers on this Docker.
 * @throws {@link Failure} that names the first port that is not, its setting and who holds it.
 */
export async function requireFreePorts(stack: Stack, label: string, engine: DockerEngine, containers: readonly ListedContainer[]): Promise<void> {
  const address = stack.settings.bindAddress;
  for (const { port, owner, key } of stack.ports) {
    const holders = containers.filter(({ ports }) => ports.some((bound) => bound.port === port && overlaps(bound.ip, address)));
    if (holders.some((holder) => holder.stack === label)) continue;
    const another = `choose another: npm run up -- ${stack.name} --config-path -c ${key}=${suggestion(stack, key, containers)}`;
    const [holder] = holders;
    if (holder !== undefined) throw new Failure(`Port ${port}, which ${owner} would publish (setting ${key}), is held by the container ${holder.name}. Stop it (docker stop ${holder.name}), or ${another}`);
    // Another machine's ports cannot be tried from here.
    const problem = engine.local ? await bindProblem(port, address) : undefined;
    if (problem === "EADDRINUSE") {
      throw new Failure(`Port ${port}, which ${owner} would publish (setting ${key}), is held by ${await processOn(port)}. Stop it, or ${another}`);
    }
    if (problem === "EADDRNOTAVAIL") throw new Failure(`bindAddress is ${address}, which is no address of this machine. Set it to one, for example 127.0.0.1: npm run up -- ${stack.name} -c bindAddress=127.0.0.1`);
  }
}

/** Whether a port bound on one address is taken on the other. */
export function overlaps(one: string, other: string): boolean {
  const anywhere = (ip: string): boolean => ip === "" || ip === "0.0.0.0" || ip === "::";
  return one === other || anywhere(one) || anywhere(other);
}

/** A value for a setting of ports with which nothing known collides: 100 higher, or 200, … */
function suggestion(stack: Stack, key: string, containers: readonly ListedContainer[]): number {
  const own = stack.ports.filter((published) => published.key === key).map(({ port }) => port);
  const others = stack.ports.filter((published) => published.key !== key).map(({ port }) => port);
  const taken = new Set([...own, ...others, ...containers.flatMap(({ ports }) => ports.map(({ port }) => port))]);
  let distance = 100;
  while (own.some((port) => taken.has(port + distance))) distance += 100;
  return (own[0] ?? 0) + distance;
}

/** Binds the port for a moment; the code of the error, if it cannot. */
function bindProblem(port: number, address: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
    server.listen({ port, host: address, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** The process that listens on a port, as far as this user may know. */
async function processOn(port: number): Promise<string> {
  const sockets = await run("ss", ["-Hltnp", `sport = :${port}`], { timeoutMs: 5000 });
  const [, name, id] = /users:\(\("([^"]+)",pid=(\d+)/.exec(sockets.stdout) ?? [];
  if (name !== undefined && id !== undefined) return `the process ${name} (pid ${id})`;
  const open = await run("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN"], { timeoutMs: 5000 });
  const [command, pid] = lastLine(open.stdout).split(/\s+/);
  return open.code === 0 && command !== undefined && pid !== undefined ? `the process ${command} (pid ${pid})` : "another process on this machine";
}
