import { describe, expect, test } from "vitest";
import { commonNodes, placementsOf, refuseUnlike, type TenantShard, type TenantTable } from "../../../tenants/tenantTables";

const table = (name: string, more: Partial<TenantTable> = {}): TenantTable => ({ name, column: "room_id", type: "pg_catalog.int8", columns: ["room_id", "body"], shape: "room_id bigint, body text", key: ["room_id"], sequences: [], ...more });
const shard = (name: string, ...nodes: readonly string[]): TenantShard => ({ table: table(name), relation: `public.${name}_1`, shardId: "1", placements: nodes.map((node, index) => ({ id: String(index + 1), node })) });

describe("tables of two clusters", () => {
  test("that are alike can be moved between", () => {
    expect(() => refuseUnlike("a", [table("rooms"), table("messages")], "b", [table("messages"), table("rooms")])).not.toThrow();
  });

  test.each<[string, readonly TenantTable[], readonly TenantTable[], string]>([
    ["has no primary key", [table("rooms", { key: [] })], [table("rooms")], "The table rooms has no primary key"],
    ["is missing at the target", [table("rooms")], [], "Cluster b has no table rooms for tenants"],
    ["is only at the target", [table("rooms")], [table("rooms"), table("votes")], "Cluster a has no table votes for tenants, and b has it"],
    ["has other columns", [table("rooms")], [table("rooms", { shape: "room_id bigint" })], "The table rooms is not the same on a (room_id bigint, body text) and on b (room_id bigint)"],
  ])("of which one %s are refused", (_, here, there, message) => {
    expect(() => refuseUnlike("a", here, "b", there)).toThrow(message);
  });
});

describe("the shards of a tenant", () => {
  test("are copied from a worker that has all of them", () => {
    expect(commonNodes("a", [shard("rooms", "w1:5432", "w2:5432"), shard("messages", "w2:5432", "w3:5432")])).toEqual(["w2:5432"]);
  });

  test.each([[[shard("rooms", "w1:5432"), shard("messages", "w2:5432")]], [[shard("rooms")]]])("are not copied where no worker has all", (shards) => {
    expect(() => commonNodes("a", shards)).toThrow("No worker of cluster a has the tenant's shards of all tables");
  });

  test("have another description when a copy is another one", () => {
    const before = [shard("rooms", "w1:5432", "w2:5432")];
    expect(placementsOf(before)).toBe("1: 1@w1:5432 2@w2:5432");
    expect(placementsOf([{ ...before[0], placements: [{ id: "1", node: "w1:5432" }, { id: "9", node: "w2:5432" }] } as TenantShard])).not.toBe(placementsOf(before));
  });
});
