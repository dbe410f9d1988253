import { describe, expect, test } from "vitest";
import { haproxyConfiguration, planHAProxy } from "../../../topology/haproxy";

const TASKS = { cutSessions: "-- lua", followGuard: "-- guard" };
const MEMBERS = ["coord-1", "coord-2", "coord-3"];

/** The sections of haproxy.cfg, each with its lines. */
function sections(configuration: string): Record<string, string[]> {
  return Object.fromEntries(
    configuration.trim().split("\n\n").map((section) => {
      const [head = "", ...lines] = section.split("\n");
      return [head, lines.map((line) => line.trim())];
    }),
  );
}

describe("haproxy.cfg", () => {
  const text = haproxyConfiguration(MEMBERS);
  const configuration = sections(text);
  const servers = MEMBERS.map((member) => `server ${member} ${member}:5432 check port 8008 resolvers docker init-addr last,libc,none`);

  test("asks Patroni who leads, and follows within a check", () => {
    expect(configuration["backend leader"]).toEqual([
      "option httpchk",
      "http-check send meth OPTIONS uri /primary",
      "http-check expect status 200",
      "default-server inter 250ms fastinter 100ms downinter 100ms fall 1 rise 1",
      ...servers,
    ]);
  });

  test("spreads reads over the standbys", () => {
    expect(configuration["backend standbys"]).toEqual(expect.arrayContaining(["balance leastconn", "http-check send meth OPTIONS uri /replica?lag=16MB", "http-check expect status 200", ...servers]));
  });

  test("reads go to the leader while there is no standby", () => {
    expect(configuration["frontend standbys"]).toEqual(["bind *:5001", "use_backend leader if { nbsrv(standbys) eq 0 }", "default_backend standbys"]);
    expect(configuration["frontend leader"]).toEqual(["bind *:5000", "default_backend leader"]);
  });

  test("has the statistics on 7000", () => {
    expect(configuration["frontend statistics"]).toEqual(expect.arrayContaining(["mode http", "bind *:7000", "stats enable", "stats uri /"]));
  });

  test("gives up on a dead member at once, and resolves names that change", () => {
    expect(configuration["defaults"]).toEqual(expect.arrayContaining(["retries 0", "timeout connect 250ms", "timeout check 250ms"]));
    expect(configuration["resolvers docker"]).toContain("nameserver docker 127.0.0.11:53");
  });

  test("leaves no client hanging: sessions of a dead server are closed later, by the Lua task", () => {
    expect(text).not.toMatch(/on-marked-down|redispatch/);
    expect(configuration["global"]).toContain("lua-load cut.lua");
  });
});

describe("an HAProxy", () => {
  test("has its files and the three ports on this machine only", () => {
    const plan = planHAProxy("haproxy", { members: MEMBERS }, TASKS);
    expect(plan).toMatchObject({ name: "haproxy", role: "haproxy", held: true, environment: {}, limits: {}, stopSignal: "SIGTERM", stopGraceSeconds: 10 });
    expect(plan).not.toHaveProperty("volume");
    expect(plan.healthCheck).toEqual({ command: ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7000"], intervalSeconds: 10, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 5 });
    const { digest } = plan.setup;
    expect(plan.files).toEqual([
      { path: "/usr/local/etc/haproxy/haproxy.cfg", content: `global\n    set-var proc.configuration str(${digest})\n\n${haproxyConfiguration(MEMBERS)}`, live: true },
      { path: "/usr/local/etc/haproxy/cut.lua", content: "-- lua", live: true },
      { path: "/usr/local/etc/haproxy/instep.lua", content: "WORKERS = {  }\n-- guard", live: true },
    ]);
    expect(plan.setup).toEqual({ kind: "haproxy", container: "haproxy", files: plan.files, digest: expect.stringMatching(/^[0-9a-f]{12}$/) as string, timeoutSeconds: 60 });
    expect(plan.ports).toEqual([
      { internal: 5000, external: 5000, ip: "127.0.0.1" },
      { internal: 5001, external: 5001, ip: "127.0.0.1" },
      { internal: 7000, external: 7000, ip: "127.0.0.1" },
    ]);
  });

  test("tells one configuration from another, and the Lua task with it", () => {
    const digest = (members: string[], cutSessions: string): string => planHAProxy("haproxy", { members }, { ...TASKS, cutSessions }).setup.digest;
    expect(digest(MEMBERS, "-- lua")).toBe(digest(MEMBERS, "-- lua"));
    expect(new Set([digest(MEMBERS, "-- lua"), digest(["coord-1"], "-- lua"), digest(MEMBERS, "-- other")]).size).toBe(3);
  });

  test("publishes where it is told to", () => {
    const { name, ports, limits } = planHAProxy(
      "proxy",
      { members: MEMBERS, leaderPort: 15000, standbysPort: 15001, statisticsPort: 17000, bindAddress: "0.0.0.0", prefix: "test-", limits: { cpus: 0.5 } },
      TASKS,
    );
    expect({ name, limits }).toEqual({ name: "test-proxy", limits: { cpus: 0.5 } });
    expect(ports).toEqual([
      { internal: 5000, external: 15000, ip: "0.0.0.0" },
      { internal: 5001, external: 15001, ip: "0.0.0.0" },
      { internal: 7000, external: 17000, ip: "0.0.0.0" },
    ]);
  });

  test("serves a plain worker only while a guard says that it is in step, where there is a guard", () => {
    const workers = { plain: ["worker1", "worker2"], groups: [] };
    const guarded = planHAProxy("haproxy", { members: MEMBERS, workers: { ...workers, guarded: true } }, TASKS).files;
    expect(guarded[0]?.content).toContain("lua-load cut.lua\n    lua-load instep.lua\n");
    expect(guarded[0]?.content.match(/server worker\d .* disabled$/gm)).toHaveLength(2);
    expect(guarded[2]).toEqual({ path: "/usr/local/etc/haproxy/instep.lua", content: 'WORKERS = { ["worker1"] = true, ["worker2"] = true }\n-- guard', live: true });
    const alone = planHAProxy("haproxy", { members: MEMBERS, workers }, TASKS).files;
    expect(alone[0]?.content).not.toMatch(/disabled/);
    expect(alone[2]?.content).toBe("WORKERS = {  }\n-- guard");
    // Pulumi keeps their contents of the first update by their place in the list, also for a container that is made anew.
    for (const files of [alone, planHAProxy("haproxy", { members: MEMBERS }, TASKS).files]) expect(files.map(({ path }) => path)).toEqual(guarded.map(({ path }) => path));
  });

  test("reads from standbys within a bound", () => {
    expect(planHAProxy("haproxy", { members: MEMBERS, standbyLag: "2 GB" }, TASKS).files[0]?.content).toContain("uri /replica?lag=2048MB\n");
  });

  test("without members is refused", () => {
    expect(() => planHAProxy("haproxy", { members: [] }, TASKS)).toThrow("HAProxy haproxy: members is empty");
  });
});
