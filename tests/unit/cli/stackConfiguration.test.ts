import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { benchConfiguration, hasSecrets, readConfiguration, saltOf, withOption, withSalt } from "../../../cli/stackConfiguration";

const FILE = `config:
  citus-sharding:topology: active-active
  citus-sharding:clusters:
    a: { workers: 3 }
  citus-sharding:replicationFactor: 2
  bare: hello
  docker:host: unix:///x
  citus-sharding:superuserPassword:
    secure: v1:abc
`;

describe("a stack's configuration file", () => {
  test("every value becomes the text that Pulumi hands to a program", () => {
    expect(readConfiguration(FILE, "citus-sharding")).toEqual({
      "citus-sharding:topology": "active-active",
      "citus-sharding:clusters": '{"a":{"workers":3}}',
      "citus-sharding:replicationFactor": "2",
      "citus-sharding:bare": "hello",
      "docker:host": "unix:///x",
      "citus-sharding:superuserPassword": "[secret]",
    });
  });

  test.each(["", "config:\n", "encryptionsalt: v1:x\n"])("a file without values (%j) is an empty configuration", (text) => {
    expect(readConfiguration(text, "citus-sharding")).toEqual({});
  });
});

// Each checked against `pulumi config set-all --path` of Pulumi 3.250.
describe("an option -c", () => {
  const before = { "p:clusters": '{"a":{"workers":3}}', "p:list": '["x","y"]', "p:workers": "3" };

  test.each<[string, boolean, string, unknown]>([
    ["workers=4", false, "p:workers", "4"],
    ["other:workers=4", false, "other:workers", "4"],
    ["a.b=4", false, "p:a.b", "4"],
    ["name=x=y", false, "p:name", "x=y"],
    ["workers=4", true, "p:workers", "4"],
    ["clusters.b.workers=4", true, "p:clusters", { a: { workers: 3 }, b: { workers: 4 } }],
    ["clusters.a.port=5555", true, "p:clusters", { a: { workers: 3, port: 5555 } }],
    ["list[1]=z", true, "p:list", ["x", "z"]],
    ["list[2]=true", true, "p:list", ["x", "y", true]],
    ['parameters["citus.node"]=007', true, "p:parameters", { "citus.node": "007" }],
    ["parameters.x=-3", true, "p:parameters", { x: -3 }],
    ["parameters.x=1.5", true, "p:parameters", { x: "1.5" }],
    ["limits.worker.memory=512 MB", true, "p:limits", { worker: { memory: "512 MB" } }],
  ])("%s, by path: %s", (option, byPath, key, value) => {
    const after = withOption(before, option, "p", byPath)[key] ?? "";
    expect(typeof value === "string" ? after : JSON.parse(after)).toEqual(value);
  });

  test("leaves the other keys alone", () => {
    expect(withOption(before, "clusters.b.workers=4", "p", true)).toMatchObject({ "p:list": '["x","y"]', "p:workers": "3" });
    expect(before["p:clusters"]).toBe('{"a":{"workers":3}}');
  });

  test.each(["workers", "=4"])("%s is refused with its form", (option) => {
    expect(() => withOption(before, option, "p", false)).toThrow(`-c ${option}: write it as key=value`);
  });
});

describe("the salt of a stack's secrets", () => {
  const salted = `${FILE}encryptionsalt: v1:Vx2=:v1:r2PG/W:EC==\n`;

  test("is found, taken out and put back", () => {
    expect(saltOf(salted)).toBe("v1:Vx2=:v1:r2PG/W:EC==");
    expect(saltOf(FILE)).toBeUndefined();
    expect(withSalt(salted, undefined)).toBe(FILE);
    expect(withSalt(FILE, "v1:Vx2=:v1:r2PG/W:EC==")).toBe(salted);
    expect(withSalt(FILE.trimEnd(), "v1:x")).toBe(`${FILE}encryptionsalt: v1:x\n`);
  });

  test("matters where something is encrypted with it", () => {
    expect(hasSecrets(FILE)).toBe(true);
    expect(hasSecrets("config:\n  p:x: 1\n")).toBe(false);
  });
});

test("a benchmark's configuration has no secret, no salt, and drops its data", () => {
  const text = benchConfiguration(`${FILE}  citus-sharding:dataOnDestroy: keep\nencryptionsalt: v1:x\n`);
  expect(parse(text)).toEqual({
    config: { "citus-sharding:topology": "active-active", "citus-sharding:clusters": { a: { workers: 3 } }, "citus-sharding:replicationFactor": 2, bare: "hello", "docker:host": "unix:///x" },
  });
});
