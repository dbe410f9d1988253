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

  test("is PostgreSQL's", () => {
    // SELECT string_agg(tenancy.winner(n::text, '{a,b,c}'), '') FROM generate_series(1, 40) n
    const placement = new Placement(["c", "a", "b"]);
    expect(Array.from({ length: 40 }, (_, index) => placement.place(String(index + 1))).join("")).toBe("cbcbbbabaacaabbaccbbbcbcabaacbbaacbcbaaa");
  });

  test("needs a cluster", () => {
    expect(() => new Placement([])).toThrow(RangeError);
  });
});
