import { holderName } from "../topology/plan";
import type { EngineEvent, StepMetadata } from "./pulumi";

/** An error that Pulumi reported. */
export interface UpdateError {
  /** What it happened to: a container, a network, `set-up of a`; absent if it is of the whole update. */
  readonly subject?: string;
  readonly message: string;
}

const DONE: Readonly<Record<string, string>> = { create: "created", update: "changed", "create-replacement": "replaced", delete: "removed" };
const DOING: Readonly<Record<string, string>> = { create: "creating", update: "changing", "create-replacement": "replacing", delete: "removing", "delete-replaced": "replacing", replace: "replacing" };
const CONTAINER = "docker:index/container:Container";
const NETWORK = "docker:index/network:Network";
const COMMAND = "command:local:Command";

/**
 * What an update has done and is doing, made from Pulumi's events. Only what a reader knows by name is told: containers
 * without their holders, networks, and the lines of the set-up.
 */
export class Progress {
  readonly errors: UpdateError[] = [];
  /** How many resources were created, changed and removed, once Pulumi has told. */
  changes: Readonly<Record<string, number>> = {};
  private readonly doing = new Map<string, string>();
  private readonly warned = new Set<string>();

  /** Takes an event in; the lines that it gives a reader. */
  accept(event: EngineEvent): { readonly lines: readonly string[]; readonly warnings: readonly string[] } {
    const { diagnosticEvent, resourcePreEvent, resOutputsEvent, resOpFailedEvent, summaryEvent } = event;
    if (summaryEvent !== undefined) this.changes = summaryEvent.resourceChanges ?? {};
    if (resourcePreEvent !== undefined) this.begin(resourcePreEvent.metadata);
    if (resOpFailedEvent !== undefined) this.doing.delete(resOpFailedEvent.metadata.urn);
    if (resOutputsEvent !== undefined) return { lines: this.finish(resOutputsEvent.metadata), warnings: [] };
    if (diagnosticEvent !== undefined) return this.diagnose(diagnosticEvent);
    return { lines: [], warnings: [] };
  }

  /** Whether anything was created, changed or removed. */
  get changed(): boolean {
    return Object.entries(this.changes).some(([operation, count]) => operation !== "same" && count > 0);
  }

  /** What is being done now: `creating worker1 and worker2`. */
  get activity(): string {
    const subjects = new Map<string, string[]>();
    for (const doing of this.doing.values()) {
      const [verb = "", ...subject] = doing.split(" ");
      subjects.set(verb, [...(subjects.get(verb) ?? []), subject.join(" ")]);
    }
    return [...subjects].map(([verb, names]) => `${verb} ${names.join(", ")}`).join("; ");
  }

  private begin(step: StepMetadata): void {
    const verb = DOING[step.op];
    const subject = subjectOf(step.urn, step);
    if (verb === undefined || subject === undefined) return;
    this.doing.set(step.urn, step.type === COMMAND ? `running ${subject}` : `${verb} ${subject}`);
  }

  private finish(step: StepMetadata): string[] {
    this.doing.delete(step.urn);
    const verb = DONE[step.op];
    if (verb === undefined) return [];
    if (step.type !== CONTAINER && step.type !== NETWORK) return [];
    const subject = subjectOf(step.urn, step);
    return subject === undefined ? [] : [`${verb} ${subject}`];
  }

  private diagnose({ urn, message, severity }: NonNullable<EngineEvent["diagnosticEvent"]>): { lines: readonly string[]; warnings: readonly string[] } {
    const text = message.trim();
    if (severity === "error") {
      const subject = urn === undefined ? undefined : subjectOf(urn);
      this.errors.push({ message: text, ...(subject !== undefined && { subject }) });
    }
    if (severity === "warning" && !this.warned.has(text)) {
      this.warned.add(text);
      return { lines: [], warnings: [text] };
    }
    // Everything that a program of the set-up prints; `debug` holds secrets, and is not for a reader.
    const setup = severity === "info" && urn !== undefined && text !== "" ? /::([^:]+?)(?:-setup|-build|-turn)$/.exec(urn)?.[1] : undefined;
    return { lines: setup === undefined ? [] : text.split("\n").map((line) => `${setup} | ${line}`), warnings: [] };
  }
}

/** What a reader calls a resource; undefined for those that he need not know. */
function subjectOf(urn: string, step?: StepMetadata): string | undefined {
  const [type = "", resource = ""] = urn.split("::").slice(2);
  const kind = type.split("$").at(-1);
  if (kind === COMMAND) {
    if (resource.endsWith("-setup")) return `set-up of ${resource.slice(0, -"-setup".length)}`;
    if (resource.endsWith("-turn")) return `turn of ${resource.slice(0, -"-turn".length)}`;
    return resource.endsWith("-build") ? "build of the Patroni image" : undefined;
  }
  if (kind !== CONTAINER && kind !== NETWORK) return undefined;
  const name = step === undefined ? resource : nameOf(step);
  if (kind === NETWORK) return `network ${name}`;
  return name.endsWith(holderName("")) ? undefined : name;
}

function nameOf({ urn, new: after, old: before }: StepMetadata): string {
  const name = after?.inputs?.["name"] ?? before?.inputs?.["name"];
  return typeof name === "string" ? name : (urn.split("::").at(-1) ?? urn);
}
