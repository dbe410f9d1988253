import type { Fault } from "./fault";

/* Faults that one would ask for, and that Docker on one machine cannot do: they are named, so that nobody takes them for tried. */

export const clock: Fault = {
  name: "clock",
  roles: ["coordinator"],
  describe: "a node's clock jumps",
  aim: () => Promise.resolve({ skipped: "containers have the machine's clock: it would jump for all of them, and for the clients" }),
};

export const slowDisk: Fault = {
  name: "slow-disk",
  roles: ["worker"],
  describe: "a node's disk becomes slow",
  aim: () => Promise.resolve({ skipped: "Docker cannot slow down the disk of a container that runs: docker update has no limit for devices" }),
};
