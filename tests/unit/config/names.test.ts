import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clusterPorts, clusterWorkerNames, publishedPorts, workerNames, workerPorts } from "../../../config/names";
import { parseSettings } from "../../../config/parse";

const letter = fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz");
const letters = fc.uniqueArray(letter, { minLength: 1, maxLength: 26 });
const clustersNamed = (names: readonly string[]): Record<string, { workers: number }> => Object.fromEntries(names.map((name) => [name, { workers: 3 }]));

describe("names", () => {
  test.each<[number | string[], string[]]>([
    [1, ["worker_a1"]],
    [3, ["worker_a1", "worker_a2", "worker_a3"]],
    [["west", "east"], ["west", "east"]],
  ])("workers %j of cluster a are %j", (workers, names) => {
    expect(clusterWorkerNames("a", workers)).toEqual(names);
  });

  test("workers of active-passive are numbered from 1", () => {
    expect(workerNames(3, "worker")).toEqual(["worker1", "worker2", "worker3"]);
  });

  test("the workers of all clusters have names of their own", () => {
    const clusters = fc.uniqueArray(fc.stringMatching(/^[a-z]([a-z0-9]{0,3}[a-z])?$/), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(clusters, fc.integer({ min: 1, max: 900 }), (names, workers) => {
        const all = names.flatMap((name) => clusterWorkerNames(name, workers));
        expect(new Set(all).size).toBe(names.length * workers);
      }),
      { numRuns: 50 },
    );
  });

  test("a count that grows keeps the names that were there", () => {
    fc.assert(
      fc.property(letter, fc.nat(900), fc.nat(9), (name, workers, more) => {
        expect(clusterWorkerNames(name, workers + more).slice(0, workers)).toEqual(clusterWorkerNames(name, workers));
      }),
    );
  });
});

describe("ports of clusters", () => {
  test.each<[Record<string, { workers: number; port?: number }>, Record<string, number>]>([
    [{ a: { workers: 3 }, b: { workers: 3 } }, { a: 5432, b: 6432 }],
    [{ a: { workers: 3 }, b: { workers: 3 }, c: { workers: 3 } }, { a: 5432, b: 6432, c: 7432 }],
    [{ c: { workers: 3 }, a: { workers: 3 } }, { a: 5432, c: 7432 }],
    [{ z: { workers: 3 } }, { z: 30432 }],
    [{ a: { workers: 3, port: 15432 }, b: { workers: 3 } }, { a: 15432, b: 6432 }],
    [{ west: { workers: 3 }, east: { workers: 3 } }, { east: 5432, west: 6432 }],
    [{ a: { workers: 3 }, west: { workers: 3 }, east: { workers: 3 }, c: { workers: 3 } }, { a: 5432, c: 7432, east: 6432, west: 8432 }],
    [{ east: { workers: 3 }, x: { workers: 3, port: 5432 } }, { x: 5432, east: 6432 }],
  ])("%j are %j", (clusters, ports) => {
    expect(clusterPorts(clusters)).toEqual(ports);
  });

  test("adding clusters never moves one that is named by a letter", () => {
    fc.assert(
      fc.property(letters, letters, (before, added) => {
        const ports = clusterPorts(clustersNamed(before));
        expect(clusterPorts(clustersNamed([...added, ...before]))).toMatchObject(ports);
      }),
    );
  });

  test("clusters of longer names get ports of their own, among any others", () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/), { minLength: 1, maxLength: 34 });
    fc.assert(
      fc.property(names, (clusters) => {
        const ports = Object.values(clusterPorts(clustersNamed(clusters)));
        expect(new Set(ports).size).toBe(clusters.length);
        expect(Math.max(...ports)).toBeLessThanOrEqual(65535);
      }),
    );
  });
});

describe("ports of workers", () => {
  test.each<[string[], number[]]>([
    [["worker_a1", "worker_a2"], [5433, 5434]],
    [["worker_a1", "worker_a3"], [5433, 5435]],
    [["west", "east"], [5433, 5434]],
    [["west1", "east1"], [5433, 5434]],
    [["west0", "east1"], [5433, 5434]],
    [["west1000", "east1"], [5433, 5434]],
    [["west999", "east1"], [6431, 5433]],
  ])("%j are %j", (workers, ports) => {
    expect(workerPorts(workers, 5432)).toEqual(ports);
  });

  test("coordinators and workers of single-letter clusters with up to 900 workers never share one", () => {
    fc.assert(
      fc.property(letters, fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 26, maxLength: 26 }), (names, counts) => {
        const ports = clusterPorts(clustersNamed(names));
        const all = names.flatMap((name, index) => {
          const coordinator = ports[name] as number;
          return [coordinator, ...workerPorts(clusterWorkerNames(name, counts[index] as number), coordinator)];
        });
        expect(new Set(all).size).toBe(all.length);
        expect(all.every((port) => port >= 5432 && port <= 65535)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test("removing a worker whose name ends in a number moves no other", () => {
    const numbered = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-z_-]{1,8}$/), fc.integer({ min: 1, max: 999 })), { minLength: 2, maxLength: 64, selector: ([, number]) => number });
    fc.assert(
      fc.property(numbered, fc.nat(63), (workers, at) => {
        const names = workers.map(([stem, number]) => `${stem}${number}`);
        const before = workerPorts(names, 6432);
        const removed = at % names.length;
        expect(workerPorts(names.toSpliced(removed, 1), 6432)).toEqual(before.toSpliced(removed, 1));
      }),
    );
  });
});

describe("published ports", () => {
  test("active-active: each cluster's coordinator, then its workers", () => {
    const { settings } = parseSettings({ topology: "active-active", clusters: { a: { workers: 2 }, b: { workers: ["east", "west"] } } });
    expect(publishedPorts(settings)).toEqual([
      { port: 5432, owner: "coord_a", key: "clusters.a.port" },
      { port: 5433, owner: "worker_a1", key: "clusters.a.port" },
      { port: 5434, owner: "worker_a2", key: "clusters.a.port" },
      { port: 6432, owner: "coord_b", key: "clusters.b.port" },
      { port: 6433, owner: "east", key: "clusters.b.port" },
      { port: 6434, owner: "west", key: "clusters.b.port" },
    ]);
  });

  test("active-passive: HAProxy's four", () => {
    const { settings } = parseSettings({ topology: "active-passive", ports: { standbys: 15001 } });
    expect(publishedPorts(settings)).toEqual([
      { port: 5000, owner: "haproxy", key: "ports.leader" },
      { port: 15001, owner: "haproxy", key: "ports.standbys" },
      { port: 5002, owner: "haproxy", key: "ports.nodes" },
      { port: 7000, owner: "haproxy", key: "ports.statistics" },
    ]);
  });
});
