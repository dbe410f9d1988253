import type { ClusterAccess } from "../../tenants/clusterAccess";
import { placeTenant, type PlaceStep } from "../../tenants/place";

/* A placing that kills itself after a step, as a crash would: `tsx placer.ts <step> <tenant> <cluster>`, and the clusters as JSON on its standard input. */
async function main(): Promise<void> {
  const [step, tenant = "", cluster = ""] = process.argv.slice(2) as [PlaceStep, string, string];
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  const clusters = JSON.parse(Buffer.concat(chunks).toString()) as ClusterAccess[];
  await placeTenant(clusters, tenant, { cluster }, { onStep: (done) => void (done === step && process.kill(process.pid, "SIGKILL")) });
  process.exit();
}

void main();
