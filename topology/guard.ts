import type { ContainerPlan } from "./plan";

/**
 * Plans a guard: a program beside a coordinator that takes a dead or frozen worker out of service and brings it back.
 *
 * @param coordinator the container whose holder's network namespace the guard shares.
 */
export function planGuard(name: string, coordinator: string): ContainerPlan {
  return {
    name,
    role: "guard",
    held: false,
    joins: coordinator,
    // Breaking a connection in the namespace asks for it.
    capabilities: ["CAP_NET_ADMIN"],
    environment: { PGUSER: "postgres", PGDATABASE: "postgres" },
    files: [],
    ports: [],
    limits: {},
    // It writes its state every two seconds.
    healthCheck: { command: ["sh", "-c", 'test -n "$(find /run/guard.json -newermt "-10 seconds")"'], intervalSeconds: 5, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 30 },
    stopSignal: "SIGTERM",
    stopGraceSeconds: 3,
  };
}
