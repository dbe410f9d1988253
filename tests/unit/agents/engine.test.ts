import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { hostname, tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Engine } from "../../../agents/keeper/engine";
import type { Ward } from "../../../agents/keeper/judgement";

const LABEL = "organization/citus-sharding/s";

interface Listed {
  readonly Id: string;
  readonly Labels: Record<string, string>;
  readonly HostConfig: { readonly NetworkMode: string };
  readonly NetworkSettings: { readonly Networks: Record<string, unknown> | null };
}

function listed(id: string, mode: string, network?: string, role = "member"): Listed {
  return { Id: id, Labels: { "io.citus-sharding.role": role }, HostConfig: { NetworkMode: mode }, NetworkSettings: { Networks: network === undefined ? {} : { [network]: {} } } };
}

const keeper = listed(`${hostname()}0123`, "none", "none", "keeper");

/** Docker, as far as the keeper asks it. */
let containers: readonly Listed[];
let asked: string[];
let answers: Record<string, [number, unknown]>;
let server: Server;
let directory: string;
let engine: Engine;

beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "keeper-"));
  [containers, asked, answers] = [[keeper], [], {}];
  server = createServer((request, response) => {
    const url = decodeURIComponent(request.url ?? "");
    asked.push(`${request.method ?? ""} ${url}`);
    const id = /^\/containers\/(.+)\/json$/.exec(url)?.[1] ?? "";
    const inspected = { Id: id, Name: `/${id}`, State: { Status: "exited", ExitCode: 255, Error: "why", StartedAt: "2026-01-01T12:00:00.123456789Z" }, Config: {}, HostConfig: { NetworkMode: "container:h" } };
    const [code, body] = answers[url] ?? [200, url.startsWith("/containers/json") ? containers : inspected];
    response.writeHead(code).end(body === undefined ? "" : JSON.stringify(body));
  });
  const socket = path.join(directory, "docker.sock");
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  engine = new Engine(LABEL, "net", socket);
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
  rmSync(directory, { recursive: true });
});

test("its wards are the stack's containers on its network and what lives in them, without those of a copy under another prefix", async () => {
  containers = [keeper, listed("h", "net", "net", "holder"), listed("m", "container:h"), listed("other-h", "other", "other", "holder"), listed("other-m", "container:other-h"), listed("gone-m", "container:gone")];
  const wards = await engine.wards();
  expect(wards.map(({ name }) => name)).toEqual(["h", "m"]);
  expect(wards[1]).toEqual({ id: "m", name: "m", status: "exited", exitCode: 255, error: "why", startedAt: new Date("2026-01-01T12:00:00.123Z"), stopGraceSeconds: 10, host: "h" });
  expect(asked[0]).toBe(`GET /containers/json?all=1&filters={"label":["io.citus-sharding.stack=${LABEL}"]}`);
  expect(asked.slice(1).sort()).toEqual(["GET /containers/h/json", "GET /containers/m/json"]);
});

test("what Docker does not tell of is left out", async () => {
  containers = [keeper, listed("h", "net", "net"), listed("m", "container:h")];
  answers = { "/containers/m/json": [404, { message: "no such container" }] };
  expect((await engine.wards()).map(({ name }) => name)).toEqual(["h"]);
});

test("another engine than its own is refused", async () => {
  containers = [listed("h", "net", "net")];
  await expect(engine.wards()).rejects.toThrow(/does not run this container: set dockerSocket/);
});

test("starts, also what runs already, and restarts with the container's own grace", async () => {
  const ward = { id: "m", stopGraceSeconds: 60 } as Ward;
  answers = { "/containers/m/start": [304, undefined], "/containers/m/restart?t=60": [204, undefined] };
  await engine.start(ward);
  await engine.restart(ward);
  expect(asked).toEqual(["POST /containers/m/start", "POST /containers/m/restart?t=60"]);
});

test("tells Docker's reason", async () => {
  answers = { "/containers/m/start": [409, { message: "cannot join network of a non running container" }], "/containers/x/start": [500, undefined] };
  await expect(engine.start({ id: "m" } as Ward)).rejects.toThrow(/^cannot join network of a non running container$/);
  await expect(engine.start({ id: "x" } as Ward)).rejects.toThrow(/^Docker answered 500$/);
});
