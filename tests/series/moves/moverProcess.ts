import { fork, type ChildProcess } from "node:child_process";
import * as path from "node:path";
import type { ClusterAccess } from "../../../tenants/clusterAccess";
import type { Step } from "./faults";

/** What a mover is told. */
export type MoverOrder =
  | { readonly order: "move"; readonly clusters: readonly ClusterAccess[]; readonly tenant: string; readonly to: string; readonly waitAt: Step | undefined }
  | { readonly order: "go on" };

/** What a mover tells: a step that it has reached, or how the move ended. */
export type MoverMessage = { readonly step: Step } | MoverEnd;
export type MoverEnd = { readonly closedMs: number; readonly attempts: number } | { readonly error: string };

/** A mover as its parent sees it. */
export class MoverProcess {
  /** How the move ended, as the mover said; undefined if it ended without a word. */
  readonly ended: Promise<MoverEnd | undefined>;
  private readonly child: ChildProcess;
  private readonly waiting = new Map<Step, () => void>();
  private readonly reached = new Set<Step>();
  private over = false;

  /** Starts to move a tenant. @param waitAt the step that the mover waits at until it is told to go on. */
  constructor(clusters: readonly ClusterAccess[], readonly tenant: string, to: string, waitAt: Step | undefined) {
    this.child = fork(path.join(__dirname, "mover.ts"), { execArgv: ["--import", "tsx"], stdio: ["ignore", "ignore", "pipe", "ipc"] });
    let [end, stderr]: [MoverEnd | undefined, string] = [undefined, ""];
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    this.child.on("message", (message: MoverMessage) => {
      if (!("step" in message)) end = message;
      else {
        this.reached.add(message.step);
        this.waiting.get(message.step)?.();
      }
    });
    this.ended = new Promise((resolve) =>
      this.child.on("exit", () => {
        this.over = true;
        for (const resume of this.waiting.values()) resume();
        resolve(end ?? (stderr.trim() === "" ? undefined : { error: stderr.trim() }));
      }),
    );
    this.order({ order: "move", clusters, tenant, to, waitAt });
  }

  /** Waits for a step. @returns whether the mover has reached it; else it has ended. */
  async at(step: Step): Promise<boolean> {
    if (!this.reached.has(step) && !this.over) await new Promise<void>((resolve) => this.waiting.set(step, resolve));
    return this.reached.has(step) && !this.over;
  }

  goOn(): void {
    this.order({ order: "go on" });
  }

  /** SIGSTOP, SIGCONT or SIGKILL. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  private order(order: MoverOrder): void {
    // One that was killed a moment ago does not hear it.
    if (this.child.connected) this.child.send(order, () => undefined);
  }
}
