import colors from "picocolors";
import { Deadline } from "../../setup/deadline";
import { waitForEtcdsWord } from "../../setup/patroniGroup";
import { isInService, isLeader } from "../../setup/patroniRest";
import { duration, listed } from "../print";
import { StatusLine } from "../statusLine";
import { aroundSwitchover } from "./aroundSwitchover";
import { succession } from "./candidate";
import { explained } from "./explained";
import { chooseGroup, chooseStack, requireMember } from "./groups";
import { requireGroup, type LiveGroup } from "./liveGroup";

export interface SwitchoverOptions {
  /** The member that shall lead; not set: the most advanced synchronous standby. */
  readonly to?: string;
  /** Not set: the group of `to`, or the only group. */
  readonly group?: string;
  readonly json: boolean;
}

/** A switchover at most, and then as much for its old leader to follow, in seconds. */
const SWITCHOVER_SECONDS = 60;
const POLL_MS = 50;

/** `npm run ha -- switchover [stack]`: hands the lead of a group over to a standby, without losing a write. */
export async function switchover(words: readonly string[], { to, group, json }: SwitchoverOptions): Promise<void> {
  const { stack } = chooseStack("switchover", words);
  const named = group === undefined && to !== undefined ? requireMember(stack, to).group : chooseGroup(stack, group);
  const member = to === undefined ? undefined : requireMember(stack, to, [named]).member;
  const live = await requireGroup(stack, named);
  const { leader, candidate } = succession(live.name, live.cluster.members, member);

  const status = new StatusLine();
  try {
    await explained(() => waitForEtcdsWord(live.rest, new Deadline(SWITCHOVER_SECONDS), (activity) => status.doing(activity)));
    const startedAt = performance.now();
    const elapsed = (): number => performance.now() - startedAt;
    const seconds = (milliseconds: number): number => Number((milliseconds / 1000).toFixed(2));
    status.line(`handing the lead of ${live.name} from ${leader} to ${candidate}`);
    status.doing(`waiting for ${candidate} to lead`);
    await explained(() => aroundSwitchover(stack, live)(() => handOver(live, leader, candidate)));
    const ledMs = elapsed();
    status.line(`${candidate} leads`);
    status.doing(() => `waiting for ${leader} to follow`);
    await explained(() => wholeAgain(live));
    const wholeMs = elapsed();
    status.end();
    const followers = live.members.filter((name) => name !== candidate);
    if (json) return console.log(JSON.stringify({ stack: stack.name, group: live.name, from: leader, to: candidate, seconds: seconds(ledMs), wholeSeconds: seconds(wholeMs) }, undefined, 2));
    console.log(`${colors.green("✓")} ${candidate} leads ${live.name} now, after ${leader} (${duration(ledMs)}); ${listed(followers)} ${followers.length === 1 ? "follows" : "follow"} (${duration(wholeMs)}).`);
  } finally {
    status.end();
  }
}

/** Returns when the candidate is in charge: in the group's eyes and by its own word. Patroni's refusal counts unless it leads all the same. */
async function handOver({ rest }: LiveGroup, leader: string, candidate: string): Promise<void> {
  const refusal = await rest.switchover(leader, candidate, SWITCHOVER_SECONDS).then(
    () => undefined,
    (error: unknown) => error as Error,
  );
  const leads = async (): Promise<true | undefined> => {
    const [members, own] = await Promise.all([rest.members(), rest.state(candidate)]);
    const member = members?.find(({ name }) => name === candidate);
    return member !== undefined && isLeader(member) && isInService(member) && own?.role === "primary" && own.state === "running" ? true : undefined;
  };
  if (refusal !== undefined && (await leads()) === undefined) throw refusal;
  const deadline = new Deadline(SWITCHOVER_SECONDS);
  await deadline.poll(leads, () => `${candidate} does not lead ${deadline.seconds} s after Patroni said that it would; docker logs ${candidate} has the reason`, POLL_MS);
}

async function wholeAgain({ rest, members }: LiveGroup): Promise<void> {
  const deadline = new Deadline(SWITCHOVER_SECONDS);
  let late: readonly string[] = members;
  await deadline.poll(
    async () => {
      const seen = (await rest.members()) ?? [];
      late = members.filter((name) => !seen.some((member) => member.name === name && isInService(member)));
      return late.length === 0 ? true : undefined;
    },
    () => `The lead was handed over, but ${listed(late)} ${late.length === 1 ? "does" : "do"} not stream after ${deadline.seconds} s; docker logs ${late[0] ?? ""} has the reason`,
    POLL_MS,
  );
}
