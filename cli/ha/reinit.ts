import { setTimeout as delay } from "node:timers/promises";
import colors from "picocolors";
import { isInService, isLeader, type PatroniMember } from "../../setup/patroniRest";
import { confirm } from "../confirm";
import { Failure } from "../failure";
import { duration, listed } from "../print";
import { StatusLine } from "../statusLine";
import { explained } from "./explained";
import { chooseGroup, chooseStack, requireMember } from "./groups";
import { requireGroup, type LiveGroup } from "./liveGroup";

export interface ReinitOptions {
  /** Whether to go on without asking. */
  readonly yes: boolean;
  /** Not set: the member's own. */
  readonly group?: string;
}

const POLL_MS = 200;
/** A large database takes its time to copy, so this is only for a copy that will never end. */
const COPY_TIMEOUT_MS = 6 * 3_600_000;
/** How long Patroni of the member may be silent. */
const SILENCE_MS = 60_000;

/** `npm run ha -- reinit [stack] <member>`: a standby drops its data and copies the leader's; returns when it streams again. */
export async function reinit(words: readonly string[], { yes, group: word }: ReinitOptions): Promise<void> {
  const { stack, rest: names } = chooseStack("reinit", words);
  const [name, ...more] = names;
  if (name === undefined) throw new Failure(`Which standby? npm run ha -- reinit ${stack.name} needs its name: ${listed(stack.groups.flatMap(({ members }) => members))}.`);
  if (more.length > 0) throw new Failure(`One standby at a time: ${listed(names)} are ${names.length}.`);
  const { group, member } = requireMember(stack, name, word === undefined ? stack.groups : [chooseGroup(stack, word)]);
  const live = await requireGroup(stack, group);
  const refusal = reinitRefusal(stack.name, live.name, live.cluster.members, member);
  if (refusal !== undefined) throw new Failure(refusal);
  const before = await live.rest.state(member);
  if (before === undefined) throw new Failure(`Patroni on ${member} does not answer, so nothing was dropped: npm run restart -- ${stack.name} ${member} brings it back.`);
  if (!yes) await confirm(member, consequence(live.name, live.cluster.members, member));

  const startedAt = performance.now();
  const status = new StatusLine();
  try {
    await explained(() => live.rest.reinitialize(member));
    status.line(`${member} drops its data and copies the leader's`);
    await untilStreaming(live, member, before.postmaster_start_time, status);
  } finally {
    status.end();
  }
  console.log(`${colors.green("✓")} ${member} has a new copy and streams again (${duration(performance.now() - startedAt)}).`);
}

/** Why a member's data cannot be dropped now, and what would be right; undefined if it can. */
export function reinitRefusal(stack: string, group: string, members: readonly PatroniMember[], member: string): string | undefined {
  const leader = members.find(isLeader);
  if (leader === undefined) return `${group} has no leader that ${member} could copy, so nothing was dropped.`;
  if (leader.name === member) return `${member} leads ${group}: its data is what the others copy. Hand the lead over first (npm run ha -- switchover ${stack} --group ${group}), then run this command again.`;
  if (!isInService(leader)) return `${leader.name}, which ${member} would copy, leads but does not run (${leader.state}), so nothing was dropped. Wait until it runs.`;
  if (!members.some(({ name }) => name === member)) return `${member} is no member that Patroni knows now, so nothing was dropped: npm run restart -- ${stack} ${member} brings it back.`;
  return undefined;
}

/** What a person should know before a member's data is dropped. */
export function consequence(group: string, members: readonly PatroniMember[], member: string): string {
  const remaining = members.filter((other) => other.name !== member && !isLeader(other) && isInService(other)).map(({ name }) => name);
  const meanwhile = remaining.length === 0 ? `Until it streams again no standby of ${group} can take over.` : `Meanwhile ${listed(remaining)} can take over.`;
  return `All data of ${member} is dropped, and copied anew from ${members.find(isLeader)?.name ?? "the leader"}. ${meanwhile}`;
}

/** Waits until the member streams with a PostgreSQL that was started after `startedBefore`. */
async function untilStreaming({ rest, name: group }: LiveGroup, member: string, startedBefore: string | undefined, status: StatusLine): Promise<void> {
  const endsAt = performance.now() + COPY_TIMEOUT_MS;
  let answeredAt = performance.now();
  let shown = "";
  for (;;) {
    const [members, own] = await Promise.all([rest.members(), rest.state(member)]);
    const now = performance.now();
    if (own !== undefined) answeredAt = now;
    const seen = members?.find((candidate) => candidate.name === member);
    const started = own?.postmaster_start_time;
    if (seen !== undefined && isInService(seen) && started !== undefined && started !== startedBefore) return;
    // The group's word on a member is a round late.
    const state = (own?.state === "running" ? (started === startedBefore ? "stopping" : seen?.state) : own?.state) ?? "starting";
    if (state !== shown) status.line(`${member}: ${state}`);
    shown = state;
    status.doing(`waiting for ${member} to stream (${state})`);
    if (now - answeredAt > SILENCE_MS) throw new Failure(`Patroni on ${member} has not answered for ${duration(SILENCE_MS)}: its copy may be incomplete. docker logs ${member} has the reason; it goes on by itself when it is back.`);
    if (now > endsAt) throw new Failure(`${member} of ${group} does not stream after ${duration(COPY_TIMEOUT_MS)}; docker logs ${member} has the reason. Patroni goes on trying.`);
    await delay(POLL_MS);
  }
}
