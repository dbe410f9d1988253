import { expect, test } from "vitest";
import { lossSentence, type Losses } from "../../../cli/losses";

const table = (name: string, estimatedRows: number, bytes: number) => ({ name, filled: true, estimatedRows, bytes });
const none = { volumes: [], bytes: 0 };

test.each<[string, Losses, string | undefined]>([
  ["nothing", { clusters: [], databases: none }, undefined],
  ["no table with rows", { clusters: [{ cluster: "a", tables: [] }], databases: none }, undefined],
  ["a cluster that tells", { clusters: [{ cluster: "citusap", tables: [table("public.messages", 1, 4096), table("public.rooms", 200, 4096)] }], databases: none }, "public.messages (about 1 row) and public.rooms (about 200 rows), 8 kB in all"],
  [
    "a database of the user's beside tables",
    { clusters: [{ cluster: "citusap", tables: [table("public.notes", 3, 4096), { name: "database ledger", filled: true, bytes: 4096 }] }], databases: none },
    "public.notes (about 3 rows) and database ledger, 8 kB in all",
  ],
  [
    "one that tells and one that does not",
    { clusters: [{ cluster: "a", tables: [table("public.rooms", 2, 1024)] }, { cluster: "b", tables: undefined }], databases: { volumes: ["coord_b-data"], bytes: 3 * 1024 ** 2 } },
    "in a public.rooms (about 2 rows), 1 kB in all; 3.0 MB in coord_b-data, which no coordinator tells about",
  ],
  ["one that does not tell, and has no database yet", { clusters: [{ cluster: "a", tables: undefined }], databases: none }, undefined],
])("what goes: %s", (_, losses, sentence) => {
  expect(lossSentence(losses)).toBe(sentence);
});
