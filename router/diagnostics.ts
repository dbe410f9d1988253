import { channel, tracingChannel, type Channel, type TracingChannel } from "node:diagnostics_channel";
import type { Directory } from "./directory";
import type { Refusal } from "./refusal";

// The types of Node.js' tracing channels take other arguments from one version to the next, so none of them is part of the package's types.

/** `Tenant.query`, and a statement of a pool outside of transactions. @internal */
export const STATEMENT = tracingChannel<unknown, Operation>("tenant-router:statement");
/** `Tenant.transaction`, and `Tenant.query` with `bindStatements`. @internal */
export const TRANSACTION = tracingChannel<unknown, Operation>("tenant-router:transaction");

/** A statement or a transaction of a tenant: from the application's call to its answer, with every wait and repeat. */
export interface Operation {
  readonly tenant: string;
  /** The tenant's home: when it began, undefined if it had to be asked for, and once it has ended. */
  cluster: string | undefined;
  /** Why it failed. */
  readonly error?: unknown;
}

/** The fence of a cluster refused a write. */
export interface Refused {
  readonly cluster: string;
  /** The tenant whose statement it was. */
  readonly tenant: string;
  readonly refusal: Refusal;
}

/** A statement or a transaction is run again. */
export interface Repeat {
  readonly tenant: string;
  /** Where it was not done. */
  readonly cluster: string;
  /** What the fence said, or `conflict`: a serialization failure or a deadlock. */
  readonly reason: Refusal["kind"] | "conflict";
}

/** Somebody waited for a connection of a pool of which none was free. */
export interface PoolWait {
  readonly cluster: string;
  readonly waitMs: number;
  /** Whether one was opened for it: the pool was not full. */
  readonly opening: boolean;
}

/** A statement waited for a tenant that moves: told in parts of about 10 ms. */
export interface TenantWait {
  readonly tenant: string;
  readonly cluster: string;
  readonly waitMs: number;
}

/** The router has looked at what has changed in a cluster, and knows nothing of its tenants that is not so. */
export interface Comparison {
  readonly cluster: string;
}

/** A cluster answers, or does not any more, or was taken out of the router. */
export interface Availability {
  readonly cluster: string;
  readonly up: boolean;
  /** Why it does not. */
  readonly reason: Error | undefined;
  /** Set where it was taken out of the router: nothing more is told of it. */
  readonly removed?: true;
}

/** What each channel of `node:diagnostics_channel` tells. The tracing channels `tenant-router:statement` and `tenant-router:transaction` have an {@link Operation}. */
export interface DiagnosticMessages {
  readonly "tenant-router:refusal": Refused;
  readonly "tenant-router:repeat": Repeat;
  readonly "tenant-router:pool-wait": PoolWait;
  readonly "tenant-router:tenant-wait": TenantWait;
  readonly "tenant-router:comparison": Comparison;
  readonly "tenant-router:cluster": Availability;
}

const CHANNELS: Readonly<Record<keyof DiagnosticMessages, Channel>> = {
  "tenant-router:refusal": channel("tenant-router:refusal"),
  "tenant-router:repeat": channel("tenant-router:repeat"),
  "tenant-router:pool-wait": channel("tenant-router:pool-wait"),
  "tenant-router:tenant-wait": channel("tenant-router:tenant-wait"),
  "tenant-router:comparison": channel("tenant-router:comparison"),
  "tenant-router:cluster": channel("tenant-router:cluster"),
};

/** Tells whoever listens; nobody does, usually. @internal */
export function tell<Name extends keyof DiagnosticMessages>(name: Name, message: DiagnosticMessages[Name]): void {
  CHANNELS[name].publish(message);
}

/** @internal */
export function isHeard(name: keyof DiagnosticMessages): boolean {
  return CHANNELS[name].hasSubscribers;
}

/** Has whoever listens see when an operation begins and ends. Costs a look where nobody does. @internal */
export function traced<Result>(channel: TracingChannel<unknown, Operation>, tenant: string, directory: Directory, work: () => Promise<Result>): Promise<Result> {
  if (!channel.hasSubscribers) return work();
  const operation: Operation = { tenant, cluster: directory.recordOf(tenant)?.home };
  return channel.tracePromise(() => work().finally(() => void (operation.cluster = directory.recordOf(tenant)?.home)), operation);
}
