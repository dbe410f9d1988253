import { expect, test } from "vitest";
import { refusalOf } from "../../../router/refusal";

const detail = '{"tenant" : "42", "home" : "b", "epoch" : 3}';
const said = { tenant: "42", home: "b", epoch: 3 };

test.each([
  ["TN001", "tenant 42 lives in cluster b, not in a", detail, { kind: "elsewhere", ...said }],
  ["TN002", "tenant 42 is being moved", detail, { kind: "closed", ...said }],
  ["TN002", "this cluster does not know yet which tenants are its own", undefined, { kind: "unready" }],
  ["TN003", "this transaction is of tenant 42, and the statement writes tenant 43", undefined, { kind: "other" }],
  ["XX000", "tenant 42 lives in cluster b, not in a", detail, { kind: "elsewhere", ...said }],
  ["XX000", "tenant 42 is being moved", detail, { kind: "closed", ...said }],
  ["XX000", "something else", undefined, undefined],
  ["XX000", "something else", "{not JSON", undefined],
  ["XX000", "something else", '{"tenant": 42}', undefined],
  ["23505", "duplicate key", detail, undefined],
])("%s %s", (code, message, given, refusal) => {
  expect(refusalOf(Object.assign(new Error(message), { code, detail: given }))).toEqual(refusal);
});

test.each([undefined, null, "TN001", new Error("no code")])("%s is no refusal", (error) => {
  expect(refusalOf(error)).toBeUndefined();
});
