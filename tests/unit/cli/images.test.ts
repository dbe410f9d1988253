import { expect, test } from "vitest";
import { builtImages, stackImages } from "../../../cli/images";
import { parseSettings } from "../../../config/parse";

const patroni = { name: "patroni", base: "citusdata/citus:13.2.0" };
const guard = { name: "guard", base: "node:20-trixie-slim" };
const keeper = { name: "keeper", base: "node:20-trixie-slim" };
const pgbouncer = { name: "pgbouncer", base: "debian:trixie-slim" };

test.each([
  ["active-active", { topology: "active-active" }, [guard, keeper]],
  ["active-active without the guard", { topology: "active-active", guard: false }, [keeper]],
  ["active-active without guard and keeper", { topology: "active-active", guard: false, keeper: false }, []],
  ["active-passive", { topology: "active-passive" }, [guard, keeper, patroni]],
  ["worker groups", { topology: "active-passive", workers: { members: 3 } }, [keeper, patroni]],
  ["a pooler", { topology: "active-passive", pooler: true }, [guard, keeper, patroni, pgbouncer]],
  ["another base", { topology: "active-passive", images: { citus: "citusdata/citus:13.1.0" } }, [guard, keeper, { ...patroni, base: "citusdata/citus:13.1.0" }]],
  ["images that the user names", { topology: "active-passive", pooler: true, images: { patroni: "ours:1", pgbouncer: "ours:2" } }, [guard, keeper]],
  ["an image of a pooler that there is not", { topology: "active-passive", images: { pgbouncer: "ours:2" } }, [guard, keeper, patroni]],
])("what is built: %s", (_, input, built) => {
  expect(builtImages(parseSettings(input).settings)).toEqual(built);
});

test.each([
  ["active-active", { topology: "active-active" }, ["citus", "holder", "haproxy", "node"]],
  ["active-active without the guard", { topology: "active-active", guard: false }, ["citus", "holder", "node"]],
  ["active-active without guard and keeper", { topology: "active-active", guard: false, keeper: false }, ["citus", "holder"]],
  ["worker groups without the keeper", { topology: "active-passive", workers: { members: 3 }, keeper: false }, ["citus", "holder", "etcd", "haproxy"]],
])("what is pulled: %s", (_, input, pulled) => {
  expect(stackImages(parseSettings(input).settings).map(({ key }) => key).sort()).toEqual(pulled.map((name) => `images.${name}`).sort());
});

test("an image that the user names is pulled", () => {
  const { settings } = parseSettings({ topology: "active-passive", pooler: true, images: { pgbouncer: "ours:2" } });
  expect(stackImages(settings)).toContainEqual({ image: "ours:2", key: "images.pgbouncer" });
});
