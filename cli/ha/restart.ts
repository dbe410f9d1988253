import colors from "picocolors";
import { Deadline } from "../../setup/deadline";
import { ready, waitForMembers, type PatroniGroup } from "../../setup/patroniGroup";
import { isInService, isLeader, isPending, type PatroniMember } from "../../setup/patroniRest";
import { restartWherePending, rollingRestart } from "../../setup/patroniRestart";
import { Report } from "../../setup/report";
import { Failure } from "../failure";
import { duration, listed } from "../print";
import { StatusLine } from "../statusLine";
import { aroundSwitchover } from "./aroundSwitchover";
import { explained } from "./explained";
import { chooseGroup, chooseStack, requireMember, type Group, type HighlyAvailable } from "./groups";
import { requireGroups, type LiveGroup } from "./liveGroup";

export interface RestartOptions {
  /** Only members with a pending restart. */
  readonly pending: boolean;
  /** Not set: all groups, or those of the members. */
  readonly group?: string;
}

/** Members of a group to restart. */
export interface Share<In extends Group = Group> {
  readonly group: In;
  readonly members: readonly string[];
}

const TIMEOUT_SECONDS = 600;

/** `npm run ha -- restart [stack] [member…]`: restarts PostgreSQL of members through Patroni, standbys one by one, a leader after it has handed over. */
export async function restart(words: readonly string[], { pending, group }: RestartOptions): Promise<void> {
  const startedAt = performance.now();
  const { stack, rest: names } = chooseStack("restart", words);
  const shares = sharesOf(stack, names, group);
  const live = await requireGroups(stack, shares.map((share) => share.group));
  const due = live.map((one, index) => ({ group: one, members: dueOf(stack.name, one.name, one.cluster.members, shares[index] as Share, pending) })).filter(({ members }) => members.length > 0);
  if (due.length === 0) return console.log(`${colors.green("✓")} No member ${names.length === 0 ? "" : "of these "}waits for a restart.`);

  const status = new StatusLine();
  try {
    for (const share of due) await explained(() => restartShare(stack, share, pending && names.length === 0, status));
  } finally {
    status.end();
  }
  const restarted = due.flatMap(({ members }) => members);
  console.log(`${colors.green("✓")} PostgreSQL of ${listed(restarted)} ${restarted.length === 1 ? "is" : "are"} restarted (${duration(performance.now() - startedAt)}).`);
}

/** The members that were named, by their groups; without names all members of the group, or of all groups. */
export function sharesOf(stack: Pick<HighlyAvailable, "name" | "settings" | "groups">, names: readonly string[], word: string | undefined): Share[] {
  const groups = word === undefined ? stack.groups : [chooseGroup(stack, word)];
  if (names.length === 0) return groups.map((group) => ({ group, members: group.members }));
  const chosen = new Set(names.map((name) => requireMember(stack, name, groups).member));
  return groups.map((group) => ({ group, members: group.members.filter((member) => chosen.has(member)) })).filter(({ members }) => members.length > 0);
}

/**
 * Those of a share that are to be restarted.
 *
 * @throws {@link Failure} if a member of the group is not in service: a restart of another would leave the group with too few.
 */
export function dueOf(stack: string, name: string, seen: readonly PatroniMember[], { group, members }: Share, onlyPending: boolean): string[] {
  const due = members.filter((member) => !onlyPending || seen.some((candidate) => candidate.name === member && isPending(candidate)));
  if (due.length === 0 || ready(seen, group.plan.setup) !== undefined) return due;
  if (!seen.some(isLeader)) throw new Failure(`${name} has no leader, so nothing was restarted: its members elect one when most of them and etcd are healthy.`);
  const idle = group.members.filter((member) => !seen.some((candidate) => candidate.name === member && isInService(candidate)));
  const states = idle.map((member) => `${member} (${seen.find((candidate) => candidate.name === member)?.state ?? "unknown to Patroni"})`);
  throw new Failure(`${listed(states)} of ${name} ${idle.length === 1 ? "is" : "are"} not in service, so nothing was restarted: npm run restart -- ${stack} ${idle.join(" ")} brings ${idle.length === 1 ? "it" : "them"} back.`);
}

async function restartShare(stack: HighlyAvailable, { group, members }: Share<LiveGroup>, wherePending: boolean, status: StatusLine): Promise<void> {
  const report = new Report((line) => status.line(line));
  status.doing(() => report.activity);
  const context: PatroniGroup = { spec: group.plan.setup, rest: group.rest, deadline: new Deadline(TIMEOUT_SECONDS), report, aroundSwitchover: aroundSwitchover(stack, group) };
  const before = await startTimes(group, members);
  if (wherePending) await restartWherePending(context);
  else await rollingRestart(context, ({ name }) => members.includes(name));
  await waitForMembers(context);
  const after = await startTimes(group, members);
  const untouched = members.filter((member) => after.get(member) === before.get(member));
  if (untouched.length > 0) throw new Failure(`${listed(untouched)} ${untouched.length === 1 ? "runs" : "run"} on as before, although Patroni has accepted the restart; docker logs ${untouched[0] ?? ""} has the reason.`);
}

/** When PostgreSQL of each member was started. */
async function startTimes({ rest }: LiveGroup, members: readonly string[]): Promise<ReadonlyMap<string, string | undefined>> {
  return new Map(await Promise.all(members.map(async (member) => [member, (await rest.state(member))?.postmaster_start_time] as const)));
}
