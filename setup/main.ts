import { text } from "node:stream/consumers";
import type { SetupSpec } from "../topology/plan";
import { acceptedLosses } from "./acceptedLosses";
import { reconcileCitus } from "./citus";
import { Deadline, watchOver } from "./deadline";
import { reconcileEtcd } from "./etcd";
import { reconcileHAProxy } from "./haproxy";
import { reconcilePatroni } from "./patroni";
import { Report } from "./report";
import { reason, SetupError } from "./setupError";
import { reconcileTenancy } from "./tenancy";
import { takeTurn } from "./turn/takeTurn";

/**
 * Brings the cluster that its standard input plans to that plan: prints a line for each thing that it did or found so,
 * and ends with one sentence and exit code 1 where it cannot. PostgreSQL's password comes in `PGPASSWORD`;
 * `CITUS_ACCEPT_LOSS` names workers, comma-separated, whose lost shards may be created again, empty, and clusters that are gone for good.
 */
async function main(): Promise<void> {
  const spec = JSON.parse(await text(process.stdin)) as SetupSpec;
  const report = new Report();
  const deadline = new Deadline(spec.timeoutSeconds);
  watchOver(deadline, report, fail);
  try {
    await reconcile(spec, deadline, report);
  } catch (error) {
    fail(error instanceof SetupError ? error.message : `The set-up failed while ${report.activity}: ${reason(error)}. Mend that and run the update again`);
  }
}

function reconcile(spec: SetupSpec, deadline: Deadline, report: Report): Promise<void> {
  switch (spec.kind) {
    case "citus":
      return reconcileCitus(spec, acceptedLosses(), deadline, report);
    case "etcd":
      return reconcileEtcd(spec, deadline, report);
    case "patroni":
      return reconcilePatroni(spec, deadline, report);
    case "tenancy":
      return reconcileTenancy(spec, acceptedLosses(), deadline, report);
    case "haproxy":
      return reconcileHAProxy(spec, deadline, report);
    case "turn":
      return takeTurn(spec, report);
    default:
      throw new SetupError(`There is no set-up for ${JSON.stringify((spec as { kind?: unknown }).kind)}`);
  }
}

function fail(sentence: string): never {
  console.error(sentence);
  process.exit(1);
}

void main();
