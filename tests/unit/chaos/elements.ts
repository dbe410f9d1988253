import { expect } from "vitest";

/** The names of a document's elements in order; fails if it is not well-formed. */
export function elements(xml: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  const rest = xml.replace(/<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/gi, (_, closing: string, name: string, __: string, empty: string) => {
    if (closing === "/") expect(open.pop()).toBe(name);
    else {
      names.push(name);
      if (empty === "") open.push(name);
    }
    return "";
  });
  expect(open).toEqual([]);
  expect(rest).not.toMatch(/[<>]|&(?!(amp|lt|gt|quot);)/);
  return names;
}
