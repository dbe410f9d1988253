import { setTimeout as delay } from "node:timers/promises";
import { PatroniRest } from "../../setup/patroniRest";
import { bringBack, command } from "./command";
import { hold, type Fault } from "./fault";
import { killStrike } from "./killStrike";
import { chooseVictim } from "./victim";

/** Longer than a leader takes to notice, and to ask its standbys whether it may go on. */
const AWAY_MS = 30_000;
const POLL_MS = 200;
/** Shorter than what a standby promises its leader meanwhile, the time of a lease. */
const LATEST_MS = 15_000;

/** A leader dies soon after etcd was away, while its standbys might still go by its word. */
export const killAfterOutage: Fault = {
  name: "kill-after-outage",
  roles: ["coordinator", "worker"],
  describe: `docker kill of a leader, up to ${LATEST_MS / 1000} s after etcd has its majority again, which was away until its standbys went by the leader's word`,
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, group, shards } = victim;
    const etcd = (scene.target.plan.etcd?.members ?? []).map(({ name }) => name);
    if (group === undefined || etcd.length === 0) return { skipped: `${container.name} has no lease in etcd` };
    const members = group.plan.members.map(({ name }) => name);
    if (members.length < 2) return { skipped: `${container.name} has no standby` };
    const majority = etcd.slice(0, Math.floor(etcd.length / 2) + 1);
    const laterMs = Math.round(scene.random.next() * LATEST_MS);
    return {
      ...killStrike([container.name], hold(scene, { leastMs: 1000, mostMs: 30_000 }), shards),
      details: { laterMs },
      prepare: async () => {
        await command(["pause", ...majority]);
        try {
          const rest = new PatroniRest(members);
          for (const endsAt = performance.now() + AWAY_MS; (await rest.inFailsafeMode()).length < members.length - 1; await delay(POLL_MS)) {
            if (performance.now() > endsAt) throw new Error(`the standbys of ${container.name} did not go by its word within ${AWAY_MS / 1000} s`);
          }
        } finally {
          await bringBack(majority);
        }
        await delay(laterMs);
      },
    };
  },
};
