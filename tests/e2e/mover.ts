import { moveTenant, moveTogether, openSites, type MoveOptions, type MoveStep } from "../../tenants/move";
import type { ClusterAccess } from "../../tenants/clusterAccess";
import { beforeStatement, CLEANING } from "./beforeStatement";

/*
 * A mover of its own, which kills itself after a step as a crash would, or stands still as on a laptop that is closed: `tsx mover.ts <signal> <step> <tenant> <to>`, and the clusters as JSON on its standard input. The
 * step "cleaning" is that it is about to delete rows in parts. Tenants with commas between them move together.
 */
async function main(): Promise<void> {
  const [signal, step, tenant = "", to = ""] = process.argv.slice(2) as [NodeJS.Signals, MoveStep | "cleaning", string, string];
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  const clusters = JSON.parse(Buffer.concat(chunks).toString()) as ClusterAccess[];
  const stop = async (): Promise<void> => {
    // What reads this knows that it stands still a moment later.
    if (signal === "SIGSTOP") await new Promise<void>((resolve) => process.stdout.write("stopped\n", () => resolve()));
    process.kill(process.pid, signal);
  };
  if (step === "cleaning") beforeStatement(CLEANING, stop);
  const options: MoveOptions = { onStep: (done) => (done === step ? stop() : undefined) };
  const names = clusters.map(({ name }) => name);
  if (tenant.includes(",")) await moveTogether(await openSites(clusters, "citus-sharding move", names), names, tenant.split(","), { to }, options);
  else await moveTenant(clusters, tenant, to, options);
  process.exit();
}

void main();
