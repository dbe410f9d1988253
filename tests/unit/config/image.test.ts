import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { imageProblem, parseImage, postgresMajorOf, type ImageReference } from "../../../config/image";

const DIGEST = `sha256:${"a1".repeat(32)}`;

test.each<[string, ImageReference]>([
  ["postgres", { repository: "postgres" }],
  ["postgres:17", { repository: "postgres", tag: "17" }],
  ["registry:5000/postgres", { repository: "registry:5000/postgres" }],
  ["registry:5000/postgres:17", { repository: "registry:5000/postgres", tag: "17" }],
  [`postgres@${DIGEST}`, { repository: "postgres", digest: DIGEST }],
  [`registry:5000/a/b:17@${DIGEST}`, { repository: "registry:5000/a/b", tag: "17", digest: DIGEST }],
])("%s is taken apart", (image, reference) => {
  expect(parseImage(image)).toEqual(reference);
});

describe("an image reference that is put together", () => {
  const part = fc.stringMatching(/^[a-z0-9]{1,6}([._-][a-z0-9]{1,4})?$/);
  const host = fc.option(fc.tuple(fc.stringMatching(/^[A-Za-z][a-z.]{0,8}[a-z]$/), fc.option(fc.integer({ min: 1, max: 65535 }))));
  const tag = fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}$/));
  const digest = fc.option(fc.constant(DIGEST));

  test("comes apart again, and is a problem if it names no fixed image", () => {
    fc.assert(
      fc.property(host, fc.array(part, { minLength: 1, maxLength: 3 }), tag, digest, (registry, path, version, hash) => {
        const [name, port] = registry ?? [];
        const repository = [...(name === undefined ? [] : [port === null || port === undefined ? name : `${name}:${port}`]), ...path].join("/");
        const image = `${repository}${version === null ? "" : `:${version}`}${hash === null ? "" : `@${hash}`}`;
        expect(parseImage(image)).toEqual({ repository, ...(version !== null && { tag: version }), ...(hash !== null && { digest: hash }) });
        expect(imageProblem(image) === undefined).toBe(hash !== null || (version !== null && version !== "latest"));
      }),
    );
  });
});

test.each<[string, number | undefined]>([
  ["citusdata/citus:14.1.0", 18],
  ["citusdata/citus:13.2.0", 17],
  ["citusdata/citus:13.2.0-alpine", 17],
  ["citusdata/citus:13", 17],
  ["citusdata/citus:12.1.6", 16],
  ["citusdata/citus:12.0.0", 15],
  ["citusdata/citus:11.3.0", 15],
  ["citusdata/citus:11.2.0", 15],
  ["citusdata/citus:11.1.1", undefined],
  ["citusdata/citus:12", undefined],
  ["citusdata/citus:v13.2.0", 17],
  ["citusdata/citus:13.2.0-pg16", 16],
  ["registry.test:5000/mirror/citus:13.2.0", 17],
  ["postgres:17-trixie", 17],
  ["postgres:18.1", 18],
  ["postgres", undefined],
  [`postgres@${DIGEST}`, undefined],
  [`postgres:17@${DIGEST}`, 17],
  ["registry.test/ours:17", undefined],
  ["citusdata/citus:nightly", undefined],
])("the PostgreSQL major of %s is %s", (image, major) => {
  expect(postgresMajorOf(image)).toBe(major);
});
