import type { ContainerPlan } from "./plan";

/** Where Docker's socket is on the engine's machine, unless Docker is run without root. */
export const DOCKER_SOCKET = "/var/run/docker.sock";

/** What decides the plan of a keeper. */
export interface KeeperOptions {
  /** Path of Docker's socket on the engine's machine. @default /var/run/docker.sock */
  readonly dockerSocket?: string;
  /** Put before the container's name. @default none */
  readonly prefix?: string;
}

/** Plans a keeper: a program that starts again what Docker's engine leaves down of the stack when it boots. */
export function planKeeper(name: string, { dockerSocket = DOCKER_SOCKET, prefix = "" }: KeeperOptions = {}): ContainerPlan {
  return {
    name: `${prefix}${name}`,
    role: "keeper",
    held: false,
    dockerSocket,
    environment: {},
    files: [],
    ports: [],
    // It takes about half of it.
    limits: { memory: "128 MB" },
    // It leaves a mark at every look that Docker answered: at least every 30 s.
    healthCheck: { command: ["sh", "-c", 'test -n "$(find /run/keeper -newermt "-60 seconds")"'], intervalSeconds: 10, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 30 },
    stopSignal: "SIGTERM",
    stopGraceSeconds: 3,
  };
}
