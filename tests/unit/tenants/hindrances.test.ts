import { expect, test } from "vitest";
import { sentence, type Hindrance } from "../../../tenants/hindrances";

const found = (kind: Hindrance["kind"], about: string | null = null): Hindrance => ({ kind, name: "public.messages", about });

test.each<[Hindrance, string]>([
  [found("unfenced", "public.rooms"), "The table public.messages is spread as public.rooms is and has no fence: rows of its tenants would stay behind. Put it into schema.tables and run npm run up"],
  [found("partition", "public.events"), "The partition public.messages is not wholly fenced yet: who truncates it by its name is not refused. Run npm run up"],
  [found("old"), "The table public.messages has the fence of an older version. Run npm run up"],
  [found("key", "room_id"), "The table public.messages has no primary key, so that a change of a row cannot be followed while its tenant moves. Give it one, with room_id in it"],
  [found("identity"), "The table public.messages has a replica identity other than its primary key. Run ALTER TABLE public.messages REPLICA IDENTITY DEFAULT"],
  [found("unlogged"), "The table public.messages is unlogged, so that its changes cannot be followed. Run ALTER TABLE public.messages SET LOGGED"],
  [found("foreign key", "kinds"), "The table public.messages has a foreign key to kinds, which has no rows of tenants: whether the other cluster has the row that it needs is not seen while a tenant moves. Drop the key"],
  [found("trigger", "outbox"), "The trigger outbox of public.messages would fire again for rows that arrive at a new home. Run ALTER TABLE public.messages ENABLE TRIGGER outbox, with which it rests for them"],
  [found("type", "numeric"), "The table public.messages is spread by a column of type numeric, which writes one value in several ways, each of which would be a tenant of its own. Use bigint, uuid or text"],
])("$kind says what is in the way, and the way out", (hindrance, said) => {
  expect(sentence(hindrance)).toBe(said);
});
