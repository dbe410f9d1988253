import fc from "fast-check";
import { expect, test } from "vitest";
import { Bulkhead, type Admit, type Share } from "../../../router/bulkhead";

const TENANTS = ["1", "2", "3"];

/** Somebody who asks for a connection. */
interface Asking {
  readonly tenant: string;
  share: Share | undefined;
  admitted: boolean;
  gone: boolean;
}

/** A bulkhead, with who has asked it in the order of asking, and the order in which they were admitted. */
function asked(capacity: number): { bulkhead: Bulkhead; ask: (tenant: string, max: number) => Asking; give: (one: Asking) => void; admitted: Asking[] } {
  const bulkhead = new Bulkhead(() => capacity);
  const admitted: Asking[] = [];
  const admits = new Map<Asking, Admit>();
  return {
    bulkhead,
    admitted,
    ask: (tenant, max) => {
      const one: Asking = { tenant, share: undefined, admitted: false, gone: false };
      const admit = (): void => {
        one.admitted = true;
        admitted.push(one);
      };
      admits.set(one, admit);
      one.share = bulkhead.enter(tenant, max, admit);
      return one;
    },
    give: (one) => {
      one.gone = true;
      if (one.admitted) bulkhead.leave(one.share as Share);
      else bulkhead.cancel(one.share as Share, admits.get(one) as Admit);
    },
  };
}

test("gives connections to tenants in turn, and within a tenant to whoever came first", () => {
  const { ask, give, admitted } = asked(2);
  const all = ["1", "1", "1", "1", "2", "2", "3"].map((tenant) => ask(tenant, 2));
  expect(admitted).toEqual(all.slice(0, 2));
  for (let next = 0; next < all.length; next += 1) give(admitted[next] as Asking);
  expect(admitted.map((one) => all.indexOf(one))).toEqual([0, 1, 4, 6, 2, 5, 3]);
});

test("lets nobody wait without a reason, and gives no more than there is, whatever comes", () => {
  const steps = fc.array(fc.oneof(fc.record({ ask: fc.constantFrom(...TENANTS), max: fc.integer({ min: 1, max: 3 }) }), fc.record({ give: fc.nat() })), { maxLength: 60 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), steps, (capacity, course) => {
      const { bulkhead, ask, give } = asked(capacity);
      const limits = new Map<string, number>();
      const there: Asking[] = [];
      const have = (tenant?: string): Asking[] => there.filter((one) => one.admitted && !one.gone && (tenant === undefined || one.tenant === tenant));
      const waiting = (): Asking[] => there.filter((one) => !one.admitted && !one.gone);
      for (const step of course) {
        if ("ask" in step) {
          const before = have(step.ask).length;
          limits.set(step.ask, step.max);
          there.push(ask(step.ask, step.max));
          expect(have(step.ask).length).toBeLessThanOrEqual(Math.max(before, step.max));
        } else {
          const now = there.filter((one) => !one.gone);
          if (now.length > 0) give(now[step.give % now.length] as Asking);
        }
        expect(have().length).toBeLessThanOrEqual(capacity);
        expect(bulkhead.waiting).toBe(waiting().length);
        if (have().length < capacity) for (const one of waiting()) expect(have(one.tenant).length).toBeGreaterThanOrEqual(limits.get(one.tenant) as number);
        for (const tenant of TENANTS) {
          const first = there.findIndex((one) => one.tenant === tenant && !one.admitted && !one.gone);
          if (first >= 0) expect(there.slice(first).some((one) => one.tenant === tenant && one.admitted)).toBe(false);
        }
      }
      for (const one of there.filter((asking) => !asking.gone)) give(one);
      expect([bulkhead.waiting, (bulkhead as unknown as { shares: Map<string, Share> }).shares.size]).toEqual([0, 0]);
    }),
  );
});
