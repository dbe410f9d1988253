import { command } from "./command";
import { hold, type Fault } from "./fault";
import { chooseVictim } from "./victim";

const HOLD_MS = 8000;

/** How a container is attached to a network, as Docker tells it. */
interface Attachment {
  readonly Aliases: readonly string[] | null;
}

/** A node loses its network: what is sent to it goes nowhere, and nobody refuses it. */
export const network: Fault = {
  name: "network",
  roles: ["coordinator", "worker"],
  onRequest: ["standby", "worker-standby", "etcd", "haproxy"],
  describe: `the node is taken off the stack's network, for ${HOLD_MS / 1000} s`,
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, addressed, shards } = victim;
    const name = scene.target.plan.network;
    const attached = async (): Promise<Attachment | undefined> =>
      (JSON.parse(await command(["inspect", "--format", "{{json .NetworkSettings.Networks}}", addressed])) as Record<string, Attachment>)[name];
    const before = await attached();
    if (before === undefined) return { skipped: `${addressed} is not on the network ${name}` };
    return {
      targets: [container.name],
      ...(shards !== undefined && { shards }),
      inject: async () => void (await command(["network", "disconnect", name, addressed])),
      async heal() {
        return (await attached()) === undefined ? [await reconnect(name, addressed, before)] : [];
      },
      hold: hold(scene, { leastMs: HOLD_MS, mostMs: HOLD_MS }),
    };
  },
};

/** Attaches a container by its names. Not by its address, which Docker would insist on from then on, and not start the container where another one has it after a boot. */
async function reconnect(name: string, container: string, { Aliases }: Attachment): Promise<string> {
  await command(["network", "connect", ...(Aliases ?? []).flatMap((alias) => ["--alias", alias]), name, container]);
  return `docker network connect ${name} ${container}`;
}
