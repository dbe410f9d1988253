import type { Random } from "../random";
import type { Shard } from "../tables";
import type { Target } from "../target";

/** What a fault hits. `worker` is a single worker, or the leader of a worker group; `stack` is all of it. */
export type TargetRole = "coordinator" | "worker" | "standby" | "worker-standby" | "etcd" | "haproxy" | "guard" | "fencer" | "stack";

/** One kind of fault: an entry of the catalogue. */
export interface Fault {
  readonly name: string;
  /** What it hits, in a run that names no role. */
  readonly roles: readonly TargetRole[];
  /** What it hits beside those when asked to. */
  readonly onRequest?: readonly TargetRole[];
  /** What is done, in some words. */
  readonly describe: string;
  /** Chooses what to hit, and finds out what has to be known for that. Does nothing to the stack. */
  readonly aim: (scene: Scene, role: TargetRole) => Promise<Strike | Skipped>;
}

/** Where a fault happens. */
export interface Scene {
  readonly target: Target;
  readonly shards: readonly Shard[];
  readonly random: Random;
  /** How long the fault lasts, in milliseconds, if the user said so. */
  readonly holdMs?: number;
  /** What power cuts take, if the user said so, and whether they are shaped to find the narrow moments. */
  readonly cuts?: readonly CutExtent[];
  readonly shaped?: boolean;
  /** The command that restarts this machine's Docker engine, if the user gave it. */
  readonly engineRestart?: string;
}

/** What a power cut takes: database members; etcd with them; or every container of the stack, holders and all. */
export type CutExtent = "databases" | "etcd" | "everything";

/** A fault that is ready to happen. */
export interface Strike {
  /** The containers that it hits. */
  readonly targets: readonly string[];
  /** Names of the shards whose writes may stop. Absent: all. */
  readonly shards?: readonly string[];
  /** What was chosen by chance, by name; kept in the history. */
  readonly details?: Readonly<Record<string, string | number>>;
  /** Gets the stack to where it is to happen. Does no harm. @throws if it could not. */
  readonly prepare?: () => Promise<void>;
  /** Members that are cut off and may still take statements over their own socket: clients on that side write there meanwhile. */
  readonly cutOff?: readonly string[];
  /** Lets it happen. @throws if it could not. */
  readonly inject: () => Promise<void>;
  /** Undoes it, if it does not end by itself; gives what was done. Run a second time it finds nothing to do. @throws if it could not. */
  readonly heal?: () => Promise<readonly string[]>;
  /** When it is undone: once every shard takes writes, but not before `leastMs` and not after `mostMs`. */
  readonly hold?: Hold;
}

export interface Hold {
  readonly leastMs: number;
  readonly mostMs: number;
}

/** Why a fault cannot happen here, in one sentence without a full stop. */
export interface Skipped {
  readonly skipped: string;
}

/** A time to hold that the user may set: exactly that, then. */
export function hold(scene: Scene, usual: Hold): Hold {
  return scene.holdMs === undefined ? usual : { leastMs: scene.holdMs, mostMs: scene.holdMs };
}
