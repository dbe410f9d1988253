import fc from "fast-check";
import { expect, test } from "vitest";
import { isSize, toMebibytes, type Size } from "../../../config/size";

test.each<[Size, number]>([
  ["1 MB", 1],
  ["512 MB", 512],
  ["512MB", 512],
  ["1 GB", 1024],
  ["2GB", 2048],
])("%s is %d MiB", (size, mebibytes) => {
  expect(isSize(size)).toBe(true);
  expect(toMebibytes(size)).toBe(mebibytes);
});

test.each(["", "512", "0 MB", "512 mb", "512m", "512 MiB", "1.5 GB", "-1 MB", "1 TB", "512  MB", " 512 MB", "512 MB\n", "1e3 MB", "9999999999 GB"])("%j is not a size", (text) => {
  expect(isSize(text)).toBe(false);
});

test("what is not a size is told", () => {
  expect(() => toMebibytes("512 KB" as Size)).toThrow('512 KB is not a size: write it as "512 MB" or "2 GB"');
});

test("gigabytes are 1024 megabytes", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 999_999_999 }), (amount) => {
      expect(toMebibytes(`${amount} GB`)).toBe(1024 * toMebibytes(`${amount} MB`));
    }),
  );
});
