import { expect, test } from "vitest";
import { doorFiles } from "../../../topology/door";

const [configuration, task, ...more] = doorFiles({ name: "worker_a1" }, { coordinator: "coord_a" }, "-- guard");

test("a door leads to its worker at the address on the network, and begins shut", () => {
  expect(configuration?.content).toContain("bind *:5433\n    default_backend nodes\n");
  expect(configuration?.content).toMatch(/backend nodes\n {4}server worker_a1 worker_a1:5432 .* disabled\n/);
  expect(configuration?.content).not.toContain("127.0.0.1:5432");
});

test("a door asks the guard beside the coordinator", () => {
  expect(configuration?.content).toMatch(/backend leader\n(.*\n)+ {4}server coord_a coord_a:5432 check port 8010 /);
});

test("a door that clients reach is not root's", () => {
  expect(configuration?.content).toMatch(/^global\n {4}uid 99\n {4}gid 99\n/);
});

test("a door's task decides for its worker alone, in the worker's own network", () => {
  expect(task).toEqual({ path: "/usr/local/etc/haproxy/instep.lua", content: 'WORKERS = { ["worker_a1"] = true }\nALONE = true\n-- guard' });
  expect(configuration?.content).toContain("lua-load instep.lua\n");
  expect(configuration?.content).not.toContain("cut.lua");
  expect(more).toEqual([]);
});
