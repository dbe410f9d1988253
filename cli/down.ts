import colors from "picocolors";
import { docker } from "./docker";
import { Failure } from "./failure";
import { existingVolumes, listNetworks, stackContainers, type LiveContainer } from "./live";
import { duration, listed, say, warn } from "./print";
import { clearPendingOperations, hasVanished, releaseLock, stopAndRemove } from "./repair";
import { openSession, stackLabel, type Session } from "./session";
import { containerNames, readStack, volumeNames, type Stack } from "./stack";
import { forgetSalt, readState, type State } from "./state";
import { lastLine } from "./run";
import { update } from "./update";
import { updateFailure } from "./updateFailure";

export interface DownOptions {
  /** The stack's entry in the backend goes, too. */
  readonly remove: boolean;
  /** Everything goes without the state being opened, for a passphrase that is lost. */
  readonly forget: boolean;
  readonly json: boolean;
}

/** What is left of a stack after it went down. */
interface Remains {
  /** Volumes, with their data. */
  readonly volumes: readonly string[];
  /** Whether the backend still knows the stack. */
  readonly state: boolean;
}

/**
 * `npm run down -- <stack>`: removes what a stack has on Docker, whatever state an earlier run left it in: also what no
 * state knows of. Volumes go unless `dataOnDestroy` is `keep`.
 */
export async function down(name: string, { remove, forget, json }: DownOptions): Promise<void> {
  const startedAt = performance.now();
  const stack = planned(name);
  const session = await openSession(name, {}, forget);
  const { backend, pulumi } = session;
  if (backend.directory !== undefined) await releaseLock(pulumi, backend.directory, await stackLabel(session));

  const state = forget ? undefined : await readState(pulumi, backend);
  const label = await stackLabel(session);
  const keep = stack?.settings.dataOnDestroy === "keep";
  if (state !== undefined) await destroy(session, state, label);
  const dropped = await removeUnknown(label, forget || state === undefined, keep, stack);

  if (remove || forget) await forgetStack(session, forget);
  const volumes = stack === undefined ? [] : (await existingVolumes(volumeNames(stack))).filter((volume) => !dropped.includes(volume));
  report(name, { volumes, state: state !== undefined && !remove }, keep, performance.now() - startedAt, json);
}

/** The stack's plan, unless its configuration cannot be read: what is recorded and labelled goes all the same. */
function planned(name: string): Stack | undefined {
  try {
    return readStack(name);
  } catch (error) {
    warn(`${error instanceof Error ? error.message : String(error)}\nWhat Pulumi knows of the stack is removed all the same.`);
    return undefined;
  }
}

async function destroy({ backend, pulumi }: Session, state: State, label: string): Promise<void> {
  const containers = await stackContainers(label);
  await clearPendingOperations(pulumi, state, label, containers);
  const paused = containers.filter(({ status }) => status === "paused").map(({ name }) => name);
  // A paused container cannot be stopped.
  if (paused.length > 0) await docker(["unpause", ...paused]);
  if (state.resources === 0 && state.pendingOperations === 0) return;
  const refresh = (await hasVanished(state, containers)) ? ["--refresh"] : [];
  const { code, other, interrupted, progress } = await update(pulumi, ["destroy", "--yes", "--skip-preview", ...refresh]);
  if (interrupted) throw new Failure(`${pulumi.stack} was not removed to its end. npm run down -- ${pulumi.stack} goes on where it ended.`);
  if (code !== 0) throw new Failure(updateFailure(pulumi.stack, "down", progress.errors, other || `the state is in ${backend.directory ?? "your backend"}`));
}

/**
 * Removes the stack's containers and network that are in no state, and the volumes that those containers used. They have
 * to carry the stack's label and a name of its plan: another copy of the project, with another prefix, has the same label.
 *
 * @returns the volumes that were removed.
 */
async function removeUnknown(label: string, withoutState: boolean, keep: boolean, stack: Stack | undefined): Promise<string[]> {
  const names = new Set(stack === undefined ? [] : containerNames(stack));
  const labelled = await stackContainers(label);
  const containers = labelled.filter(({ name }) => names.has(name));
  const others = labelled.length - containers.length;
  if (others > 0) say(`Left alone: ${others} containers with the label of ${label} that its configuration does not name, such as ${labelled.find(({ name }) => !names.has(name))?.name ?? ""}. Another copy of the project may run them.`);
  if (containers.length > 0) {
    say(`Removing ${listed(containers.map(({ name }) => name))}: ${withoutState ? "found by their label" : "not in the stack's state"}.`);
    await stopAndRemove(containers.map(({ name }) => name));
  }
  for (const { id, name } of (await listNetworks(label)).filter((network) => network.name === stack?.plan.network)) {
    say(`Removing the network ${name}.`);
    const { code, stderr } = await docker(["network", "rm", id]);
    if (code !== 0) throw new Failure(`Docker cannot remove the network ${name}: ${lastLine(stderr)}`);
  }
  if (keep) return [];
  const dropped = await existingVolumes(volumesOf(containers, stack));
  if (dropped.length === 0) return [];
  say(`Removing the volumes ${listed(dropped)}.`);
  const { code, stderr } = await docker(["volume", "rm", ...dropped]);
  if (code !== 0) throw new Failure(`Docker cannot remove the volumes: ${lastLine(stderr)}`);
  return dropped;
}

/** The volumes of removed containers; of those only the ones that the plan names, because others may be somebody's. */
function volumesOf(containers: readonly LiveContainer[], stack: Stack | undefined): string[] {
  const named = new Set(stack === undefined ? [] : volumeNames(stack));
  return [...new Set(containers.flatMap(({ volumes }) => volumes))].filter((volume) => named.has(volume));
}

async function forgetStack({ backend, pulumi }: Session, force: boolean): Promise<void> {
  const { code, stderr } = await pulumi.run(["stack", "rm", "--yes", "--preserve-config", ...(force ? ["--force"] : [])]);
  if (code !== 0 && !/no stack named/.test(stderr)) throw new Failure(`Pulumi could not remove the stack ${pulumi.stack}: ${lastLine(stderr)}`);
  if (force && backend.own) forgetSalt(pulumi.stack);
}

function report(name: string, remains: Remains, keep: boolean, elapsedMs: number, json: boolean): void {
  if (json) return console.log(JSON.stringify({ stack: name, seconds: Number((elapsedMs / 1000).toFixed(1)), remains }, undefined, 2));
  const volumes =
    remains.volumes.length === 0
      ? "No container, network or volume of it is left."
      : `${remains.volumes.length} ${remains.volumes.length === 1 ? "volume is" : "volumes are"} left, with ${keep ? "the data that dataOnDestroy keeps" : "data that no state knows"}: ` +
        `${listed(remains.volumes)}. To drop ${remains.volumes.length === 1 ? "it" : "them"}: docker volume rm ${remains.volumes.join(" ")}.`;
  const state = remains.state ? ` Pulumi still knows the stack, with its history; npm run down -- ${name} --remove takes that away, too.` : "";
  console.log(`\n${colors.green("✓")} ${colors.bold(name)} is down (${duration(elapsedMs)}). ${volumes} Images stay on this machine.${state}`);
}
