import { describe, expect, test } from "vitest";
import { lsnOf, lsnText, parseChange, type Change } from "../../../tenants/pgoutput";

/** A message from numbers (one byte each), texts that end in a zero, and buffers. */
function message(...parts: readonly (number | string | Buffer)[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.from([part]) : typeof part === "string" ? Buffer.from(`${part}\0`) : part)));
}

const kind = (letter: string): number => letter.charCodeAt(0);
const int16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const int32 = (value: number): Buffer => Buffer.from([0, 0, value >> 8, value & 255]);
const int64 = (value: bigint): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(value);
  return buffer;
};
const value = (text: string): Buffer => Buffer.concat([Buffer.from("t"), int32(Buffer.byteLength(text)), Buffer.from(text)]);
const NULL = Buffer.from("n");
const UNCHANGED = Buffer.from("u");
const tuple = (...values: readonly Buffer[]): Buffer => Buffer.concat([int16(values.length), ...values]);

describe("a message of logical replication", () => {
  test.each<[string, Buffer, Change]>([
    ["begin", message(kind("B"), int64(0x16b3748n), int64(1n), int32(7)), { kind: "begin", commitLsn: 0x16b3748n }],
    ["commit", message(kind("C"), 0, int64(1n), int64(2n), int64(3n)), { kind: "commit" }],
    [
      "relation",
      message(kind("R"), int32(9), "public", "messages_102008", kind("d"), int16(2), 1, "room_id", int32(20), int32(0), 0, "body", int32(25), int32(0)),
      { kind: "relation", id: 9, relation: { schema: "public", name: "messages_102008", columns: [{ name: "room_id", key: true }, { name: "body", key: false }] } },
    ],
    ["insert", message(kind("I"), int32(9), kind("N"), tuple(value("7"), NULL, value("grüß"))), { kind: "insert", relation: 9, row: ["7", null, "grüß"] }],
    ["update that leaves a large value", message(kind("U"), int32(9), kind("N"), tuple(value("7"), UNCHANGED)), { kind: "update", relation: 9, row: ["7", undefined] }],
    ["update of the key", message(kind("U"), int32(9), kind("K"), tuple(value("7"), NULL), kind("N"), tuple(value("8"), value("x"))), { kind: "update", relation: 9, old: ["7", null], row: ["8", "x"] }],
    ["delete", message(kind("D"), int32(9), kind("K"), tuple(value("7"), NULL)), { kind: "delete", relation: 9, old: ["7", null] }],
    ["truncate", message(kind("T"), int32(1), 0, int32(9)), { kind: "truncate" }],
    ["message", message(kind("M"), 0, int64(5n), "tenancy", int32(3), Buffer.from("abc")), { kind: "message", prefix: "tenancy", content: "abc" }],
    ["type", message(kind("Y"), int32(1), "public", "mood"), { kind: "other" }],
  ])("%s", (_, buffer, change) => {
    expect(parseChange(buffer)).toEqual(change);
  });

  test("that ends too soon is refused", () => {
    expect(() => parseChange(message(kind("I"), int32(9), kind("N"), int16(1), kind("t"), int32(5), Buffer.from("ab")))).toThrow(RangeError);
    expect(() => parseChange(message(kind("R"), int32(9), Buffer.from("public")))).toThrow(RangeError);
  });
});

test.each([
  ["0/16B3748", 0x16b3748n],
  ["1A/0", 0x1a00000000n],
])("the position %s is read and written", (text, lsn) => {
  expect([lsnOf(text), lsnText(lsn)]).toEqual([lsn, text]);
});
