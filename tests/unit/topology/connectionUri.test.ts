import fc from "fast-check";
import { expect, test } from "vitest";
import { connectionUri } from "../../../topology/connectionUri";

const leader = { host: "127.0.0.1", port: 5000, user: "postgres", database: "postgres" };

test.each([
  [leader, "secret", "postgresql://postgres:secret@127.0.0.1:5000/postgres"],
  [{ ...leader, host: "::1" }, "secret", "postgresql://postgres:secret@[::1]:5000/postgres"],
  [leader, "a/b:c@d?e#f%", "postgresql://postgres:a%2Fb%3Ac%40d%3Fe%23f%25@127.0.0.1:5000/postgres"],
])("%j with password %j is %s", (endpoint, password, uri) => {
  expect(connectionUri(endpoint, password)).toBe(uri);
});

test("whatever the password is, the address and the password can be read back", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (password) => {
      const uri = new URL(connectionUri(leader, password));
      expect([uri.hostname, uri.port, uri.pathname, decodeURIComponent(uri.password)]).toEqual(["127.0.0.1", "5000", "/postgres", password]);
    }),
  );
});
