import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { setTimeout as delay } from "node:timers/promises";
import { docker, eventually, hasImage, Project, query } from "./project";

const PREFIX = "e2e-ke-";
/** Longer than a keeper takes for what it must not do. */
const QUIET_MS = 8000;

/** On an engine that is not restarted: what it leaves down at its boot, it leaves down where a holder dies, too. tests/series/boots.ts restarts engines. */
describe.skipIf(!hasImage("citusdata/citus:13.2.0"))("the keeper", () => {
  const project = new Project("active-passive");
  let uri: string;

  beforeAll(async () => {
    project.configure({ prefix: PREFIX, shardCount: 4, workers: 1, coordinators: 2, etcdMembers: 1, ports: { leader: 15700, standbys: 15701, nodes: 15703, statistics: 15702 } });
    await project.create();
    await project.up();
    uri = (await project.outputs<{ uris: { leader: string } }>()).uris.leader;
  });
  afterAll(() => project.dispose(PREFIX));

  const state = (name: string, field = "Status"): string => docker("inspect", "--format", `{{.State.${field}}}`, `${PREFIX}${name}`);
  const said = (): string => docker("logs", `${PREFIX}keeper-active-passive`);
  const all = (): string[] => docker("ps", "-a", "--format", "{{.Names}} {{.State}}").split("\n").filter((line) => line.startsWith(PREFIX));
  /** Ends a container's first process from outside, as a crash does. */
  const crash = (name: string): void => void process.kill(Number(state(name, "Pid")), "SIGKILL");

  test("is healthy, has Docker's socket and nothing else, and a second update changes nothing", async () => {
    await eventually(60_000, () => Promise.resolve(expect(state("keeper-active-passive", "Health.Status")).toBe("healthy")));
    const [privileges] = JSON.parse(docker("inspect", `${PREFIX}keeper-active-passive`)) as { HostConfig: Record<string, unknown> }[];
    expect(privileges?.HostConfig).toMatchObject({ NetworkMode: "none", ReadonlyRootfs: true, CapDrop: ["ALL"], Privileged: false, SecurityOpt: ["no-new-privileges"], RestartPolicy: { Name: "unless-stopped" } });
    const { same: _, ...changes } = await project.up();
    expect(changes).toEqual({});
  });

  test.skipIf(process.getuid?.() !== 0)("brings back a worker whose holder has died", async () => {
    const before = state("worker1", "StartedAt");
    crash("worker1-holder");
    await eventually(30_000, () => Promise.resolve(expect([state("worker1-holder"), state("worker1"), state("worker1", "StartedAt") > before]).toEqual(["running", "running", true])));
    await eventually(60_000, async () => expect(await query(uri, "select success from run_command_on_workers('select 1')")).toEqual([[{ success: true }]]));
  });

  test("starts what Docker could not start", async () => {
    // A member that is started while its holder is down is what the engine does at its boot.
    docker("stop", `${PREFIX}haproxy`, `${PREFIX}haproxy-holder`);
    expect(() => docker("start", `${PREFIX}haproxy`)).toThrow(/non running container/);
    await delay(QUIET_MS);
    expect(state("haproxy")).toBe("exited");
    docker("start", `${PREFIX}haproxy-holder`);
    await eventually(30_000, () => Promise.resolve(expect(state("haproxy")).toBe("running")));
    expect(said()).toMatch(/e2e-ke-haproxy started: it had ended with \d+, and Docker could not start it: .*non running container/);
  });

  test("leaves alone what a person stopped or killed, after its own restart, too", async () => {
    docker("stop", `${PREFIX}worker1`);
    docker("kill", `${PREFIX}coord-2`);
    docker("restart", `${PREFIX}keeper-active-passive`);
    await delay(QUIET_MS);
    expect([state("worker1"), state("coord-2")]).toEqual(["exited", "exited"]);
    docker("start", `${PREFIX}worker1`, `${PREFIX}coord-2`);
  });

  test("does not fight with a restart of everything", async () => {
    expect(await project.command("restart", "active-passive")).toMatchObject({ code: 0 });
    expect(all().filter((line) => !line.endsWith(" running"))).toEqual([]);
  });

  test("is gone with the stack, of which volumes stay", async () => {
    await project.pulumi("destroy", "--yes", "--skip-preview");
    expect(project.leftovers(PREFIX).filter((name) => !name.endsWith("-data"))).toEqual([]);
  });
});
