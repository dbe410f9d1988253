import { DatabaseError } from "pg";
import { expect, test } from "vitest";
import { ClusterDownError, OtherTenantError, TenantMovingError, UnknownOutcomeError } from "../../../router/index";
import { MetNothing, NotConnected, requestOutcome } from "../../series/moves/requestOutcome";

const database = (code: string, detail?: string): DatabaseError => Object.assign(new DatabaseError("said", 4, "error"), { code, ...(detail !== undefined && { detail }) });

test.each<[string, unknown, string, boolean]>([
  ["the router did not send it", new ClusterDownError("a", "no"), "refused", false],
  ["the router's connection broke", new ClusterDownError("a", "unknown"), "unknown", false],
  ["a commit that nobody vouches for", new UnknownOutcomeError("a", new Error("cancelled")), "unknown", false],
  ["the tenant is moving", new TenantMovingError("1"), "refused", false],
  ["another tenant's", new OtherTenantError("1", "said"), "refused", true],
  ["the fence, by hand", database("TN002", '{"tenant":"1","home":"a","epoch":0}'), "refused", false],
  ["the fence's word for a mover", database("TN004"), "refused", true],
  ["a deadlock", database("40P01"), "refused", false],
  ["a serialization failure", database("40001"), "refused", false],
  ["a completion that the server does not know", database("40003"), "unknown", false],
  ["an identity that was given out twice", database("23505"), "refused", true],
  ["a table that is not there", database("42P01"), "refused", true],
  ["a server that starts", database("57P03"), "refused", false],
  ["a session that was ended", database("57P01"), "unknown", false],
  ["a worker that went away", database("08006"), "unknown", false],
  ["a connection that broke", new Error("read ECONNRESET"), "unknown", false],
  ["nobody let it in", new NotConnected("refused"), "refused", false],
  ["a row that was not there", new MetNothing("UPDATE"), "refused", true],
])("%s", (_, error, outcome, unexpected) => {
  expect(requestOutcome(error)).toEqual({ outcome, unexpected });
});
