import fc from "fast-check";
import { expect, test } from "vitest";
import { Watermark } from "../../../chaos/watermark";

test("a watermark tells the highest value until any moment, whatever the order in which values come", () => {
  const pairs = fc.array(fc.tuple(fc.nat(300), fc.nat(200)), { maxLength: 150 });
  fc.assert(
    fc.property(pairs, fc.nat(300), fc.nat(200), (all, time, value) => {
      const watermark = new Watermark();
      for (const [at, height] of all) watermark.add(at, height);
      const earlier = all.filter(([at]) => at < time).map(([, height]) => height);
      expect(watermark.before(time)).toBe(earlier.length === 0 ? undefined : Math.max(...earlier));
      const above = all.filter(([, height]) => height > value).map(([at]) => at);
      expect(watermark.exceeded(value)).toBe(above.length === 0 ? undefined : Math.min(...above));
      expect(watermark.highest).toBe(all.length === 0 ? undefined : Math.max(...all.map(([, height]) => height)));
    }),
  );
});
