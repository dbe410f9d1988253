import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { isGuarded } from "../config/guarded";
import type { Settings } from "../config/settings";
import { bundle } from "../images/bundle";
import { planImage, type BuiltImageName } from "../topology/builtImage";
import { PGBOUNCER_BASE } from "../topology/pooler";
import { docker } from "./docker";
import { Failure } from "./failure";
import { say } from "./print";
import { PROJECT_DIRECTORY } from "./project";
import { lastLine, run } from "./run";

const BUILD_TIMEOUT_MS = 20 * 60_000;

/** An image that a stack runs. */
export interface StackImage {
  readonly image: string;
  /** The setting that decides it. */
  readonly key: string;
}

/** The images that a stack pulls; those that it builds are among them only if the user names others, Node.js and HAProxy only where something runs on them. */
export function stackImages(settings: Settings): StackImage[] {
  const { node, haproxy, ...images } = settings.images;
  const used = { ...images, ...((settings.topology === "active-passive" || isGuarded(settings)) && { haproxy }), ...((isGuarded(settings) || settings.keeper) && { node }) };
  return Object.entries(used).flatMap(([name, image]: [string, string | undefined]) => (image === undefined ? [] : [{ image, key: `images.${name}` }]));
}

/**
 * Makes sure that every image of a stack is on this Docker: pulls what is missing, and builds what is its own.
 *
 * @throws {@link Failure} with the image, its setting and Docker's reason.
 */
export async function ensureImages(stack: string, settings: Settings): Promise<void> {
  const images = stackImages(settings);
  const present = await Promise.all(images.map(({ image }) => isPresent(image)));
  for (const { image, key } of images.filter((_, index) => present[index] === false)) await pull(stack, image, key);
  for (const { name, base } of builtImages(settings)) await build(name, base);
}

/** The images that a stack builds, each on its base. */
export function builtImages(settings: Settings): { name: BuiltImageName; base: string }[] {
  const base = settings.images.node;
  const agents = [...(isGuarded(settings) ? [{ name: "guard" as const, base }] : []), ...(settings.keeper ? [{ name: "keeper" as const, base }] : [])];
  if (settings.topology === "active-active") return agents;
  const { images, pooler } = settings;
  return [
    ...agents,
    ...(images.patroni === undefined ? [{ name: "patroni" as const, base: images.citus }] : []),
    ...(pooler !== false && images.pgbouncer === undefined ? [{ name: "pgbouncer" as const, base: PGBOUNCER_BASE }] : []),
  ];
}

async function isPresent(image: string): Promise<boolean> {
  return (await docker(["image", "inspect", "--format", "{{.Id}}", image])).code === 0;
}

async function pull(stack: string, image: string, key: string): Promise<void> {
  say(`Pulling ${image}`);
  const { code, stderr } = await watched(["pull", ...(process.stderr.isTTY ? [] : ["--quiet"]), image]);
  if (code === 0) return;
  throw new Failure(
    `The image ${image} (setting ${key}) cannot be had: ${pullProblem(stderr)}. Check the name and the network and run this command again, ` +
      `bring the image by hand (docker pull, docker load), or name another: npm run up -- ${stack} --config-path -c ${key}=…`,
  );
}

/** Docker's reason on one line without what it says of itself. */
export function pullProblem(stderr: string): string {
  return lastLine(stderr)
    .replace(/^Error response from daemon: /, "")
    .replace(/\.$/, "");
}

/** An update would build it with the same program; before the update a failure has touched nothing. */
async function build(name: BuiltImageName, base: string): Promise<void> {
  const plan = planImage(name, base, (file) => readFileSync(path.join(PROJECT_DIRECTORY, file), "utf8"), bundle);
  if (await isPresent(plan.tag)) return;
  say(`Building the image of ${name} on ${base}: about a minute, once`);
  const program = ["--import", "tsx", "setup/image.ts"];
  const { code, stderr } = await run(process.execPath, program, { directory: PROJECT_DIRECTORY, input: JSON.stringify(plan), timeoutMs: BUILD_TIMEOUT_MS });
  if (code !== 0) throw new Failure(stderr);
}

/** Runs docker with its progress in front of the user, and keeps its errors for a sentence. */
function watched(args: readonly string[]): Promise<{ code: number; stderr: string }> {
  return new Promise((resolve) => {
    const child = spawn("docker", args, { stdio: ["ignore", process.stderr.isTTY ? process.stderr : "ignore", "pipe"] });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", ({ message }) => resolve({ code: 127, stderr: message }));
    child.on("close", (code) => resolve({ code: code ?? 1, stderr }));
  });
}
