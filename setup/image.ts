import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { text } from "node:stream/consumers";
import { bundle } from "../images/bundle";
import type { BuiltImagePlan } from "../topology/builtImage";

/**
 * Builds the image that its standard input plans, unless it is present. `docker build` by command works with every image
 * store of Docker, which the provider's own build does not.
 */
async function main(): Promise<void> {
  const plan = JSON.parse(await text(process.stdin)) as BuiltImagePlan;
  const { name, tag, base, remedy } = plan;
  if ((await docker(["image", "inspect", "--format", "{{.Id}}", tag])).code === 0) {
    console.log(`${tag}: present`);
    return;
  }
  console.log(`${tag}: building on ${base}`);
  const started = Date.now();
  const { code, output } = await build(plan);
  if (code !== 0) {
    const reason = output.trim().split("\n").slice(-5).join("\n");
    throw new Error(`The image of ${name} could not be built on ${base}. ${remedy}, or mend the reason:\n${reason}`);
  }
  console.log(`${tag}: built in ${((Date.now() - started) / 1000).toFixed(0)} s`);
}

async function build({ tag, base, dockerfile, files, program }: BuiltImagePlan): Promise<{ code: number; output: string }> {
  const context = mkdtempSync(path.join(tmpdir(), "citus-sharding-image-"));
  try {
    writeFileSync(path.join(context, "Dockerfile"), dockerfile);
    for (const [name, content] of Object.entries(files)) writeFileSync(path.join(context, name), content);
    if (program !== undefined) writeFileSync(path.join(context, "program.cjs"), bundle(program));
    return await docker(["build", "--build-arg", `BASE=${base}`, "--tag", tag, context]);
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}

/** Runs docker and gives its exit code and everything it printed; code 127 if there is no docker. */
function docker(args: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn("docker", args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const collect = (chunk: Buffer): void => void (output += chunk.toString());
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.on("error", ({ message }) => resolve({ code: 127, output: `${output}${message}` }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
