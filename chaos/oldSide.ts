import { setTimeout as delay } from "node:timers/promises";
import { docker } from "../cli/docker";
import type { RunResult } from "../cli/run";
import type { Outcome } from "./history";
import type { Recorder } from "./recorder";
import type { Shard } from "./tables";

const INTERVAL_MS = 100;
/** Longer than any member waits for a standby that it does not reach before it gives up its lead. */
const TIMEOUT_MS = 45_000;

/** Clients on the machine of a member that is cut off: they insert rows over its own socket, as nobody told them that it leads no more. */
export class OldSide {
  private stopping = false;
  private readonly running: readonly Promise<void>[];

  /**
   * @param shards where rows go, one client for each.
   * @param client gives each client its number.
   */
  constructor(
    private readonly member: string,
    shards: readonly Shard[],
    private readonly recorder: Recorder,
    client: () => number,
  ) {
    this.running = shards.map((shard) => this.run(client(), shard));
  }

  /** Stops the clients, and waits for the answers that are still due. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.running);
  }

  private async run(client: number, { name: shard, key }: Shard): Promise<void> {
    for (let number = 1; !this.stopping; number += 1) {
      const at = this.recorder.now();
      const insert = `INSERT INTO chaos.inserts (key, client, number) VALUES (${key}, ${client}, ${number})`;
      const answer = await docker(["exec", this.member, "psql", "-U", "postgres", "-X", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-c", insert], TIMEOUT_MS);
      const outcome = psqlOutcome(answer);
      this.recorder.record({ type: "insert", client, shard, key: `${client}-${number}`, oldSide: this.member, at, ms: this.recorder.since(at), outcome, ...(outcome !== "ok" && { error: answer.stderr.split("\n")[0] ?? "" }) });
      await delay(INTERVAL_MS);
    }
  }
}

/** What psql was told of a single statement. A warning may say that the wait for a standby was given up, which acknowledges nothing. */
export function psqlOutcome({ code, stderr }: Pick<RunResult, "code" | "stderr">): Outcome {
  if (code === 0) return stderr.includes("WARNING") ? "unknown" : "ok";
  return /(ERROR|FATAL): +(25|28|53|57P03)/.test(stderr) ? "refused" : "unknown";
}
