import type { Passwords } from "../config/settings";
import type { DataVolume, StackIdentity } from "../topology/identity";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import type { Backend } from "./backend";
import { Failure } from "./failure";
import { say } from "./print";
import { PROJECT_NAME, stackFile } from "./project";
import type { Pulumi } from "./pulumi";
import { recordedIdentity, recordedVolumes, type RecordedResource } from "./recordedIdentity";
import { lastLine } from "./run";
import { plain } from "./secretValue";
import { hasSecrets, saltOf, withSalt } from "./stackConfiguration";

export type DockerKind = "container" | "network" | "volume";

/** What Pulumi has recorded of a stack. */
export interface State {
  /** Ids of the Docker containers and networks, and names of the volumes, that are recorded; each id with its kind. */
  readonly recorded: ReadonlyMap<string, DockerKind>;
  /** Names of Docker objects that an update was creating when it was killed: they may exist without being recorded. */
  readonly pendingCreates: ReadonlySet<string>;
  /** Number of operations that an update had begun when it was killed. */
  readonly pendingOperations: number;
  /** Number of recorded resources. */
  readonly resources: number;
  readonly outputs: Readonly<Record<string, unknown>>;
  /** What the last update went by; absent if there was none. */
  readonly identity?: StackIdentity;
  /** Salted hashes of the passwords that the data is known to have; absent if no update has written them down. */
  readonly passwordHashes?: Passwords;
  /** The recorded volumes. */
  readonly volumes: readonly DataVolume[];
  /** Whether Pulumi would delete a volume: an older version of the project recorded it so. */
  readonly deletesVolumes: boolean;
}

interface Exported {
  readonly deployment?: {
    readonly resources?: readonly ExportedResource[];
    readonly pending_operations?: readonly { readonly type: string; readonly resource: ExportedResource }[];
    readonly secrets_providers?: { readonly type?: string; readonly state?: { readonly salt?: string } };
  };
}

interface ExportedResource extends RecordedResource {
  readonly id?: string;
  readonly parent?: string;
  readonly retainOnDelete?: boolean;
}

/** The state of a stack from what `pulumi stack export --show-secrets` printed. */
export function stateFrom(exported: string): State {
  const { deployment = {} } = JSON.parse(exported) as Exported;
  const resources = deployment.resources ?? [];
  const pending = deployment.pending_operations ?? [];
  const creating = pending.filter(({ type, resource }) => type === "creating" && kindsOf(resource.type).length > 0);
  const last = recordedIdentity(resources);
  const root = resources.find(({ type }) => type === "pulumi:pulumi:Stack");
  return {
    recorded: new Map(resources.flatMap(({ type, id }) => (id === undefined ? [] : kindsOf(type).map((kind): [string, DockerKind] => [id, kind])))),
    pendingCreates: new Set(creating.map(({ resource }) => String(resource.inputs?.["name"]))),
    pendingOperations: pending.length,
    resources: resources.length,
    outputs: Object.fromEntries(Object.entries(root?.outputs ?? {}).map(([name, value]) => [name, plain(value)])),
    ...(last && { identity: last.identity, ...(last.passwords && { passwordHashes: last.passwords }) }),
    volumes: recordedVolumes(resources),
    deletesVolumes: resources.some((resource) => kindsOf(resource.type)[0] === "volume" && resource.retainOnDelete !== true),
  };
}

/** The kind of Docker object that a resource of this type is, if it is one. */
function kindsOf(type: string): DockerKind[] {
  const kind = /^docker:index\/(container|network|volume):/.exec(type)?.[1];
  return kind === undefined ? [] : [kind as DockerKind];
}

/** A stack's state; undefined if the backend does not know the stack. */
export async function readState(pulumi: Pulumi, backend: Backend): Promise<State | undefined> {
  const exported = await exportState(pulumi, backend);
  return exported === undefined ? undefined : stateFrom(exported);
}

/** A stack's state, with the stack made known to the backend if it is not. */
export async function openState(pulumi: Pulumi, backend: Backend): Promise<State> {
  const exported = await exportState(pulumi, backend);
  if (exported !== undefined) {
    restoreSalt(pulumi.stack, exported);
    return stateFrom(exported);
  }
  await initialize(pulumi, backend);
  return stateFrom("{}");
}

async function exportState(pulumi: Pulumi, backend: Backend): Promise<string | undefined> {
  const { code, stdout, stderr } = await pulumi.run(["stack", "export", "--show-secrets"]);
  if (code === 0) return stdout;
  if (/no stack named/.test(stderr)) return undefined;
  throw new Failure(stateProblem(pulumi.stack, backend, stderr));
}

async function initialize(pulumi: Pulumi, backend: Backend): Promise<void> {
  const init = ["stack", "init", "--no-select"];
  let { code, stderr } = await pulumi.run(init);
  const file = stackFile(pulumi.stack);
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (code !== 0 && /incorrect passphrase/.test(stderr) && backend.own && saltOf(text) !== undefined && !hasSecrets(text)) {
    say(`${path.basename(file)}: took out the encryptionsalt of a passphrase that is gone; nothing is encrypted with it.`);
    writeFileSync(file, withSalt(text, undefined));
    ({ code, stderr } = await pulumi.run(init));
  }
  if (code !== 0 && /incorrect passphrase/.test(stderr) && hasSecrets(text)) {
    const name = path.basename(file);
    throw new Failure(
      `${name} holds secrets that the passphrase in ${backend.passphraseSource} does not open. Set PULUMI_CONFIG_PASSPHRASE to the one that they were made with, ` +
        `or take them and the line encryptionsalt out of ${name} and set them anew: npm run pulumi -- config set --secret superuserPassword --stack ${pulumi.stack}`,
    );
  }
  if (code !== 0) throw new Failure(stateProblem(pulumi.stack, backend, stderr));
}

/** A configuration file that git has put back has lost the salt of its secrets; the state has it, too. */
function restoreSalt(stack: string, exported: string): void {
  const provider = (JSON.parse(exported) as Exported).deployment?.secrets_providers;
  const salt = provider?.type === "passphrase" ? provider.state?.salt : undefined;
  const file = stackFile(stack);
  const text = readFileSync(file, "utf8");
  const current = saltOf(text);
  if (salt === undefined || current === salt || (current !== undefined && hasSecrets(text))) return;
  writeFileSync(file, withSalt(text, salt));
}

/** Takes the salt of a passphrase that is lost out of a stack's configuration, unless something is encrypted with it. */
export function forgetSalt(stack: string): void {
  const file = stackFile(stack);
  const text = readFileSync(file, "utf8");
  if (saltOf(text) !== undefined && !hasSecrets(text)) writeFileSync(file, withSalt(text, undefined));
}

/** What a failure to read a stack's state means, and a way on. */
export function stateProblem(stack: string, backend: Pick<Backend, "own" | "directory" | "passphraseSource">, stderr: string): string {
  const source = backend.passphraseSource;
  const forget = `or give the stack up, which removes its containers and its data: npm run down -- ${stack} --forget`;
  if (/incorrect passphrase/.test(stderr)) {
    const right = source === ".pulumi/passphrase" ? "Put the right file back" : "Set it to the right one, or unset it if the stack was made without";
    return `The passphrase in ${source} does not open the state or the secrets of ${stack}. ${right}; ${forget}`;
  }
  if (/passphrase must be set/.test(stderr)) return `The state of ${stack} in your Pulumi backend is encrypted with a passphrase: set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE and run this command again.`;
  if (/failed to load checkpoint|unexpected end of JSON|invalid character/.test(stderr) && backend.directory !== undefined) {
    const file = path.join(backend.directory, ".pulumi", "stacks", PROJECT_NAME, `${stack}.json`);
    return `The state of ${stack} is damaged. Put its last backup back (cp ${file}.bak ${file}); ${forget}`;
  }
  if (/unable to open bucket|PULUMI_ACCESS_TOKEN|401|invalid access token|could not connect|no such host|connection refused/i.test(stderr)) {
    return `Your Pulumi backend cannot be used: ${lastLine(stderr).replace(/^error: /, "")}. Log in to it again (pulumi login), or unset PULUMI_BACKEND_URL and log out (pulumi logout) to keep the state in this project.`;
  }
  return `Pulumi cannot read the state of ${stack}: ${lastLine(stderr).replace(/^error: /, "")}`;
}
