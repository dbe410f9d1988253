// What set-up, guard and operations on tenants tell each other by: keys of PostgreSQL's advisory locks, on the coordinator.

/** Held by whoever changes the cluster: a set-up, or the guard while it brings a worker back. */
export const SET_UP_LOCK = "hashtext('citus-sharding set-up')";

/** Held by the guard while it takes a worker out of service, until it no longer breaks connections to it. */
export const TAKING_OUT_LOCK = "hashtext('citus-sharding taking out')";

/** Held, for a worker's Citus group, by an update that takes the worker out of service: it is not read from that moment on. The class of a key of two numbers. */
export const LEAVING_LOCK_CLASS = 7780;

/** Held, shared, by whoever writes records of tenants, and exclusively by who takes records away or changes the ring (tenants/record.ts). */
export const RECORDS_LOCK = "7779, 0";
