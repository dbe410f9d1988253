import { setTimeout as delay } from "node:timers/promises";
import colors from "picocolors";
import { Failure } from "../failure";
import { duration, listed } from "../print";
import { StatusLine } from "../statusLine";
import { explained } from "./explained";
import { chooseGroup, chooseStack } from "./groups";
import { requireGroups, type LiveGroup } from "./liveGroup";

export interface PauseOptions {
  /** Not set: all groups. */
  readonly group?: string;
}

/** A member takes the mode in its next round, which comes once a second. */
const TAKEN_TIMEOUT_MS = 20_000;
const POLL_MS = 200;

/** `npm run ha -- pause [stack]` and `resume`: Patroni's maintenance mode, on or off. Returns when every member has taken it. */
export async function pause(words: readonly string[], { group }: PauseOptions, paused: boolean): Promise<void> {
  const startedAt = performance.now();
  const { stack } = chooseStack(paused ? "pause" : "resume", words);
  const groups = await requireGroups(stack, group === undefined ? stack.groups : [chooseGroup(stack, group)]);
  const status = new StatusLine();
  try {
    for (const live of groups) {
      await explained(() => setPause(live, paused));
      status.doing(`waiting for ${listed(live.members)} to take it`);
      const late = await membersWithout(live, paused);
      const mode = paused ? "is in maintenance mode" : "is out of maintenance mode";
      if (late.length > 0) throw new Failure(`${live.name} ${mode}, but ${listed(late)} ${late.length === 1 ? "does" : "do"} not answer to have taken it: ${late.length === 1 ? "it takes" : "they take"} it when running again. npm run ha -- list ${stack.name} shows the members.`);
      status.line(`${live.name} ${mode}, and every member knows it`);
    }
  } finally {
    status.end();
  }
  const names = listed(groups.map(({ name }) => name));
  const effect = paused ? `Until npm run ha -- resume ${stack.name} nobody takes over if a leader of ${names} fails, and Patroni starts no PostgreSQL that ends.` : `Leaders of ${names} are guarded again.`;
  console.log(`${colors.green("✓")} ${effect} (${duration(performance.now() - startedAt)})`);
}

async function setPause({ rest, cluster }: LiveGroup, paused: boolean): Promise<void> {
  if ((cluster.pause === true) === paused) return;
  for (const { name } of cluster.members) if ((await rest.state(name)) !== undefined) return rest.patchConfiguration(name, { pause: paused ? true : null });
}

/** The members that have not taken the mode when time is up. */
async function membersWithout({ rest, members }: LiveGroup, paused: boolean): Promise<string[]> {
  const endsAt = performance.now() + TAKEN_TIMEOUT_MS;
  for (;;) {
    const states = await Promise.all(members.map((member) => rest.state(member)));
    const late = members.filter((_, index) => states[index] === undefined || (states[index].pause === true) !== paused);
    if (late.length === 0 || performance.now() > endsAt) return late;
    await delay(POLL_MS);
  }
}
