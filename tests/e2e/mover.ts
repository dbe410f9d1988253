import { moveTenant, type MoveStep } from "../../tenants/move";
import type { ClusterAccess } from "../../tenants/clusterAccess";

/*
 * A mover of its own, which kills itself after a step as a crash would: `tsx mover.ts <step> <tenant> <to>`, and the clusters as JSON on its standard input.
 */
async function main(): Promise<void> {
  const [step, tenant = "", to = ""] = process.argv.slice(2) as [MoveStep, string, string];
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  const clusters = JSON.parse(Buffer.concat(chunks).toString()) as ClusterAccess[];
  await moveTenant(clusters, tenant, to, {
    onStep: (done) => {
      if (done === step) process.kill(process.pid, "SIGKILL");
    },
  });
}

void main();
