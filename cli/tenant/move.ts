import { moveTenant } from "../../tenants/move";
import { say, size } from "../print";
import { Failure } from "../failure";
import { chooseTenantStack, clustersOf, explained, onlyWord } from "./stacks";
import { untilInterrupted } from "./interrupt";

export interface MoveCommandOptions {
  readonly to?: string;
  readonly json: boolean;
}

/** `npm run tenant -- move [stack] <tenant> --to <cluster>`: moves a tenant while it is used. */
export async function move(words: readonly string[], { to, json }: MoveCommandOptions): Promise<void> {
  const { stack, rest } = chooseTenantStack("tenant -- move", words);
  const names = stack.plan.clusters.map(({ name }) => name);
  const example = `npm run tenant -- move 42 --to ${names.at(-1) ?? "b"}`;
  const tenant = onlyWord(rest, "tenant", example);
  if (to === undefined) throw new Failure(`To which cluster? There is ${names.join(", ")}. For example: ${example}`);
  const clusters = await clustersOf(stack);
  let bytes = 0;
  const report = await explained(() =>
    untilInterrupted((signal) =>
      moveTenant(clusters, tenant, to, {
        signal,
        onBytes: (copied) => void (bytes = copied),
        onWait: () => void (json || say("  waits for migrations that are being applied")),
        onStep: (step) => {
          if (json) return;
          if (step === "copied") say(`  copied ${size(bytes)}; changes follow`);
          if (step === "verified") say("  both copies are the same");
        },
      }),
    ),
  );
  if (json) return console.log(JSON.stringify({ stack: stack.name, ...report }, undefined, 2));
  const rows = Object.entries(report.rows).map(([name, count]) => `${count.toLocaleString("en-US")} ${name.replace(/^public\./, "")}`);
  console.log(`✓ Tenant ${report.tenant} lives in cluster ${report.to} (epoch ${report.epoch}): ${rows.join(", ")}; ${report.followed} changes followed. It took no writes for ${report.closedMs.toFixed(0)} ms.`);
}
