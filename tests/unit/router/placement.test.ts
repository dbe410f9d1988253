import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Placement } from "../../../router/placement";

const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/), { minLength: 1, maxLength: 6 });
const tenant = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String), fc.string({ minLength: 1, maxLength: 40 }));

describe("a placement", () => {
  test.each([[["a", "b"]], [["a", "b", "c"]], [["berlin", "paris", "oslo", "rome"]]])("over %o spreads 100,000 tenants evenly, 3 % off at most", (clusters) => {
    const placement = new Placement(clusters);
    const counts = new Map<string, number>();
    for (let id = 0; id < 100_000; id += 1) {
      const home = placement.place(String(id));
      counts.set(home, (counts.get(home) ?? 0) + 1);
    }
    const fair = 100_000 / clusters.length;
    for (const cluster of clusters) expect(Math.abs((counts.get(cluster) ?? 0) - fair) / fair).toBeLessThanOrEqual(0.03);
  });

  test("does not depend on the order of the names, nor on what was asked before", () => {
    fc.assert(
      fc.property(names, tenant, (clusters, id) => {
        const home = new Placement(clusters).place(id);
        const other = new Placement([...clusters].reverse());
        other.place("another");
        expect([other.place(id), clusters.includes(home)]).toEqual([home, true]);
      }),
    );
  });

  test("gives a new cluster only what that wins", () => {
    fc.assert(
      fc.property(names, tenant, (clusters, id) => {
        const [added, ...before] = clusters;
        if (before.length === 0) return;
        const [old, now] = [new Placement(before).place(id), new Placement(clusters).place(id)];
        expect([old, added]).toContain(now);
      }),
    );
  });

  test.each([[{ a: 1, b: 3 }], [{ a: 1, b: 2, c: 4 }], [{ berlin: 16, paris: 8, oslo: 8 }]])("by the weights %o spreads 100,000 tenants in their proportion, 3 % off at most", (weights: Record<string, number>) => {
    const placement = new Placement(weights);
    const counts = new Map<string, number>();
    for (let id = 0; id < 100_000; id += 1) {
      const home = placement.place(String(id));
      counts.set(home, (counts.get(home) ?? 0) + 1);
    }
    const sum = Object.values(weights).reduce((all, weight) => all + weight, 0);
    for (const [cluster, weight] of Object.entries(weights)) expect(Math.abs((counts.get(cluster) ?? 0) / ((100_000 * weight) / sum) - 1)).toBeLessThanOrEqual(0.03);
  });

  test("with weights of 1 is the one without weights, and gives a cluster of more weight only what that wins", () => {
    fc.assert(
      fc.property(names, tenant, fc.integer({ min: 2, max: 16 }), (clusters, id, weight) => {
        const [heavy = ""] = clusters;
        const weights = Object.fromEntries(clusters.map((cluster) => [cluster, 1]));
        const [plain, even, now] = [clusters, weights, { ...weights, [heavy]: weight }].map((spread) => new Placement(spread).place(id));
        expect(even).toBe(plain);
        expect([plain, heavy]).toContain(now);
      }),
    );
  });

  test("takes a ring as the databases have it", () => {
    const placement = new Placement(["b#1", "a", "b", "b#2"]);
    expect([placement.clusters, placement.tickets]).toEqual([["a", "b"], ["a", "b", "b#1", "b#2"]]);
    for (let id = 0; id < 1000; id += 1) expect(placement.place(String(id))).toBe(new Placement({ b: 3, a: 1 }).place(String(id)));
  });

  test("is PostgreSQL's, with weights", () => {
    // SELECT string_agg(tenancy.winner(n::text, '{a,b,b#1,b#2,c,c#1}'), '') FROM generate_series(1, 40) n
    expect(Array.from({ length: 40 }, (_, index) => new Placement({ a: 1, b: 3, c: 2 }).place(String(index + 1))).join("")).toBe("cbcbbcabbacbabcbbcbcbbbcbbaabbbabcbcbaab");
  });

  test("refuses weights and names that cannot be", () => {
    for (const weights of [{ a: 0 }, { a: 1.5 }, { a: 17 }, { "a#1": 1 }, {}]) expect(() => new Placement(weights as Record<string, number>)).toThrow(RangeError);
  });

  test("is PostgreSQL's", () => {
    // SELECT string_agg(tenancy.winner(n::text, '{a,b,c}'), '') FROM generate_series(1, 40) n
    const placement = new Placement(["c", "a", "b"]);
    expect(Array.from({ length: 40 }, (_, index) => placement.place(String(index + 1))).join("")).toBe("cbcbbbabaacaabbaccbbbcbcabaacbbaacbcbaaa");
  });

  test("needs a cluster", () => {
    expect(() => new Placement([])).toThrow(RangeError);
  });
});
