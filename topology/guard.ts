import { toMilliseconds, type Duration } from "../config/duration";
import type { ContainerPlan } from "./plan";

/** The port in the coordinator's network namespace where its guard tells which workers are in step. */
export const IN_STEP_PORT = 8010;

/**
 * Plans a guard: a program beside a coordinator that takes a dead or frozen worker out of service and brings it back.
 *
 * @param coordinator the container whose holder's network namespace the guard shares.
 * @param patience how long a worker that recovers from a crash is waited for before it is taken out of service.
 */
export function planGuard(name: string, coordinator: string, patience: Duration): ContainerPlan {
  return {
    name,
    role: "guard",
    held: false,
    joins: coordinator,
    // Breaking a connection in the namespace asks for it.
    capabilities: ["CAP_NET_ADMIN"],
    environment: { PGUSER: "postgres", PGDATABASE: "postgres", GUARD_PATIENCE_MS: String(toMilliseconds(patience)) },
    files: [],
    ports: [],
    limits: {},
    // It writes its state every two seconds.
    healthCheck: { command: ["sh", "-c", 'test -n "$(find /run/guard.json -newermt "-10 seconds")"'], intervalSeconds: 5, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 30 },
    stopSignal: "SIGTERM",
    stopGraceSeconds: 3,
  };
}
