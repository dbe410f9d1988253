import { expect, test } from "vitest";
import { dataDirectory } from "../../../topology/dataDirectory";

test.each([
  [15, "/var/lib/postgresql/data", "/var/lib/postgresql/data"],
  [17, "/var/lib/postgresql/data", "/var/lib/postgresql/data"],
  [18, "/var/lib/postgresql", "/var/lib/postgresql/18/docker"],
  [19, "/var/lib/postgresql", "/var/lib/postgresql/19/docker"],
])("PostgreSQL %d mounts %s and keeps its data in %s", (major, mount, pgdata) => {
  expect(dataDirectory(major)).toEqual({ mount, pgdata });
});
