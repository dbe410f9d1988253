import type { EtcdMember } from "../topology/plan";
import type { Deadline } from "./deadline";
import { docker, EXEC_TIMEOUT_MS } from "./docker";

/** A member as etcd lists it. */
export interface MemberEntry {
  /** Hexadecimal: as a number it would not fit into JavaScript's. */
  readonly id: string;
  /** Empty for a member that was added and has never started. */
  readonly name: string;
  readonly peerUrl: string;
  /** Empty like the name. */
  readonly clientUrl: string;
  /** A learner gets its data and does not count in a majority. */
  readonly isLearner: boolean;
}

/** The list of an etcd cluster's members, asked for and changed through whichever member answers. */
export class EtcdMembership {
  /** Why etcd did not answer, or refused a change, the last time. */
  problem = "";

  constructor(private readonly gates: readonly EtcdMember[]) {}

  /** The list that a majority agrees on; undefined if no member answers with one. */
  async list(): Promise<readonly MemberEntry[] | undefined> {
    const answer = await this.etcdctl(["member", "list", "-w", "simple"]);
    return answer?.split("\n").map((line) => {
      const [id = "", , name = "", peerUrl = "", clientUrl = "", isLearner] = line.split(", ");
      return { id, name, peerUrl, clientUrl, isLearner: isLearner === "true" };
    });
  }

  /**
   * Makes a change until the list shows it. etcd refuses some for a moment: 5 s after a member has started it does not
   * take the next one.
   */
  async change(args: readonly string[], isDone: (list: readonly MemberEntry[]) => boolean, deadline: Deadline, late: () => string): Promise<readonly MemberEntry[]> {
    return deadline.poll(async () => {
      const list = await this.list();
      if (list === undefined || isDone(list)) return list;
      await this.etcdctl(["member", ...args]);
      return undefined;
    }, late);
  }

  /** Hands the leadership over, if a member has it: without it, requests in flight would hang for 5 s when it goes. */
  async relieve(leader: MemberEntry, successor: MemberEntry): Promise<void> {
    if (leader.clientUrl !== "") await this.etcdctl([`--endpoints=${leader.clientUrl}`, "move-leader", successor.id]);
  }

  private async etcdctl(args: readonly string[]): Promise<string | undefined> {
    for (const { name } of this.gates) {
      const { code, stdout, stderr } = await docker(["exec", name, "etcdctl", "--command-timeout=2s", ...args], "", EXEC_TIMEOUT_MS);
      if (code === 0) return stdout;
      this.problem = `${name}: ${stderr.slice(stderr.lastIndexOf("\n") + 1)}`;
    }
    return undefined;
  }
}

/** Whether a member, asked by itself, takes part in a majority. */
export async function isHealthy({ name }: EtcdMember): Promise<boolean> {
  return (await docker(["exec", name, "etcdctl", "--command-timeout=500ms", "endpoint", "health"], "", EXEC_TIMEOUT_MS)).code === 0;
}
