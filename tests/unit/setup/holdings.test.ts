import { expect, test } from "vitest";
import { holdingsIn } from "../../../setup/holdings";
import { isPassword, passwordHash } from "../../../setup/passwordHash";
import { passwordsIn } from "../../../setup/passwordsInUse";
import { supersededIn } from "../../../setup/superseded";
import { tablesIn } from "../../../setup/userTables";

test("what volumes hold is read from where PostgreSQL, Patroni and PostgreSQL 18 keep it", () => {
  const printed = [
    '/volumes/worker1-data|17|/usr/lib/postgresql/17/bin/postgres',
    '/volumes/coord-1-data/pgdata|17|/usr/lib/postgresql/17/bin/postgres "-D" "/x" "--port=5432" "--cluster_name=citusap" "--wal_level=logical"',
    "/volumes/t-worker_a1-data/18/docker|18|",
    "a warning",
  ].join("\n");
  expect(holdingsIn(printed)).toEqual([
    { volume: "worker1-data", postgresMajor: 17 },
    { volume: "coord-1-data", postgresMajor: 17, scope: "citusap" },
    { volume: "t-worker_a1-data", postgresMajor: 18 },
  ]);
  expect(holdingsIn("")).toEqual([]);
});

test("a password is known again by its hash, which is another one every time and does not hold it", () => {
  const hash = passwordHash("s p:ü");
  expect(hash).not.toBe(passwordHash("s p:ü"));
  expect(hash).not.toContain("s p");
  expect([isPassword("s p:ü", hash), isPassword("s p:u", hash), isPassword("", hash), isPassword("x", "")]).toEqual([true, false, false, false]);
});

test("passwords are found in a container's environment", () => {
  expect(passwordsIn(["PATH=/bin", "PGPASSWORD=a=b", "PATRONI_REWIND_PASSWORD=w", "PATRONI_REPLICATION_PASSWORD=r"])).toEqual({ superuserPassword: "a=b", rewindPassword: "w", replicationPassword: "r" });
});

test("a container of a stack with an address of its own is one that has no holder", () => {
  expect(supersededIn("/haproxy citus-active-passive organization/citus-sharding/s\n/coord-1 container:3f2a organization/citus-sharding/s\n/pooler bridge \n")).toEqual(["haproxy"]);
  expect(supersededIn("")).toEqual([]);
});

test("the user's tables and other databases are read from two lines each: whether there is a row, and the rest", () => {
  const lines = ["0", '{"name" : "public.a", "estimatedRows" : 0, "bytes" : 8192}', "1", '{"name" : "public.b", "estimatedRows" : 50, "bytes" : 98304}', "1", '{"name" : "database ledger", "bytes" : 7471619}'];
  const printed = ["primary", ...lines].join("\n");
  expect(tablesIn(printed)).toEqual([
    { name: "public.a", filled: false, estimatedRows: 0, bytes: 8192 },
    { name: "public.b", filled: true, estimatedRows: 50, bytes: 98304 },
    { name: "database ledger", filled: true, bytes: 7471619 },
  ]);
  expect(tablesIn("standby")).toEqual([]);
});
