import { homedir } from "node:os";
import * as path from "node:path";
import { expect, test } from "vitest";
import { directoryOf, usersBackend } from "../../../cli/backend";

test.each<[string, NodeJS.ProcessEnv, string | undefined, string | undefined]>([
  ["nothing chosen", {}, undefined, undefined],
  ["a URL in the environment", { PULUMI_BACKEND_URL: "s3://b" }, "https://api.pulumi.com", "s3://b"],
  ["an empty URL is none", { PULUMI_BACKEND_URL: "" }, undefined, undefined],
  ["an access token", { PULUMI_ACCESS_TOKEN: "pul-x" }, undefined, "https://api.pulumi.com"],
  ["a log-in", {}, "file://~", "file://~"],
])("the user's backend: %s", (_, environment, login, backend) => {
  expect(usersBackend({ environment, login })).toBe(backend);
});

test.each<[string, string | undefined]>([
  ["file:///srv/state", "/srv/state"],
  ["file:///srv/my%20state?no_tmp_dir=true", "/srv/my state"],
  ["file://~", homedir()],
  ["file://~/state", path.join(homedir(), "state")],
  ["https://api.pulumi.com", undefined],
  ["s3://bucket", undefined],
])("the folder of %s is %s", (url, directory) => {
  expect(directoryOf(url)).toBe(directory);
});
