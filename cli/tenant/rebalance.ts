import { Presets, SingleBar } from "cli-progress";
import { rebalance as rebalanceTenants, type RebalanceReport } from "../../tenants/rebalance";
import { ringInWords, weightsOf } from "../../router/tickets";
import { Failure } from "../failure";
import { duration, say, size } from "../print";
import type { Stack } from "../stack";
import { untilInterrupted } from "./interrupt";
import { ringOf } from "./ringOf";
import { chooseTenantStack, clustersOf, explained, onlyTenantStack, onlyWord } from "./stacks";

/** `npm run tenant -- rebalance [stack]`: spreads the tenants over all clusters of the stack. */
export async function rebalance(words: readonly string[], { json }: { json: boolean }): Promise<void> {
  const stack = onlyTenantStack("tenant -- rebalance", words);
  const ring = ringOf(stack, stack.plan.clusters.map(({ name }) => name));
  await spread(stack, ring, json, `Tenants are spread over ${ringInWords(ring)}`);
}

/** `npm run tenant -- drain [stack] <cluster>`: moves every tenant of a cluster to the others, so that it can be taken out of the stack. */
export async function drain(words: readonly string[], { json }: { json: boolean }): Promise<void> {
  const { stack, rest } = chooseTenantStack("tenant -- drain", words);
  const names = stack.plan.clusters.map(({ name }) => name);
  const cluster = onlyWord(rest, "cluster", `npm run tenant -- drain ${names[0] ?? "a"}`);
  if (!names.includes(cluster)) throw new Failure(`${stack.name} has no cluster "${cluster}". Its clusters are ${names.join(", ")}.`);
  const ring = names.filter((name) => name !== cluster);
  if (ring.length === 0) throw new Failure(`${cluster} is the only cluster of ${stack.name}: there is none that its tenants could move to.`);
  await spread(stack, ringOf(stack, ring), json, `Cluster ${cluster} owns no tenants any more: take it out of clusters and run npm run up -- ${stack.name}`);
}

async function spread(stack: Stack, ring: readonly string[], json: boolean, done: string): Promise<void> {
  const clusters = await clustersOf(stack);
  const bar = new SingleBar({ format: "  {value} of {total} tenants [{bar}] {eta_formatted} left", stream: process.stderr, clearOnComplete: true, hideCursor: true }, Presets.legacy);
  const begunAt = performance.now();
  let begun = false;
  const report = await explained(() =>
    untilInterrupted((signal) =>
      rebalanceTenants(
        clusters,
        ring,
        ({ planned, moved, plannedBytes }) => {
          if (json || planned === 0) return;
          if (!begun) {
            say(`Moving ${planned.toLocaleString("en-US")} tenants, ${size(plannedBytes)}. Ctrl-C stops after those at hand; run it again to go on.`);
            bar.start(planned, 0);
          }
          begun = true;
          bar.update(moved);
        },
        signal,
        () => void (json || say("  waits for migrations that are being applied")),
      ),
    ),
  ).finally(() => bar.stop());
  if (json) console.log(JSON.stringify({ stack: stack.name, ring: Object.keys(weightsOf(ring)), weights: weightsOf(ring), ...report }, undefined, 2));
  else console.log(sentence(report, done, performance.now() - begunAt));
  const [first] = report.failed;
  if (first !== undefined) throw new Failure(`${report.failed.length} tenants could not be moved, and are where they were; the first is ${first.tenant}: ${first.reason}. Run it again.`);
}

function sentence({ moved, movedBytes, longestClosedMs, failed }: RebalanceReport, done: string, tookMs: number): string {
  const what = moved === 0 ? "Nothing had to move" : `Moved ${moved.toLocaleString("en-US")} tenants, ${size(movedBytes)}, in ${duration(tookMs)}; none took no writes for longer than ${longestClosedMs.toFixed(0)} ms`;
  return failed.length > 0 ? `${what}.` : `✓ ${what}. ${done}.`;
}
