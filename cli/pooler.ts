import { spawn } from "node:child_process";
import { once } from "node:events";
import { PAUSE_COMMAND } from "../topology/pooler";
import { say } from "./print";
import { lastLine } from "./run";
import type { Stack } from "./stack";

/** How long a running transaction may hold up a pause. */
const PATIENCE_SECONDS = 5;
const BUSY = 3;

/**
 * Does something that changes the leader while the stack's pooler, if it has one, has its clients wait: transactions that
 * run end first, others begin afterwards, when a leader takes statements. If a transaction does not end within 5 s or
 * the pooler cannot be asked, a line says so and the work is done all the same.
 *
 * The clients go on in any case, also when this process is killed: the pooler's container watches an input that ends
 * with it, and waits no longer than its clients do.
 */
export async function whilePaused<Result>({ plan }: Pick<Stack, "plan">, work: () => Promise<Result>, tell: (line: string) => void = say): Promise<Result> {
  if (plan.pooler === undefined) return work();
  const pause = new Pause(plan.pooler.name);
  const problem = await pause.begun;
  if (problem !== undefined) tell(`${problem}; going on without a pause, so pooled clients may see an error.`);
  try {
    return await work();
  } finally {
    const late = await pause.end();
    if (problem === undefined && late !== undefined) tell(late);
  }
}

/** A pause of a pooler's clients: a script in its container that lasts as long as its input is open. */
class Pause {
  /** Undefined once the clients wait; otherwise why they do not. */
  readonly begun: Promise<string | undefined>;
  private readonly child;
  private readonly closed: Promise<unknown>;
  private stderr = "";

  constructor(private readonly pooler: string) {
    this.child = spawn("docker", ["exec", "--interactive", pooler, ...PAUSE_COMMAND, String(PATIENCE_SECONDS)], { stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdin.on("error", () => undefined); // The script may have ended.
    this.child.stderr.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    // Without a docker there is an error instead of an end.
    this.closed = once(this.child, "close").catch((error: unknown) => (this.stderr = error instanceof Error ? error.message : String(error)));
    this.begun = Promise.race([once(this.child.stdout, "data").then(() => undefined), this.closed.then(() => this.problem())]);
  }

  /** Lets the clients go on, and gives what is wrong if they do not. */
  async end(): Promise<string | undefined> {
    this.child.stdin.end();
    await this.closed;
    return this.child.exitCode === 0 ? undefined : `${this.pooler} did not go on by itself (${lastLine(this.stderr)}): docker restart ${this.pooler}`;
  }

  private problem(): string {
    return this.child.exitCode === BUSY ? `A transaction in ${this.pooler} did not end within ${PATIENCE_SECONDS} s` : `${this.pooler} cannot be paused (${lastLine(this.stderr)})`;
  }
}
