import { PASSWORD_KEYS } from "../config/settings";
import { keptWithoutPasswords } from "../setup/custodyRefusal";
import { cutOffMembers } from "../topology/cutOff";
import { containersOf, holderName } from "../topology/plan";
import { docker } from "./docker";
import { Failure } from "./failure";
import { existingVolumes, inspectContainers, listNetworks, networkIds, type LiveContainer } from "./live";
import { isHeld, locksOf } from "./lock";
import { listed, say } from "./print";
import type { Pulumi } from "./pulumi";
import { lastLine } from "./run";
import { containerNames, volumeNames, type Stack } from "./stack";
import type { DockerKind, State } from "./state";

const RESTART_TIMEOUT_MS = 120_000;
const UNRECORDED_GRACE_SECONDS = 5;

/**
 * Takes away the lock that a killed update has left.
 *
 * @throws {@link Failure} if the update still runs.
 */
export async function releaseLock(pulumi: Pulumi, backendDirectory: string, label: string): Promise<void> {
  const locks = locksOf(backendDirectory, label);
  if (locks.length === 0) return;
  for (const lock of locks) {
    if (!(await isHeld(lock))) continue;
    throw new Failure(`Another update of ${pulumi.stack} is running (pid ${lock.pid} on ${lock.hostname}, since ${lock.timestamp}). Wait until it ends, or end it (kill ${lock.pid}), and run this command again.`);
  }
  say("An earlier update was killed: releasing its lock.");
  await command(pulumi, ["cancel", "--yes"], "release the lock of the killed update");
}

/**
 * Forgets what a killed update was in the middle of, after removing the containers and networks that it had created
 * and not yet recorded. Volumes are left: the next update takes them over.
 */
export async function clearPendingOperations(pulumi: Pulumi, state: State, label: string, containers: readonly LiveContainer[]): Promise<void> {
  if (state.pendingOperations === 0) return;
  await removeUnrecorded(state, label, containers);
  const exported = await command(pulumi, ["stack", "export"], "export the state");
  const checkpoint = JSON.parse(exported) as { deployment: { pending_operations?: unknown } };
  delete checkpoint.deployment.pending_operations;
  await command(pulumi, ["stack", "import"], "import the state", JSON.stringify(checkpoint));
  say(`An earlier update was killed in the middle of ${state.pendingOperations} ${state.pendingOperations === 1 ? "operation" : "operations"}: they are done again.`);
}

/** Has Pulumi keep every volume that it has recorded, whatever becomes of it: an older version of the project let it delete them. */
export async function retainVolumes(pulumi: Pulumi, { deletesVolumes }: State): Promise<void> {
  if (!deletesVolumes) return;
  const checkpoint = JSON.parse(await command(pulumi, ["stack", "export"], "export the state")) as { deployment: { resources?: { type: string; retainOnDelete?: boolean }[] } };
  for (const resource of checkpoint.deployment.resources ?? []) if (resource.type === "docker:index/volume:Volume") resource.retainOnDelete = true;
  await command(pulumi, ["stack", "import"], "import the state", JSON.stringify(checkpoint));
}

/**
 * Removes containers that an older version of the project made without a holder: they have the ports that their holders are to have.
 *
 * @returns whether there were any.
 */
export async function removeSuperseded(stack: Pick<Stack, "plan">, own: readonly LiveContainer[]): Promise<boolean> {
  const held = new Set(containersOf(stack.plan).flatMap(({ name, held: has }) => (has ? [name] : [])));
  const names = own.filter(({ name, host }) => held.has(name) && host === undefined).map(({ name }) => name);
  if (names.length === 0) return false;
  say(`Removing ${listed(names)}: an older version of the project made ${names.length === 1 ? "it" : "them"} without a holder, which takes the ports now. Made again.`);
  await stopAndRemove(names);
  return true;
}

/** Removes what a killed update was creating when it ended: of this stack, in its state as begun, and not as done. */
export async function removeUnrecorded(state: Pick<State, "recorded" | "pendingCreates">, label: string, containers: readonly LiveContainer[]): Promise<void> {
  const unrecorded = containers.filter(({ id, name, stack }) => stack === label && state.pendingCreates.has(name) && !state.recorded.has(id));
  const networks = (await listNetworks(label)).filter(({ id, name }) => state.pendingCreates.has(name) && !state.recorded.has(id));
  if (unrecorded.length > 0) {
    const names = unrecorded.map(({ name }) => name);
    say(`Removing ${listed(names)}: a killed update created ${names.length === 1 ? "it" : "them"} without recording it.`);
    // A database that is just being created does not heed the signal; it has nothing to lose either.
    await stopAndRemove(names, UNRECORDED_GRACE_SECONDS);
  }
  for (const { id, name } of networks) {
    say(`Removing the network ${name}: a killed update created it without recording it.`);
    await docker(["network", "rm", id]);
  }
}

/** Stops containers as they ask for, within `graceSeconds` or what each has, and removes them; their named volumes stay. */
export async function stopAndRemove(names: readonly string[], graceSeconds?: number): Promise<void> {
  const [holders, members] = [names.filter((name) => name.endsWith("-holder")), names.filter((name) => !name.endsWith("-holder"))];
  for (const group of [members, holders].filter(({ length }) => length > 0)) {
    // A paused container cannot be stopped.
    await docker(["unpause", ...group]);
    await docker(["stop", ...(graceSeconds === undefined ? [] : ["--time", String(graceSeconds)]), ...group], RESTART_TIMEOUT_MS);
    const { code, stderr } = await docker(["rm", "--force", ...group]);
    if (code !== 0 && !/no such container/i.test(stderr)) throw new Failure(`Docker cannot remove ${listed(group)}: ${lastLine(stderr)}`);
  }
}

/**
 * Whether something that the state records is gone from Docker, removed by hand. Pulumi notices that only when it
 * refreshes every resource, which takes seconds; asking Docker takes a tenth of one.
 */
export async function hasVanished({ recorded }: State, containers: readonly LiveContainer[]): Promise<boolean> {
  const of = (kind: DockerKind): string[] => [...recorded].flatMap(([id, recordedKind]) => (recordedKind === kind ? [id] : []));
  const present = new Set(containers.map(({ id }) => id));
  if (of("container").some((id) => !present.has(id))) return true;
  const [networks, volumes] = await Promise.all([networkIds(), existingVolumes(of("volume"))]);
  return of("network").some((id) => !networks.has(id)) || volumes.length < of("volume").length;
}

/**
 * Resumes containers that were paused, and starts those that were stopped: holders first, because members live in them.
 *
 * @returns why some of them do not start, if so.
 */
export async function resumeContainers(containers: readonly LiveContainer[]): Promise<string | undefined> {
  const paused = containers.filter(({ status }) => status === "paused").map(({ name }) => name);
  if (paused.length > 0) {
    say(`Resuming ${listed(paused)}: paused by hand.`);
    await docker(["unpause", ...paused]);
  }
  const stopped = containers.filter(({ status }) => status === "exited" || status === "created");
  if (stopped.length === 0) return undefined;
  const isHolder = ({ role }: LiveContainer): boolean => role === "holder";
  const members = stopped.filter((container) => !isHolder(container));
  say(`Starting ${listed((members.length > 0 ? members : stopped).map(({ name }) => name))}: stopped.`);
  for (const group of [stopped.filter(isHolder), members].filter(({ length }) => length > 0)) {
    const { code, stderr } = await docker(["start", ...group.map(({ name }) => name)], RESTART_TIMEOUT_MS);
    if (code !== 0) return stderr.split("\n")[0]?.replace(/^Error response from daemon: /, "") ?? "";
  }
  return undefined;
}

/**
 * Resumes and starts what is paused and stopped, and removes what does not start, so that the update makes it again: its
 * network may be gone, for example. The data is in volumes, and stays.
 *
 * @returns whether something was removed.
 */
export async function resumeOrRemove(containers: readonly LiveContainer[]): Promise<boolean> {
  const problem = await resumeContainers(containers);
  if (problem === undefined) return false;
  const now = await inspectContainers(containers.map(({ id }) => id));
  const dead = new Set(now.filter(({ status }) => status !== "running").map(({ name }) => name));
  const names = now.map(({ name }) => name).filter((name) => dead.has(name) || dead.has(holderName(name)));
  const told = names.filter((name) => !names.includes(name.replace(/-holder$/, "")) || !name.endsWith("-holder"));
  say(`${listed(told)} ${told.length === 1 ? "does" : "do"} not start (${problem}): made again, with the data that there is.`);
  await stopAndRemove(names);
  return true;
}

/** Restarts members that lost their network because their holder was restarted alone. */
export async function reconnectMembers(containers: readonly LiveContainer[]): Promise<void> {
  for (const { name } of cutOffMembers(containers)) {
    say(`Restarting ${name}: its holder was restarted alone, which cut it off.`);
    const { code, stderr } = await docker(["restart", name], RESTART_TIMEOUT_MS);
    if (code !== 0) throw new Failure(`Docker cannot restart ${name}: ${lastLine(stderr)}`);
  }
}

/**
 * Makes sure that nothing stands in the way of a stack that is not its own.
 *
 * @throws {@link Failure} that names a container of the same name, or data whose passwords are lost.
 */
export async function requireNoStrangers(stack: Stack, label: string, state: State, containers: readonly LiveContainer[]): Promise<void> {
  const names = new Set(containerNames(stack));
  const strangers = containers.filter(({ name, id }) => names.has(name) && !state.recorded.has(id) && !state.pendingCreates.has(name));
  const [foreign] = strangers.filter((container) => container.stack !== label);
  if (foreign !== undefined) {
    throw new Failure(
      `There is a container ${foreign.name} that does not belong to ${stack.name}${foreign.stack === undefined ? "" : ` but to ${foreign.stack}`}. Give it another name (docker rename ${foreign.name} ${foreign.name}-other), ` +
        `or remove it (docker rm -f ${foreign.name}), and run npm run up -- ${stack.name} again`,
    );
  }
  if (strangers.length > 0) {
    throw new Failure(
      `Containers of ${stack.name} run on this Docker that this project's state does not know (${listed(strangers.map(({ name }) => name))}): they come from another copy of the project, ` +
        `or its state was deleted. Bring the stack down where it was made, or remove it from here: npm run down -- ${stack.name}`,
    );
  }
  // Generated passwords are in the state of a stack that has one.
  const missing = state.identity === undefined ? PASSWORD_KEYS[stack.settings.topology].filter((key) => !stack.passwords.includes(key)) : [];
  if (missing.length === 0) return;
  const leftOver = (await existingVolumes(volumeNames(stack))).filter((volume) => !state.recorded.has(volume) && !state.pendingCreates.has(volume));
  if (leftOver.length > 0) throw new Failure(keptWithoutPasswords(stack.name, leftOver, missing));
}

async function command(pulumi: Pulumi, args: readonly string[], purpose: string, input = ""): Promise<string> {
  const { code, stdout, stderr } = await pulumi.run(args, { input });
  if (code !== 0) throw new Failure(`Pulumi could not ${purpose}: ${lastLine(stderr)}`);
  return stdout;
}
