import { Agent, request } from "node:http";
import { hostname } from "node:os";
import { ROLE_LABEL, STACK_LABEL } from "../../topology/plan";
import type { Ward } from "./judgement";

/** Where the keeper finds Docker's socket in its own container. */
const SOCKET = "/var/run/docker.sock";
/** At its boot the engine takes connections at once, and answers when it has tried to start every container. */
const LIST_TIMEOUT_MS = 30_000;
/** An inspection waits for whatever Docker does to that container. */
const INSPECT_TIMEOUT_MS = 5000;
const START_TIMEOUT_MS = 30_000;
/** What Docker itself takes where a container says nothing. */
const STOP_GRACE_SECONDS = 10;

interface Listed {
  readonly Id: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly HostConfig: { readonly NetworkMode: string };
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, unknown>> | null };
}

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly State: { readonly Status: string; readonly ExitCode: number; readonly Error: string; readonly StartedAt: string };
  readonly Config: { readonly StopTimeout?: number | null };
  readonly HostConfig: { readonly NetworkMode: string };
}

/** The Docker engine, over its HTTP API. Every question has a time limit. */
export class Engine {
  private readonly agent = new Agent({ keepAlive: true });

  /**
   * @param stack the value of the label that the stack's containers carry.
   * @param network the stack's network: two copies of a project have stacks of one label, and networks of different names.
   */
  constructor(
    private readonly stack: string,
    private readonly network: string,
    private readonly socket = SOCKET,
  ) {}

  /**
   * The stack's containers, the keeper left out. One that Docker is busy with is left out, too.
   *
   * @throws if Docker does not answer, or is another engine than the one that runs this container.
   */
  async wards(): Promise<Ward[]> {
    const filters = JSON.stringify({ label: [`${STACK_LABEL}=${this.stack}`] });
    const listed = (await this.ask("GET", `/containers/json?all=1&filters=${encodeURIComponent(filters)}`, LIST_TIMEOUT_MS)) as Listed[];
    // A container's host name is the beginning of its id.
    if (!listed.some(({ Id }) => Id.startsWith(hostname()))) throw new Error("the engine at this socket does not run this container: set dockerSocket to the socket of the one that does");
    const onNetwork = new Set(listed.filter(({ NetworkSettings }) => this.network in (NetworkSettings.Networks ?? {})).map(({ Id }) => Id));
    const own = listed.filter((container) => container.Labels[ROLE_LABEL] !== "keeper" && onNetwork.has(hostOf(container) ?? container.Id));
    const answers = await Promise.allSettled(own.map(({ Id }) => this.ask("GET", `/containers/${Id}/json`, INSPECT_TIMEOUT_MS) as Promise<Inspected>));
    return answers.flatMap((answer) => (answer.status === "fulfilled" ? [wardOf(answer.value)] : []));
  }

  /** @throws with Docker's reason if it does not start. */
  async start({ id }: Ward): Promise<void> {
    await this.ask("POST", `/containers/${id}/start`, START_TIMEOUT_MS);
  }

  /** @throws with Docker's reason if it does not start again. */
  async restart({ id, stopGraceSeconds }: Ward): Promise<void> {
    // Docker's own grace in a restart is 10 s, whatever the container says.
    await this.ask("POST", `/containers/${id}/restart?t=${stopGraceSeconds}`, stopGraceSeconds * 1000 + START_TIMEOUT_MS);
  }

  private ask(method: "GET" | "POST", path: string, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(timeoutMs);
      const asked = request({ socketPath: this.socket, agent: this.agent, method, path, signal, headers: { host: "docker" } }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("error", reject);
        response.on("end", () => {
          const { statusCode = 0 } = response;
          // 304: it was so already.
          if (statusCode < 300 || statusCode === 304) resolve(text === "" ? undefined : JSON.parse(text));
          else reject(new Error(messageIn(text) ?? `Docker answered ${statusCode}`));
        });
      });
      asked.on("error", (error) => reject(signal.aborted ? new Error(`no answer within ${timeoutMs / 1000} s`) : error));
      asked.end();
    });
  }
}

/** The id of the container whose network namespace another one shares. */
function hostOf({ HostConfig }: Pick<Inspected, "HostConfig">): string | undefined {
  return /^container:(.+)$/.exec(HostConfig.NetworkMode)?.[1];
}

function wardOf(container: Inspected): Ward {
  const { Id, Name, State, Config } = container;
  const host = hostOf(container);
  return {
    id: Id,
    name: Name.replace(/^\//, ""),
    status: State.Status,
    exitCode: State.ExitCode,
    error: State.Error,
    startedAt: new Date(State.StartedAt),
    stopGraceSeconds: Config.StopTimeout ?? STOP_GRACE_SECONDS,
    ...(host !== undefined && { host }),
  };
}

function messageIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { message?: string }).message;
  } catch {
    return undefined;
  }
}
