import { execFile, execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as source from "@citus-sharding/tenant-router";
import { FakeServer } from "../unit/router/fakeServer";

const ROOT = path.resolve(__dirname, "../..");
const PACKAGE = path.join(ROOT, "router");
const BIN = path.join(ROOT, "node_modules/.bin");

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

/** Versions of Node.js that the package is for: this one where it is of the same major, others from npm. */
const NODE_VERSIONS = ["22.23.3", "24.21.0"];

const MODULES = ["esm", "cjs"] as const;
type Module = (typeof MODULES)[number];

const folder = mkdtempSync(path.join(tmpdir(), "tenant-router-package-"));
const project = (name: string): string => path.join(folder, name);
const tarball = path.join(folder, "router.tgz");
const servers = { a: new FakeServer("a"), b: new FakeServer("b") };
const nodes = new Map<string, string>();

/** Beside the fake servers, which answer in this process. */
const run = async (command: string, args: readonly string[], cwd: string): Promise<string> => {
  const clusters = JSON.stringify({ a: servers.a.config, b: servers.b.config });
  try {
    return (await promisify(execFile)(command, args, { cwd, env: { ...process.env, NODE_ENV: "production", CLUSTERS: clusters } })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(" ")}: ${stdout}${stderr}`, { cause: error });
  }
};

const install = (name: string, manifest: object, ...packages: readonly string[]): Promise<string> => {
  mkdirSync(project(name));
  writeFileSync(path.join(project(name), "package.json"), JSON.stringify(manifest));
  return run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error", ...packages], project(name));
};

/** Checks a foreign project's types, those of the package as well, and compiles it. */
const compile = (name: string, options: object): Promise<string> => {
  const compilerOptions = { strict: true, skipLibCheck: false, target: "es2022", outDir: "out", ...options };
  writeFileSync(path.join(project(name), "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts", "*.mts"] }));
  return run(path.join(BIN, "tsc"), ["-p", "."], project(name));
};

const lowest = (range: string | undefined): string => (range ?? "").replace("^", "");

/** What a stranger's program sees: {@link PROGRAM}'s report. */
const REPORT = {
  answer: "42",
  moved: "at home",
  disposed: "ENDED",
  wrong: "ConfigurationError RouterError CONFIGURATION no",
  down: "ClusterDownError RouterError CLUSTER_DOWN no gone",
  cause: "53100",
};

/** The same text in TypeScript's two worlds. */
const PROGRAM = `
import { ClusterDownError, ConfigurationError, createRouter, RouterError, type Applied, type Queryable, type Router, type RouterErrorCode } from "@citus-sharding/tenant-router";
import type { DatabaseError, PoolConfig } from "pg";

async function failure(work: () => Promise<unknown>): Promise<unknown> {
  return work().then(() => undefined, (error: unknown) => error);
}

async function said(queryable: Queryable, text: string): Promise<string | undefined> {
  const { rows } = await queryable.query<{ says: string }>(text, [42]);
  const [row] = rows;
  return row?.says;
}

async function main(): Promise<void> {
  const clusters = JSON.parse(process.env["CLUSTERS"] ?? "{}") as Record<string, PoolConfig>;
  const report: Record<string, string | undefined> = {};
  let ended: Router;
  {
    await using router = await createRouter({ clusters });
    ended = router;
    const tenant = router.for(42);
    report["answer"] = await said(tenant, "SELECT answer");
    report["moved"] = await tenant.transaction((transaction) => said(transaction, "SELECT moved"));
    report["cause"] = ((await failure(() => tenant.query("SELECT full"))) as DatabaseError).code;
  }
  try {
    ended.for(42);
  } catch (error) {
    if (error instanceof RouterError) report["disposed"] = error.code satisfies RouterErrorCode;
  }
  const wrong = await failure(() => createRouter({ clusters: {} }));
  if (wrong instanceof ConfigurationError && wrong instanceof RouterError) report["wrong"] = [wrong.name, "RouterError", wrong.code, wrong.applied satisfies Applied].join(" ");
  const down = await failure(() => createRouter({ clusters: { gone: { host: "127.0.0.1", port: 1 } } }));
  if (down instanceof ClusterDownError && down instanceof RouterError) report["down"] = [down.name, "RouterError", down.code, down.applied, down.cluster].join(" ");
  console.log(JSON.stringify(report));
}

void main();
`;

/** Without a compiler, and with both ways to the package in one process. */
const PLAIN: Readonly<Record<Module, string>> = {
  esm: `
import * as imported from "@citus-sharding/tenant-router";
import { createRouter, RouterError } from "@citus-sharding/tenant-router";
import { createRequire } from "node:module";
const required = createRequire(import.meta.url)("@citus-sharding/tenant-router");
const router = await createRouter({ clusters: JSON.parse(process.env.CLUSTERS) });
const { rows } = await router.for(42).query("SELECT answer");
await router[Symbol.asyncDispose]();
console.log(JSON.stringify({ says: rows[0].says, names: Object.keys(imported).sort(), one: RouterError === required.RouterError && createRouter === required.createRouter }));
`,
  cjs: `
const { createRouter, RouterError, ...others } = require("@citus-sharding/tenant-router");
(async () => {
  const imported = await import("@citus-sharding/tenant-router");
  const router = await createRouter({ clusters: JSON.parse(process.env.CLUSTERS) });
  const { rows } = await router.for(42).query("SELECT answer");
  await router[Symbol.asyncDispose]();
  console.log(JSON.stringify({ says: rows[0].says, names: ["createRouter", "RouterError", ...Object.keys(others)].sort(), one: RouterError === imported.RouterError && createRouter === imported.createRouter }));
})();
`,
};

/** The entry for OpenTelemetry listens to the copy that everybody has. */
const TELEMETRY = `
import { instrument, type InstrumentOptions } from "@citus-sharding/tenant-router/opentelemetry";
import { createRequire } from "node:module";
import { tracingChannel } from "node:diagnostics_channel";
const required = createRequire(import.meta.url)("@citus-sharding/tenant-router/opentelemetry") as { instrument: typeof instrument };
const options: InstrumentOptions = {};
const stop = instrument(options);
const heard = tracingChannel("tenant-router:statement").start.hasSubscribers;
stop();
console.log(JSON.stringify({ one: required.instrument === instrument, heard }));
`;

/** The entry for placing is of the same copy, and the main one does not load it. */
const PLACING = `
import { createRouter, RouterError } from "@citus-sharding/tenant-router";
import { createRequire } from "node:module";
const required = createRequire(import.meta.url);
const loaded = (): boolean => Object.keys(required.cache).some((file) => /tenants.move|pg-copy-streams/.test(file));
const before = loaded();
const { createPlacement, PlacementError } = await import("@citus-sharding/tenant-router/placement");
const one = (required("@citus-sharding/tenant-router/placement") as { createPlacement: unknown }).createPlacement === createPlacement;
const router = await createRouter({ clusters: JSON.parse(process.env["CLUSTERS"] ?? "{}") as Record<string, { host: string }> });
const error: unknown = await createPlacement(router, { clusters: { a: { nodes: {} } } }).place(42, { region: "" }).catch((reason: unknown) => reason);
await router.end();
console.log(JSON.stringify({ before, after: loaded(), one, error: error instanceof PlacementError && error instanceof RouterError ? error.code : String(error) }));
`;

const PLAIN_REPORT = { says: "42", names: Object.keys(source).sort(), one: true };

const TYPE: Readonly<Record<Module, string>> = { esm: "module", cjs: "commonjs" };

/** The code of the package's README that a reader copies first. */
const readme = (): string => /```ts\n([\s\S]*?)```/.exec(readFileSync(path.join(PACKAGE, "README.md"), "utf8"))?.[1] ?? "";

const registry = ((): boolean => {
  try {
    execFileSync("npm", ["ping", "--fetch-retries=0", "--fetch-timeout=5000"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!registry)("@citus-sharding/tenant-router, packed and installed from the registry", () => {
  beforeAll(async () => {
    for (const server of Object.values(servers)) {
      server.ring = { version: 1, clusters: ["a"] };
      await server.start();
    }
    // 42 has gone to b, and a says so when it is asked.
    servers.a.records = servers.b.records = [{ tenant: "42", home: "b", epoch: 2, state: "settled" }];
    servers.b.answer = (text) => (text === "SELECT full" ? { error: { code: REPORT.cause, message: "no space left on device" } } : { rows: [{ says: text === "SELECT moved" ? REPORT.moved : REPORT.answer }] });
    const { filename } = (JSON.parse(await run("npm", ["pack", "--json", "--pack-destination", folder], PACKAGE)) as [{ filename: string }])[0];
    cpSync(path.join(folder, filename), tarball);
    await Promise.all([
      ...MODULES.map((module) => install(module, { type: TYPE[module] }, tarball, "pg")),
      ...NODE_VERSIONS.map(async (version) => {
        if (version.split(".")[0] === process.versions.node.split(".")[0]) return nodes.set(version, process.execPath);
        const platform = `node-${process.platform}-${process.arch}`;
        await install(version, {}, `${platform}@${version}`);
        return nodes.set(version, path.join(project(version), "node_modules", platform, "bin/node"));
      }),
    ]);
    for (const module of MODULES) {
      writeFileSync(path.join(project(module), "program.ts"), PROGRAM);
      writeFileSync(path.join(project(module), "plain.js"), PLAIN[module]);
    }
    writeFileSync(path.join(project("esm"), "readme.ts"), readme());
  });
  afterAll(async () => {
    await Promise.all(Object.values(servers).map((server) => server.stop()));
    for (const left of [folder, path.join(PACKAGE, "dist")]) rmSync(left, { recursive: true, force: true });
  });

  test("has nothing in it but what it needs, and nothing of Pulumi", async () => {
    const files = (await run("tar", ["tzf", tarball], folder)).trim().split("\n");
    expect(files.filter((file) => !/^package\/dist\/((router|tenants)\/\w+\.(js|d\.ts)|router\/esm\/\w+\.(mjs|d\.mts))$/.test(file)).sort()).toEqual(
      ["CHANGELOG.md", "LICENSE", "README.md", "package.json"].map((file) => `package/${file}`),
    );
    const installed = JSON.parse(readFileSync(path.join(project("esm"), "package-lock.json"), "utf8")) as { packages: object };
    expect(Object.keys(installed.packages).filter((name) => /pulumi|esbuild|typescript/.test(name))).toEqual([]);
  });

  test("is resolved everywhere, with types that are those of what is run", async () => {
    await run(path.join(BIN, "attw"), [tarball], ROOT);
    await run(path.join(BIN, "publint"), ["--strict", tarball], ROOT);
  });

  test.concurrent.each(MODULES)("types are whole in a strict project of another, bundled: %s", async (module) => {
    await compile(module, { module: "esnext", moduleResolution: "bundler", noEmit: true });
  });

  describe.each(MODULES)("%s", (module) => {
    beforeAll(() => compile(module, { module: "nodenext" }));

    test.each(NODE_VERSIONS)("TypeScript on Node.js %s", async (version) => {
      expect(JSON.parse(await run(nodes.get(version) as string, ["out/program.js"], project(module)))).toEqual(REPORT);
    });

    test.each(NODE_VERSIONS)("JavaScript on Node.js %s, import and require of one copy", async (version) => {
      expect(JSON.parse(await run(nodes.get(version) as string, ["plain.js"], project(module)))).toEqual(PLAIN_REPORT);
    });
  });

  test("has an entry for placing tenants, of the same copy, which the main one does not load", async () => {
    writeFileSync(path.join(project("esm"), "placing.ts"), PLACING);
    await compile("esm", { module: "nodenext" });
    expect(JSON.parse(await run(nodes.get(NODE_VERSIONS[0] as string) as string, ["out/placing.js"], project("esm")))).toEqual({ before: false, after: true, one: true, error: "PLACEMENT" });
  });

  test("works with the lowest versions that it allows, OpenTelemetry's among them", async () => {
    const { dependencies, peerDependencies } = JSON.parse(readFileSync(path.join(PACKAGE, "package.json"), "utf8")) as Manifest;
    await install("lowest", {}, tarball, ...Object.entries({ ...dependencies, ...peerDependencies }).map(([name, range]) => `${name}@${lowest(range)}`));
    writeFileSync(path.join(project("lowest"), "program.ts"), PROGRAM);
    writeFileSync(path.join(project("lowest"), "telemetry.mts"), TELEMETRY);
    await compile("lowest", { module: "nodenext" });
    expect(JSON.parse(await run(nodes.get(NODE_VERSIONS[0] as string) as string, ["out/telemetry.mjs"], project("lowest")))).toEqual({ one: true, heard: true });
    expect(JSON.parse(await run(nodes.get(NODE_VERSIONS[0] as string) as string, ["out/program.js"], project("lowest")))).toEqual(REPORT);
  });
});
