import colors from "picocolors";
import { isFenced } from "../config/fenced";
import type { PasswordKey } from "../config/settings";
import { custody } from "../setup/custody";
import { identityOf, type DataVolume, type StackIdentity } from "../topology/identity";
import { FIRST_UPDATE } from "../topology/plan";
import { Failure } from "./failure";
import { fencersOff } from "./fencersOff";
import { fencerWarning } from "./fencerWarning";
import { ensureImages } from "./images";
import { existingVolumes, inspectContainers, listContainers, stackContainers } from "./live";
import { changedPasswords, passwordOf } from "./passwords";
import { requireFreePorts } from "./ports";
import { duration, listed as listedNames, say, warn } from "./print";
import { clearPendingOperations, hasVanished, reconnectMembers, releaseLock, removeSuperseded, removeUnrecorded, requireNoStrangers, resumeOrRemove, retainVolumes } from "./repair";
import type { Pulumi } from "./pulumi";
import { openSession, stackLabel } from "./session";
import { lastLine } from "./run";
import { containerNames, readStack, type ConfigurationOptions, type Stack } from "./stack";
import { openState, stateProblem, type State } from "./state";
import { table } from "./table";
import { update } from "./update";
import { conflictingName, updateFailure } from "./updateFailure";
import { leftVolumes, removeVolumes } from "./volumes";

export interface UpOptions extends ConfigurationOptions {
  /** Workers whose lost shards may be re-created empty, comma-separated. */
  readonly acceptLoss?: string;
}

/** `npm run up -- <stack>`: brings a stack to what its configuration says, whatever state an earlier run left it in. */
export async function up(name: string, options: UpOptions): Promise<void> {
  const startedAt = performance.now();
  const stack = readStack(name, options);
  const session = await openSession(name, options.acceptLoss === undefined ? {} : { CITUS_ACCEPT_LOSS: options.acceptLoss });
  const { engine, backend, pulumi } = session;

  if (backend.directory !== undefined) await releaseLock(pulumi, backend.directory, await stackLabel(session));
  const [state, listed] = await Promise.all([openState(pulumi, backend), listContainers()]);
  const label = await stackLabel(session);
  const names = new Set(containerNames(stack));
  const identity = identityOf(stack.settings, stack.passwords);
  await requireCustody(stack, identity, state, await changedPasswords(pulumi, stack, identity, state, options), options.acceptLoss);
  const containers = await inspectContainers(listed.filter((container) => container.stack === label || names.has(container.name)).map(({ id }) => id));
  await requireNoStrangers(stack, label, state, containers);
  await requireFreePorts(stack, label, engine, listed);
  await ensureImages(name, stack.settings);
  await clearPendingOperations(pulumi, state, label, containers);
  const own = containers.filter(({ id }) => state.recorded.has(id));
  await retainVolumes(pulumi, state);
  const superseded = await removeSuperseded(stack, own);
  const present = superseded ? await inspectContainers(own.map(({ id }) => id)) : own;
  const removed = (await resumeOrRemove(present)) || superseded;
  await reconnectMembers(present);
  const vanished = !superseded && (await hasVanished(state, containers));
  if (vanished) say("Something of the stack was removed by hand: comparing all of it with Docker first.");

  await saveConfiguration(pulumi, options);
  if (state.resources === 0) pulumi.environment[FIRST_UPDATE] = "true";
  const args = ["up", "--yes", "--skip-preview", ...(removed || vanished ? ["--refresh"] : [])];
  let result = await update(pulumi, args);
  // What a killed update had asked Docker for may have appeared only now.
  const late = result.progress.errors.map(({ message }) => conflictingName(message)).some((conflict) => conflict !== undefined && state.pendingCreates.has(conflict));
  if (late && !result.interrupted) {
    await removeUnrecorded(state, label, await stackContainers(label));
    result = await update(pulumi, args);
  }
  if (result.interrupted) throw new Failure(`The update of ${name} was stopped before its end. npm run up -- ${name} goes on where it ended, npm run down -- ${name} takes it back.`);
  if (result.code !== 0 && /passphrase/.test(result.other)) throw new Failure(stateProblem(name, backend, result.other));
  if (result.code !== 0) throw new Failure(updateFailure(name, "up", result.progress.errors, result.other));
  await dropSpentVolumes(state.volumes, identity);
  const off = await fencersOff(stack.plan);
  if (off.length > 0) warn(fencerWarning(off));
  console.log(summary(stack, performance.now() - startedAt, result.progress.changed));
}

/**
 * Makes sure that the settings lead to the data that there is. The update asks the same before it touches anything.
 *
 * @throws {@link Failure} with what would be lost, and the way that keeps it.
 */
async function requireCustody({ name, settings }: Stack, identity: StackIdentity, state: State, changed: readonly PasswordKey[], acceptLoss = ""): Promise<void> {
  const { images } = settings;
  const fence = settings.topology === "active-active" && isFenced(settings);
  const refusal = await custody(
    { stack: name, identity, fence, held: [] },
    {
      before: state.identity,
      images: [{ key: "images.citus", image: images.citus }, ...("patroni" in images && images.patroni !== undefined ? [{ key: "images.patroni", image: images.patroni }] : [])],
      holderImage: images.holder,
      changedPasswords: changed,
      // Data without a state is asked after by requireNoStrangers.
      generatedPasswords: [],
      acceptLoss: new Set(acceptLoss.split(",").filter((loss) => loss !== "")),
    },
  );
  if (refusal !== undefined) throw new Failure(refusal);
}

/** Drops the volumes of what the update has taken out of a group or a cluster that goes on without it. */
async function dropSpentVolumes(before: readonly DataVolume[], now: StackIdentity): Promise<void> {
  const left = leftVolumes(before, now);
  const [spent, orphaned] = [await existingVolumes(left.spent), await existingVolumes(left.orphaned)];
  if (spent.length > 0) {
    await removeVolumes(spent);
    say(`Removed the ${spent.length === 1 ? "volume" : "volumes"} ${listedNames(spent)}: what ${spent.length === 1 ? "it" : "they"} held, others hold.`);
  }
  if (orphaned.length > 0) say(`Left, with their data: ${listedNames(orphaned)}. To drop ${orphaned.length === 1 ? "it" : "them"}: docker volume rm ${orphaned.join(" ")}`);
}

/**
 * Saves what `-c` gave, as `pulumi up -c` does. Not by that option itself: with `--config-path` it takes an object's
 * other keys away (Pulumi 3.250), and a cluster that is not in the configuration is removed. Passwords are saved as secrets.
 */
async function saveConfiguration(pulumi: Pulumi, { config, configPath }: ConfigurationOptions): Promise<void> {
  for (const option of config) {
    const equals = option.indexOf("=");
    const flags = [...(configPath ? ["--path"] : []), ...(passwordOf(option, configPath) === undefined ? [] : ["--secret"])];
    const { code, stderr } = await pulumi.run(["config", "set", ...flags, option.slice(0, equals)], { input: option.slice(equals + 1) });
    if (code !== 0) throw new Failure(`Pulumi could not save -c ${option.slice(0, equals)}: ${lastLine(stderr)}`);
  }
}

/** What a user wants to know of a stack that is up: where it is, and what to try. */
export function summary({ name, settings, plan }: Stack, elapsedMs: number, hasChanged: boolean): string {
  const uri = (which = ""): string => `psql "$(npm run -s uri -- ${name}${which === "" ? "" : ` ${which}`})"`;
  const endpoints: [string, string, string][] =
    settings.topology === "active-active"
      ? plan.clusters.map(({ name: cluster, setup: { endpoint } }, index) => [`cluster ${cluster}`, `${endpoint.host}:${endpoint.port}`, uri(index === 0 ? "" : cluster)])
      : passiveEndpoints(plan, settings.ports, uri);
  const container = plan.coordinators?.members[0]?.name ?? plan.clusters[0]?.coordinator?.name ?? "";
  const commands: [string, string][] = [
    ["status", "every node, and a write to every shard"],
    ["demo", "10,000 rooms with members and messages, and where they are"],
    ["restart", "one node after the other"],
    ["down", "take it away, with its data unless dataOnDestroy is keep; it asks first"],
  ];
  return [
    "",
    `${colors.green("✓")} ${colors.bold(name)} is up${hasChanged ? "" : ", and nothing had to change"} (${duration(elapsedMs)}).`,
    "",
    ...table([...endpoints, ["inside", "", `docker exec -it ${container} psql -U postgres`]]),
    "",
    "Try next:",
    ...table(commands.map(([command, purpose]) => [`npm run ${command} -- ${name}`, purpose])),
  ].join("\n");
}

function passiveEndpoints({ clusters, pooler }: Stack["plan"], ports: { standbys: number; statistics: number; pooler: number }, uri: (which?: string) => string): [string, string, string][] {
  const { host = "127.0.0.1", port = 0 } = clusters[0]?.setup.endpoint ?? {};
  const address = host.includes(":") ? `[${host}]` : host;
  return [
    ["leader", `${address}:${port}`, uri()],
    ["standbys", `${address}:${ports.standbys}`, uri("standbys")],
    ...(pooler === undefined ? [] : ([["pooled", `${address}:${ports.pooler}`, uri("pooled")]] satisfies [string, string, string][])),
    ["statistics", `http://${address}:${ports.statistics}/`, ""],
  ];
}
