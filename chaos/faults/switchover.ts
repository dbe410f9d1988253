import { isInService, isLeader, switchOver } from "../../cli/patroniCluster";
import type { Fault } from "./fault";
import { chooseVictim } from "./victim";

/** The leader of a group hands over to a standby that has all that was acknowledged. */
export const switchover: Fault = {
  name: "switchover",
  roles: ["coordinator", "worker"],
  describe: "Patroni hands the lead over to a synchronous standby, as planned",
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, group, shards } = victim;
    if (group === undefined) return { skipped: `${container.name} is a single node, and has nobody to hand over to` };
    const standby = scene.random.pick(group.members.filter((member) => !isLeader(member) && isInService(member) && /^(sync|quorum)_standby$/.test(member.role)));
    if (standby === undefined) return { skipped: `${group.plan.name} has no synchronous standby to hand over to` };
    return {
      targets: [container.name, standby.name],
      ...(shards !== undefined && { shards }),
      async inject() {
        if (!(await switchOver(container.name, standby.name))) throw new Error(`Patroni refused to hand over from ${container.name} to ${standby.name}`);
      },
    };
  },
};
