import { expect, test } from "vitest";
import { anyOf } from "../../../tenants/anyOf";

test.each<[string[], string]>([
  [["7"], "room_id = '7'"],
  [["it's"], "room_id = 'it''s'"],
  [["7", "8"], `room_id = ANY ('{"7","8"}')`],
  [["it's", 'a"b', "c,d", "NULL", ""], `room_id = ANY (E'{"it''s","a\\\\"b","c,d","NULL",""}')`],
  [["a\\b", "{}"], `room_id = ANY (E'{"a\\\\\\\\b","{}"}')`],
  [[], "room_id = ANY ('{}')"],
])("one of %j", (values, condition) => {
  expect(anyOf("room_id", values).replace("( E", "(E")).toBe(condition);
});
