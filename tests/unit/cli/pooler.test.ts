import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { whilePaused } from "../../../cli/pooler";
import { parseSettings } from "../../../config/parse";
import { planStack } from "../../../topology/stack";

const plan = (pooler: boolean): Parameters<typeof whilePaused>[0] => ({ plan: planStack(parseSettings({ topology: "active-passive", pooler }).settings, () => "") });

/** The script in the pooler's container, and what it tells the file `$LOG`. */
const WELL = 'echo "$*" >>"$LOG"; echo paused; cat >/dev/null; echo resumed >>"$LOG"';

let directory: string;
const log = (): string[] => readFileSync(path.join(directory, "log"), "utf8").trim().split("\n");

/** Puts a program in docker's place. */
function dockerIs(script: string): void {
  writeFileSync(path.join(directory, "docker"), `#!/bin/sh\n${script}\n`);
  chmodSync(path.join(directory, "docker"), 0o755);
  vi.stubEnv("PATH", `${directory}:${process.env["PATH"] ?? ""}`);
  vi.stubEnv("LOG", path.join(directory, "log"));
}

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "pooler-"));
  writeFileSync(path.join(directory, "log"), "");
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

/** Runs some work while the pooler is paused, and gives what it gave and the lines that were told. */
async function paused(work = (): Promise<string> => Promise.resolve("done"), pooler = true): Promise<{ result: string; lines: string[] }> {
  const lines: string[] = [];
  const result = await whilePaused(plan(pooler), work, (line) => lines.push(line));
  return { result, lines };
}

describe("work while the pooler is paused", () => {
  test("is done after the pause began and before it ends", async () => {
    dockerIs(WELL);
    let seen: string[] = [];
    const { result, lines } = await paused(() => {
      seen = log();
      return Promise.resolve("done");
    });
    expect({ result, lines }).toEqual({ result: "done", lines: [] });
    expect(seen).toEqual(["exec --interactive pooler sh /etc/pgbouncer/pause.sh 5"]);
    expect(log().at(-1)).toBe("resumed");
  });

  test("that fails leaves nobody waiting", async () => {
    dockerIs(WELL);
    await expect(paused(() => Promise.reject(new Error("no candidate")))).rejects.toThrow("no candidate");
    expect(log().at(-1)).toBe("resumed");
  });

  test("needs no docker where there is no pooler", async () => {
    dockerIs('echo "$*" >>"$LOG"');
    expect(await paused(undefined, false)).toEqual({ result: "done", lines: [] });
    expect(log()).toEqual([""]);
  });

  test.each([
    ["a transaction runs on", "exit 3", "A transaction in pooler did not end within 5 s; going on without a pause, so pooled clients may see an error."],
    ["the pooler is away", "echo 'Error: No such container: pooler' >&2; exit 1", "pooler cannot be paused (Error: No such container: pooler); going on without a pause, so pooled clients may see an error."],
  ])("is done all the same if %s, which a line says", async (_, script, line) => {
    dockerIs(script);
    expect(await paused()).toEqual({ result: "done", lines: [line] });
  });

  test("is done all the same without a docker", async () => {
    vi.stubEnv("PATH", directory);
    const { result, lines } = await paused();
    expect(result).toBe("done");
    expect(lines).toEqual([expect.stringMatching(/^pooler cannot be paused \(.*ENOENT\); going on/)]);
  });

  test("tells if the clients did not go on", async () => {
    dockerIs("echo paused; cat >/dev/null; echo 'psql: error: gone' >&2; exit 1");
    expect(await paused()).toEqual({ result: "done", lines: ["pooler did not go on by itself (psql: error: gone): docker restart pooler"] });
  });
});
