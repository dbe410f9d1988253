import { describe, expect, test } from "vitest";
import { ConfigurationError } from "../../../router/index";
import { idOf, idTypeOf, type IdType, type TenantId } from "../../../router/tenantId";

const UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

describe("an id is brought to the form that the column gives it", () => {
  test.each<[IdType | undefined, TenantId, string]>([
    ["bigint", 42, "42"],
    ["bigint", 42n, "42"],
    ["bigint", "042", "42"],
    ["bigint", "+42", "42"],
    ["bigint", "-0", "0"],
    ["bigint", -0, "0"],
    ["bigint", "-007", "-7"],
    ["bigint", "9223372036854775807", "9223372036854775807"],
    ["bigint", "-9223372036854775808", "-9223372036854775808"],
    ["integer", "0002147483647", "2147483647"],
    ["smallint", "-32768", "-32768"],
    ["uuid", UUID, UUID],
    ["uuid", UUID.toUpperCase(), UUID],
    ["uuid", `{${UUID}}`, UUID],
    ["uuid", UUID.replaceAll("-", ""), UUID],
    ["uuid", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", UUID],
    ["text", "042", "042"],
    ["text", "Grüße 😀", "Grüße 😀"],
    ["character", "ab  ", "ab"],
    [undefined, "042", "042"],
  ])("%s %s", (type, given, id) => {
    expect(idOf(given, type)).toBe(id);
  });
});

describe("an id that the column cannot have is refused", () => {
  test.each<[IdType | undefined, unknown, RegExp]>([
    ["bigint", "0x1", /^"0x1" cannot be a tenant: the distribution column is of type bigint, so it must be a whole number in its range/],
    ["bigint", "1_0", /whole number/],
    ["bigint", " 1", /whole number/],
    ["bigint", "1.0", /whole number/],
    ["bigint", "9223372036854775808", /whole number/],
    ["integer", 2147483648, /integer/],
    ["smallint", "32768", /smallint/],
    ["uuid", "42", /must be a UUID/],
    ["uuid", 42, /must be a UUID/],
    ["uuid", `${UUID}-`, /must be a UUID/],
    ["uuid", `{${UUID}`, /must be a UUID/],
    ["text", "a\0b", /without NUL/],
    ["text", "a\ud800", /unpaired surrogates/],
    ["character", "  ", /not empty/],
    [undefined, "", /is empty/],
    [undefined, 1.5, /safe integer/],
    [undefined, null, /and is null/],
  ])("%s %j", (type, given, message) => {
    expect(() => idOf(given as TenantId, type)).toThrow(ConfigurationError);
    expect(() => idOf(given as TenantId, type)).toThrow(message);
  });
});

test("columns of which one value has several forms are refused", () => {
  expect(idTypeOf("a", { table: "rooms", type: "character varying", kind: "b" })).toBe("text");
  expect(idTypeOf("a", { table: "rooms", type: "region", kind: "e" })).toBe("text");
  expect(() => idTypeOf("a", { table: "rooms", type: "numeric", kind: "b" })).toThrow(/^clusters\.a: rooms is distributed by a column of type numeric/);
});
