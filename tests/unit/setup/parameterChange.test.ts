import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { configurationFile, describeChange, inverse, parameterChanges, statementOf, type ParameterChange } from "../../../setup/parameterChange";

describe("what has to change", () => {
  test.each<[string, Record<string, string>, Record<string, string>, ParameterChange[]]>([
    ["nothing, where all is as planned", { work_mem: "8MB" }, { work_mem: "8MB" }, []],
    ["a value", { work_mem: "4MB" }, { work_mem: "8MB" }, [{ name: "work_mem", from: "4MB", to: "8MB" }]],
    ["a parameter that is not set", {}, { work_mem: "8MB" }, [{ name: "work_mem", from: undefined, to: "8MB" }]],
    ["a parameter that is set and not planned", { work_mem: "4MB" }, {}, [{ name: "work_mem", from: "4MB", to: undefined }]],
    ["not the blanks of a list", { shared_preload_libraries: "citus, pg_stat_statements" }, { shared_preload_libraries: "citus,pg_stat_statements" }, []],
    ["the blanks of a text", { log_line_prefix: "%m, %p" }, { log_line_prefix: "%m,%p" }, [{ name: "log_line_prefix", from: "%m, %p", to: "%m,%p" }]],
    ["not the certificate that Citus made", { ssl: "on", ssl_ciphers: "HIGH" }, {}, []],
    ["a certificate's setting that is planned", { ssl: "on" }, { ssl: "off" }, [{ name: "ssl", from: "on", to: "off" }]],
  ])("%s", (_, current, desired, changes) => {
    expect(parameterChanges(current, desired)).toEqual(changes);
  });

  test("undone, a change leaves nothing to do", () => {
    const parameters = fc.dictionary(fc.stringMatching(/^[a-r][a-z_]{1,5}$/), fc.string());
    const apply = (from: Record<string, string>, changes: readonly ParameterChange[]): Record<string, string> => {
      const rest = Object.entries(from).filter(([name]) => !changes.some((change) => change.name === name));
      return Object.fromEntries([...rest, ...changes.flatMap(({ name, to }) => (to === undefined ? [] : [[name, to] as const]))]);
    };
    fc.assert(
      fc.property(parameters, parameters, (current, desired) => {
        const changes = parameterChanges(current, desired);
        expect(apply(current, changes)).toEqual(desired);
        expect(apply(desired, changes.map(inverse))).toEqual(current);
      }),
    );
  });
});

test.each<[ParameterChange, string, string]>([
  [{ name: "work_mem", from: undefined, to: "8MB" }, `ALTER SYSTEM SET "work_mem" = '8MB'`, "work_mem = 8MB"],
  [{ name: "citus.shard_count", from: "32", to: undefined }, `ALTER SYSTEM RESET "citus"."shard_count"`, "citus.shard_count reset to its default"],
])("%j is %s", (change, statement, description) => {
  expect(statementOf(change)).toBe(statement);
  expect(describeChange(change)).toBe(description);
});

test("postgresql.auto.conf quotes quotes and backslashes", () => {
  expect(configurationFile({ work_mem: "8MB", log_line_prefix: "it's \\ %m" })).toBe("work_mem = '8MB'\nlog_line_prefix = 'it''s \\\\ %m'\n");
});
