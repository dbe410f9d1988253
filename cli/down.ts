import colors from "picocolors";
import { identityOf } from "../topology/identity";
import { confirm } from "./confirm";
import { docker } from "./docker";
import { Failure } from "./failure";
import { existingVolumes, listNetworks, stackContainers, type LiveContainer } from "./live";
import { lossesOf, lossSentence } from "./losses";
import { duration, listed, say, warn } from "./print";
import { clearPendingOperations, hasVanished, releaseLock, retainVolumes, stopAndRemove } from "./repair";
import { openSession, stackLabel, type Session } from "./session";
import { containerNames, readStack, volumeNames, type Stack } from "./stack";
import { forgetSalt, readState, type State } from "./state";
import { lastLine } from "./run";
import { update } from "./update";
import { updateFailure } from "./updateFailure";
import { labelledVolumes, removeVolumes } from "./volumes";

export interface DownOptions {
  /** The stack's entry in the backend goes, too. */
  readonly remove: boolean;
  /** Everything goes without the state being opened, for a passphrase that is lost. */
  readonly forget: boolean;
  /** Data goes without a question. */
  readonly yes: boolean;
  readonly json: boolean;
}

/** Longer than the longest grace of a container. */
const STOP_TIMEOUT_MS = 120_000;

/** What is left of a stack after it went down. */
interface Remains {
  /** Volumes, with their data. */
  readonly volumes: readonly string[];
  /** Volumes with the stack's label that neither its state nor its configuration names. */
  readonly others: readonly string[];
  /** Whether the backend still knows the stack. */
  readonly state: boolean;
}

/**
 * `npm run down -- <stack>`: removes what a stack has on Docker, whatever state an earlier run left it in: also what no
 * state knows of. Pulumi keeps the volumes; they are dropped afterwards, by name, unless `dataOnDestroy` is `keep` now.
 *
 * @throws {@link Failure} with what would be lost, if data took writes and nobody says that it may go: then nothing was touched.
 */
export async function down(name: string, { remove, forget, yes, json }: DownOptions): Promise<void> {
  const startedAt = performance.now();
  const stack = planned(name);
  const session = await openSession(name, {}, forget);
  const { backend, pulumi } = session;
  if (backend.directory !== undefined) await releaseLock(pulumi, backend.directory, await stackLabel(session));

  const state = forget ? undefined : await readState(pulumi, backend);
  const label = await stackLabel(session);
  // Without a configuration that can be read nobody knows whether the data may go.
  const keep = stack === undefined || stack.settings.dataOnDestroy === "keep";
  const known = await knownVolumes(label, state, stack);
  if (stack !== undefined && !keep && !yes) await requireConsent(stack, state, known);
  if (state !== undefined) {
    await retainVolumes(pulumi, state);
    await destroy(session, state, label);
  }
  await removeUnknown(label, forget || state === undefined, stack);
  const dropped = keep ? [] : await existingVolumes(known);
  if (dropped.length > 0) say(`Removing the ${dropped.length === 1 ? "volume" : "volumes"} ${listed(dropped)}.`);
  await removeVolumes(dropped);

  if (remove || forget) await forgetStack(session, forget);
  const volumes = await existingVolumes([...new Set([...known, ...(stack === undefined ? [] : volumeNames(stack))])]);
  const others = (await labelledVolumes(label)).filter((volume) => !volumes.includes(volume));
  report(name, { volumes, others, state: state !== undefined && !remove }, keep, performance.now() - startedAt, json);
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

/**
 * The volumes that are the stack's: recorded in its state; or used by its containers or with its label, and with a name of its plan. Another
 * copy of the project, with another prefix, has the same label.
 */
async function knownVolumes(label: string, state: State | undefined, stack: Stack | undefined): Promise<string[]> {
  const named = new Set(stack === undefined ? [] : volumeNames(stack));
  const [containers, labelled] = await Promise.all([stackContainers(label), labelledVolumes(label)]);
  const own = [...containers.flatMap(({ volumes }) => volumes), ...labelled].filter((volume) => named.has(volume));
  return existingVolumes([...new Set([...(state?.volumes ?? []).map(({ name }) => name), ...own])]);
}

/** Asks a person whether data that took writes may go, also that of clusters which the configuration has no more. */
async function requireConsent(stack: Stack, state: State | undefined, volumes: readonly string[]): Promise<void> {
  const known = [...(state === undefined ? [] : [{ ...state.identity, volumes: state.volumes }]), identityOf(stack.settings, stack.passwords)];
  const lost = lossSentence(await lossesOf(volumes, known, stack.settings.images.holder));
  if (lost === undefined) return;
  await confirm(stack.name, `With ${stack.name} its data goes for good: ${lost}. To keep it: npm run pulumi -- config set dataOnDestroy keep --stack ${stack.name}.`);
}

async function destroy({ backend, pulumi }: Session, state: State, label: string): Promise<void> {
  const containers = await stackContainers(label);
  await clearPendingOperations(pulumi, state, label, containers);
  const paused = containers.filter(({ status }) => status === "paused").map(({ name }) => name);
  // A paused container cannot be stopped.
  if (paused.length > 0) await docker(["unpause", ...paused]);
  if (state.resources === 0 && state.pendingOperations === 0) return;
  await stopTogether(containers.filter(({ id }) => state.recorded.has(id)));
  const refresh = (await hasVanished(state, containers)) ? ["--refresh"] : [];
  const { code, other, interrupted, progress } = await update(pulumi, ["destroy", "--yes", "--skip-preview", ...refresh]);
  if (interrupted) throw new Failure(`${pulumi.stack} was not removed to its end. npm run down -- ${pulumi.stack} goes on where it ended.`);
  if (code !== 0) throw new Failure(updateFailure(pulumi.stack, "down", progress.errors, other || `the state is in ${backend.directory ?? "your backend"}`));
}

/** Stops everything but holders at once: Pulumi takes away one member after the other, as it replaces them. */
async function stopTogether(containers: readonly LiveContainer[]): Promise<void> {
  const members = containers.filter(({ role, status }) => role !== "holder" && (status === "running" || status === "paused")).map(({ name }) => name);
  if (members.length === 0) return;
  say(`Stopping ${members.length} ${members.length === 1 ? "container" : "containers"}.`);
  // One that does not stop is stopped, and told of, where it is removed.
  await docker(["stop", ...members], STOP_TIMEOUT_MS);
}

/**
 * Removes the stack's containers and network that are in no state. They have to carry the stack's label and a name of its
 * plan: another copy of the project, with another prefix, has the same label.
 */
async function removeUnknown(label: string, withoutState: boolean, stack: Stack | undefined): Promise<void> {
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
}

async function forgetStack({ backend, pulumi }: Session, force: boolean): Promise<void> {
  const { code, stderr } = await pulumi.run(["stack", "rm", "--yes", "--preserve-config", ...(force ? ["--force"] : [])]);
  if (code !== 0 && !/no stack named/.test(stderr)) throw new Failure(`Pulumi could not remove the stack ${pulumi.stack}: ${lastLine(stderr)}`);
  if (force && backend.own) forgetSalt(pulumi.stack);
}

function report(name: string, remains: Remains, keep: boolean, elapsedMs: number, json: boolean): void {
  if (json) return console.log(JSON.stringify({ stack: name, seconds: Number((elapsedMs / 1000).toFixed(1)), remains }, undefined, 2));
  const state = remains.state ? ` Pulumi still knows the stack, with its history; npm run down -- ${name} --remove takes that away, too.` : "";
  console.log(`\n${colors.green("✓")} ${colors.bold(name)} is down (${duration(elapsedMs)}). ${leftSentence(remains, keep)} Images stay on this machine.${state}`);
}

/** What is left of a stack on Docker, in words. */
export function leftSentence({ volumes, others }: Pick<Remains, "volumes" | "others">, keep: boolean): string {
  const [is, them] = volumes.length === 1 ? ["volume is", "it"] : ["volumes are", "them"];
  const own =
    volumes.length === 0
      ? `No container${others.length === 0 ? ", network or volume" : " or network"} of it is left.`
      : `${volumes.length} ${is} left, with ${keep ? "the data that is kept" : "data that no state knows"}: ${listed(volumes)}. To drop ${them}: docker volume rm ${volumes.join(" ")}.`;
  if (others.length === 0) return own;
  const it = others.length === 1 ? "it" : "them";
  return `${own} Left alone, with its label and named by neither its state nor its configuration: ${listed(others)}. To drop ${it}, unless another copy of the project has ${it}: docker volume rm ${others.join(" ")}.`;
}
