import { writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "./engine";
import { judge, type Ward } from "./judgement";

/** Written at every look that Docker answered; the health check reads its age. */
const HEARTBEAT_FILE = "/run/keeper";
const LOOK_MS = 2000;
/** Between two looks while something is brought back. */
const HURRY_MS = 300;
/** How long until what does not start is tried again: twice as long after each failure, up to the longest. */
const RETRY_MS = 1000;
const LONGEST_RETRY_MS = 15_000;
/** Docker that is silent for so long has another socket than the one that was mounted when the keeper began. */
const SILENT_MS = 60_000;

/** What was tried of a container that is not back yet. */
interface Attempt {
  readonly failures: number;
  /** When it is tried again, in the time of `performance.now()`. */
  readonly nextAt: number;
  readonly problem: string;
}

/** Starts what the engine left down of its stack, and reconnects what is cut off; see {@link judge}. */
export class Keeper {
  private readonly attempts = new Map<string, Attempt>();
  private silence: { readonly since: number; readonly problem: string } | undefined;

  /** @param log takes one line for each thing done. */
  constructor(
    private readonly engine: Engine,
    private readonly log: (line: string) => void,
  ) {}

  /** Keeps the stack until Docker is silent for long. */
  async run(): Promise<void> {
    for (;;) {
      const acted = await this.look();
      if (this.silence !== undefined && performance.now() - this.silence.since > SILENT_MS) {
        this.log("ending, to be started with the socket that Docker has now");
        return;
      }
      await delay(acted ? HURRY_MS : LOOK_MS);
    }
  }

  /** Does what there is to do now; whether there was anything. */
  private async look(): Promise<boolean> {
    const wards = await this.wards();
    for (const { id, status } of wards) if (status === "running") this.attempts.delete(id);
    const { start, restart } = judge(wards, new Date());
    const due = ({ id }: Ward): boolean => (this.attempts.get(id)?.nextAt ?? 0) <= performance.now();
    const work = [
      ...start.filter(due).map((ward) => this.attempt(ward, "started", `it had ended with ${ward.exitCode}${ward.error === "" ? "" : `, and Docker could not start it: ${ward.error}`}`, () => this.engine.start(ward))),
      ...restart.filter(due).map((ward) => this.attempt(ward, "restarted", "its holder was restarted alone", () => this.engine.restart(ward))),
    ];
    await Promise.all(work);
    return work.length > 0;
  }

  private async wards(): Promise<Ward[]> {
    try {
      const wards = await this.engine.wards();
      if (this.silence !== undefined) this.log("Docker answers again");
      this.silence = undefined;
      writeFileSync(HEARTBEAT_FILE, "");
      return wards;
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      if (this.silence?.problem !== problem) this.log(`Docker does not answer: ${problem}`);
      this.silence = { since: this.silence?.since ?? performance.now(), problem };
      return [];
    }
  }

  private async attempt({ id, name }: Ward, done: string, because: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
      this.log(`${name} ${done}: ${because}`);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      const { failures, problem: known } = this.attempts.get(id) ?? { failures: 0, problem: "" };
      this.attempts.set(id, { failures: failures + 1, nextAt: performance.now() + Math.min(RETRY_MS * 2 ** failures, LONGEST_RETRY_MS), problem });
      if (problem !== known) this.log(`${name} could not be ${done} (${because}): ${problem}; trying again`);
    }
  }
}
