import { beforeEach, expect, test, vi } from "vitest";
import type { DockerResult } from "../../../../setup/docker";
import { Report } from "../../../../setup/report";
import { workersGroup } from "../../../../setup/turn/workersGroup";

const WORKERS = ["w1", "w2"];
const inStep = (...workers: string[]): string => `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n${workers.map((name) => `${name}\n`).join("")}`;
const STAYS = inStep(...WORKERS);
/** What is asked of Docker to do, in its order. */
let done: string[];
let guard: string;
let stop: () => Promise<Partial<DockerResult>>;
let copies: string;
/** What the guard answers, once the worker is said to leave. */
let answer: string;

vi.mock("../../../../setup/docker", async (original) => ({
  ...(await original<object>()),
  docker: async ([command = "", ...args]: readonly string[]): Promise<DockerResult> => {
    const result = { code: 0, stdout: "", stderr: "" };
    if (args.includes("bash")) return { ...result, stdout: done.includes("w1 leaves") ? answer : STAYS };
    if (command === "exec") return { ...result, stdout: args.some((arg) => arg.includes("pg_stat_activity")) ? "0" : `steps: ${copies}` };
    done.push([command, args.at(-1)].join(" "));
    return command === "stop" ? { ...result, ...(await stop()) } : result;
  },
  inspected: (_: string, __: string, [name = ""]: readonly string[]) => Promise.resolve(name === "guard" ? guard : "id"),
}));
vi.mock("../../../../setup/turn/psqlSession", () => ({
  PsqlSession: class {
    ask(statement: string): Promise<string> {
      if (statement.includes("json_build_object")) return Promise.resolve(JSON.stringify({ workers: WORKERS.map((host, index) => ({ groupId: index + 1, host, port: 5432, active: true })), missing: 1 }));
      if (statement === "SELECT pg_advisory_lock(7780, 1)") done.push("w1 leaves");
      if (statement.includes("citus_disable_node")) done.push("disable w1");
      return Promise.resolve(statement.includes("try_advisory_lock") ? "t" : "f");
    }
    close(): void {
      done.push("close");
    }
  },
}));
vi.mock("node:timers/promises", () => ({ setTimeout: () => new Promise((resolve) => setImmediate(resolve)) }));

beforeEach(() => {
  [done, guard, copies, answer] = [[], "healthy", "", inStep("w2")];
  stop = () => Promise.resolve({});
});

const lines: string[] = [];
const group = (guards = ["guard"]) =>
  workersGroup("w1", { kind: "citus", cluster: "x", coordinators: ["coord"], workers: WORKERS.map((name) => ({ host: name, port: 5432, container: name })), guards }, new Report((line) => lines.push(line)));

/** What is done to a worker whose turn it is. */
async function leave(): Promise<string[]> {
  const turn = group();
  await turn.look();
  await turn.leave?.();
  return done;
}

test("a worker is taken out of service and stopped, for its guard to bring back", async () => {
  expect(await leave()).toEqual(["w1 leaves", "disable w1", "stop w1"]);
});

test.each(["", STAYS, "HTTP/1.1 503 Service Unavailable\r\n\r\n"])("a worker goes on leaving where its guard does not keep readers away: %j", async (says) => {
  vi.spyOn(performance, "now").mockImplementation(() => (now += 50));
  let now = 0;
  answer = says;
  expect(await leave()).toEqual(["w1 leaves", "disable w1", "stop w1"]);
  expect(lines.some((line) => line.startsWith("w1: may be read for up to a second after it is out of service"))).toBe(true);
  vi.restoreAllMocks();
});

test("a worker that Docker does not stop is started again", async () => {
  stop = () => Promise.resolve({ code: 1, stderr: "no" });
  await expect(leave()).rejects.toThrow("Docker could not stop w1, which the guard brings back now: no. Run the update again");
  expect(done).toEqual(["w1 leaves", "disable w1", "stop w1", "restart w1"]);
});

test("a worker is started again where the update is told to end while it stops", async () => {
  stop = () => new Promise(() => process.emit("SIGHUP", "SIGHUP"));
  await expect(leave()).rejects.toThrow("The update was told to end while w1 was being stopped");
  expect(done).toEqual(["w1 leaves", "disable w1", "stop w1", "restart w1"]);
  expect(process.listenerCount("SIGHUP")).toBe(0);
});

test("a worker whose guard is not well is not taken out of service", async () => {
  guard = "unhealthy";
  expect(await leave()).toEqual([]);
  expect(lines.at(-1)).toBe("w1: is replaced without being taken out of service before: no guard of its cluster is healthy, which would bring it back");
});

test.each(["", "exited"])("a guard that does not run is none: %j", async (state) => {
  guard = state;
  expect(await group().look()).toMatchObject({ kind: "repair", because: "no guard of its cluster runs" });
  expect(await leave()).toEqual([]);
});

test("copies of shards are waited for by their own progress", async () => {
  copies = "copy 7 100 2";
  expect(await group().look()).toMatchObject({ kind: "wait", member: "w1", progress: "1 steps: copy 7 100 2; steps: copy 7 100 2" });
});

test("without guards no coordinator is asked", async () => {
  expect(await group([]).look()).toEqual({ kind: "go" });
});
