import * as pulumi from "@pulumi/pulumi";

/** A resource as the engine would have been asked for it. */
export interface Registered {
  readonly type: string;
  readonly name: string;
  /** Inputs with their secrets unwrapped. */
  readonly inputs: Readonly<Record<string, unknown>>;
  /** Paths of inputs that were secrets, such as `environment.PGPASSWORD` or `envs[2]`. */
  readonly secrets: readonly string[];
}

/** What the engine would have been told of a resource beside its inputs. */
export interface Registration {
  readonly type: string;
  readonly name: string;
  /** Names of what it was told to wait for. */
  readonly dependsOn: readonly string[];
  readonly retainOnDelete: boolean;
  readonly ignoreChanges: readonly string[];
}

/** The part of the engine's request that is not handed to mocks. */
interface RegisterRequest {
  getType(): string;
  getName(): string;
  getDependenciesList(): string[];
  getRetainondelete(): boolean | undefined;
  getIgnorechangesList(): string[];
}

/** A resource's options, as a transformation of its component sees them. */
export interface Options {
  readonly name: string;
  readonly options: pulumi.CustomResourceOptions;
}

const SECRET = "1b47061264138c4ac30d75fd1eb44270"; // The signature that marks a secret on the wire.
const SIGNATURE = "4dabf18193072939515e22adb298388d";

/**
 * Runs a program under mocks and gives every resource that it registered. Mocks have gaps: names are not checked by a
 * provider, and two resources with one URN pass unnoticed, so that tests compare URNs themselves.
 */
export async function underMocks<T>(stack: string, program: () => Promise<T> | T): Promise<{ result: T; resources: Registered[]; registrations: Registration[] }> {
  const resources: Registered[] = [];
  const registrations: Registration[] = [];
  await pulumi.runtime.setMocks(
    {
      call: ({ inputs }) => inputs as Record<string, unknown>,
      newResource: ({ type, name, inputs }) => {
        const secrets: string[] = [];
        const plain = unwrap(inputs, "", secrets) as Record<string, unknown>;
        resources.push({ type, name, inputs: plain, secrets });
        return { id: `${name}-id`, state: { ...plain, ...computed(type, name, plain) } };
      },
    },
    "citus-sharding",
    stack,
    false,
    "organization",
  );
  const monitor = pulumi.runtime.getMonitor() as unknown as { registerResource: (request: RegisterRequest, ...rest: unknown[]) => unknown };
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, ...rest) => {
    registrations.push({
      type: request.getType(),
      name: request.getName(),
      dependsOn: request.getDependenciesList().map((urn) => urn.split("::").at(-1) ?? urn),
      retainOnDelete: request.getRetainondelete() ?? false,
      ignoreChanges: request.getIgnorechangesList(),
    });
    return register(request, ...rest);
  };
  const result = await program();
  // Drains registrations that nothing awaits; the SDK's own tests use it, its types leave it out.
  await (pulumi.runtime as unknown as { waitForRPCs: () => Promise<void> }).waitForRPCs();
  return { result, resources, registrations };
}

/** What a provider would have added to the inputs. */
function computed(type: string, name: string, inputs: Record<string, unknown>): Record<string, unknown> {
  if (type === "docker:index/remoteImage:RemoteImage") return { imageId: `sha256:${String(inputs["name"])}` };
  if (type === "command:local:Command") return { stdout: `output of ${name}`, stderr: "" };
  return {};
}

function unwrap(value: unknown, path: string, secrets: string[]): unknown {
  if (Array.isArray(value)) return value.map((item, index) => unwrap(item, `${path}[${index}]`, secrets));
  if (typeof value !== "object" || value === null) return value;
  const object = value as Record<string, unknown>;
  if (object[SIGNATURE] === SECRET) {
    secrets.push(path);
    return unwrap(object["value"], path, secrets);
  }
  return Object.fromEntries(Object.entries(object).map(([key, item]) => [key, unwrap(item, path === "" ? key : `${path}.${key}`, secrets)]));
}

/** The value of an output, out of `apply`, where a failed expectation would not fail the test. */
export function valueOf<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((resolve) => void output.apply(resolve));
}

/** Options of a component that record those of each of its descendants. */
export function recording(): { options: pulumi.ComponentResourceOptions; recorded: Options[] } {
  const recorded: Options[] = [];
  return {
    recorded,
    options: {
      transformations: [
        ({ name, opts }) => {
          recorded.push({ name, options: opts });
          return undefined;
        },
      ],
    },
  };
}
