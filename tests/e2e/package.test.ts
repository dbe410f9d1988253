import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = path.resolve(__dirname, "../..");

/** Another Pulumi program, with this package installed as npm packs it. */
const consumer = mkdtempSync(path.join(tmpdir(), "citus-sharding-consumer-"));
const environment = { ...process.env, PULUMI_BACKEND_URL: `file://${consumer}/state`, PULUMI_CONFIG_PASSPHRASE: "consumer" };
const run = (command: string, args: string[], cwd: string): string => execFileSync(command, args, { cwd, env: environment, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

beforeAll(() => {
  mkdirSync(path.join(consumer, "state"));
  mkdirSync(path.join(consumer, "node_modules"));
  run("npm", ["pack", "--pack-destination", consumer], ROOT);
  const archive = readdirSync(consumer).find((file) => file.endsWith(".tgz")) as string;
  run("tar", ["xzf", archive], consumer);
  run("mv", ["package", "node_modules/citus-sharding"], consumer);
  // What npm would have installed beside it.
  for (const name of readdirSync(path.join(ROOT, "node_modules"))) symlinkSync(path.join(ROOT, "node_modules", name), path.join(consumer, "node_modules", name));
  writeFileSync(path.join(consumer, "Pulumi.yaml"), "name: consumer\nruntime: nodejs\nmain: index.ts\n");
  writeFileSync(path.join(consumer, "package.json"), '{ "name": "consumer" }');
  writeFileSync(path.join(consumer, "tsconfig.json"), '{ "compilerOptions": { "strict": true, "module": "nodenext", "moduleResolution": "nodenext", "target": "es2022", "skipLibCheck": true } }');
  writeFileSync(
    path.join(consumer, "index.ts"),
    'import { EtcdCluster } from "citus-sharding";\nexport const hosts: readonly string[] = new EtcdCluster("store", { network: "bridge" }).hosts;\n',
  );
});
afterAll(() => {
  rmSync(consumer, { recursive: true, force: true });
  rmSync(path.join(ROOT, "dist"), { recursive: true, force: true });
});

test("the packed components can be imported, and their set-up is compiled", () => {
  run("pulumi", ["stack", "init", "dev", "--non-interactive"], consumer);
  const preview = JSON.parse(run("pulumi", ["preview", "--json", "--stack", "dev", "--non-interactive"], consumer)) as { steps: { urn: string; newState: { inputs?: { create?: string; dir?: string } } }[] };
  const setup = preview.steps.find(({ urn }) => urn.endsWith("::store-setup"));
  expect(setup?.newState.inputs).toMatchObject({ create: "node dist/setup/main.js", dir: "node_modules/citus-sharding" });
  expect(preview.steps.filter(({ urn }) => urn.includes("docker:index/container:Container"))).toHaveLength(3);
});
