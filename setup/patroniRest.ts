import { REST_PORT } from "../topology/patroni";
import { containerState, docker } from "./docker";
import { SetupError } from "./setupError";

/** A member as Patroni's `GET /cluster` tells it. */
export interface PatroniMember {
  readonly name: string;
  readonly role: "leader" | "standby_leader" | "sync_standby" | "quorum_standby" | "replica";
  /** `running` for a leader, `streaming` for a standby that follows it, otherwise what hinders it. */
  readonly state: string;
  readonly timeline?: number;
  /** How far it is behind the leader, in bytes; a text if Patroni does not know. */
  readonly lag?: number | string;
  /** How far what it shows to readers is behind, in bytes; a text if Patroni does not know. */
  readonly replay_lag?: number | string;
  /** Parameters whose change waits for a restart, by name. */
  readonly pending_restart_reason?: Readonly<Record<string, { readonly old_value: string; readonly new_value: string }>>;
  readonly pending_restart?: boolean;
  /** What its configuration says of it beside the role, such as `nofailover`. */
  readonly tags?: Readonly<Record<string, unknown>>;
}

/** A group as one of its members sees it. */
export interface PatroniCluster {
  readonly members: readonly PatroniMember[];
  /** Maintenance mode: Patroni watches, and changes nothing by itself. */
  readonly pause?: boolean;
}

/** A member's own word on itself. */
export interface PatroniState {
  /** `running`, or what PostgreSQL is busy with. */
  readonly state: string;
  /** `master` is what versions of Patroni before 4 say for `primary`. */
  readonly role: "primary" | "master" | "replica" | "standby_leader" | "uninitialized";
  /** When its PostgreSQL was started; absent while there is none. */
  readonly postmaster_start_time?: string;
  /** When it last read etcd, in whole seconds since 1970. */
  readonly dcs_last_seen?: number;
  /** Whether it has taken maintenance mode. */
  readonly pause?: boolean;
  /** Whether its leader has told it, within the time of a lease, that it leads without etcd: until then it takes no lead over. */
  readonly failsafe_mode_is_active?: boolean;
}

/** A change of the leadership as `GET /history` tells it: the timeline that ended, where it ended, why, when, and who led from then on. */
export type PatroniHistoryLine = readonly [timeline: number, lsn: number, reason: string, timestamp?: string, newLeader?: string];

/** How long Patroni may take to answer; a restart has its own limit. */
const ANSWER_SECONDS = 5;
/** How much longer Docker may take than curl in the container: a frozen container does not end a command. */
const DOCKER_SECONDS = 2;
const REST_URL = `http://localhost:${REST_PORT}`;

/**
 * Patroni's REST API, which listens inside the network only: every request is made by curl in the member's container.
 * Source: https://patroni.readthedocs.io/en/latest/rest_api.html
 */
export class PatroniRest {
  /** @param containers the members' containers; one that answers is enough to know the group. */
  constructor(private readonly containers: readonly string[]) {}

  /** The group, asked of the first container that answers and knows a member; undefined if none does. */
  async cluster(): Promise<PatroniCluster | undefined> {
    const body = await this.first("/cluster", (text) => ((JSON.parse(text) as PatroniCluster).members ?? []).length > 0);
    return body === undefined ? undefined : (JSON.parse(body) as PatroniCluster);
  }

  /** The members that Patroni knows; undefined if no container answers. */
  async members(): Promise<readonly PatroniMember[] | undefined> {
    return (await this.cluster())?.members;
  }

  /** Every change of the leadership that Patroni remembers, the oldest first; undefined if no container answers. */
  async history(): Promise<readonly PatroniHistoryLine[] | undefined> {
    const body = await this.first("/history");
    return body === undefined ? undefined : (JSON.parse(body) as PatroniHistoryLine[]);
  }

  /** What a member says of itself; undefined if it does not answer. */
  async state(container: string): Promise<PatroniState | undefined> {
    const answer = await this.request(container, "GET", "/patroni");
    return answer === undefined ? undefined : (JSON.parse(answer.body) as PatroniState);
  }

  /** Those of the containers whose members believe their leader rather than etcd, and would let a lead that is handed over lie for the time of a lease. */
  async inFailsafeMode(): Promise<string[]> {
    const states = await Promise.all(this.containers.map((container) => this.state(container)));
    return this.containers.filter((_, index) => states[index]?.failsafe_mode_is_active === true);
  }

  /** The dynamic configuration. */
  async configuration(container: string): Promise<Record<string, unknown>> {
    return JSON.parse(await this.demand(container, "GET", "/config")) as Record<string, unknown>;
  }

  /** Merges into the dynamic configuration; null takes a key out. */
  async patchConfiguration(container: string, patch: Readonly<Record<string, unknown>>): Promise<void> {
    await this.demand(container, "PATCH", "/config", patch);
  }

  /** When a member last read etcd, in whole seconds since 1970. */
  async lastSeen(container: string): Promise<number> {
    return (await this.state(container))?.dcs_last_seen ?? 0;
  }

  /** Restarts PostgreSQL of a member and returns when it accepts connections. */
  async restart(container: string, timeoutSeconds: number): Promise<void> {
    await this.demand(container, "POST", "/restart", {}, timeoutSeconds);
  }

  /** Hands the lead over, without losing a write. */
  async switchover(leader: string, candidate: string, timeoutSeconds: number): Promise<void> {
    await this.demand(leader, "POST", "/switchover", { leader, candidate }, timeoutSeconds);
  }

  /** Has a standby drop its data and copy the leader's; returns when it has begun. */
  async reinitialize(container: string): Promise<void> {
    await this.demand(container, "POST", "/reinitialize", { force: true });
  }

  /** The answer of the first container whose answer will do. */
  private async first(path: string, suffices: (body: string) => boolean = () => true): Promise<string | undefined> {
    for (const container of this.containers) {
      const answer = await this.request(container, "GET", path);
      if (answer?.status === 200 && suffices(answer.body)) return answer.body;
    }
    return undefined;
  }

  private async demand(container: string, method: string, path: string, body?: object, timeoutSeconds = ANSWER_SECONDS): Promise<string> {
    const answer = await this.request(container, method, path, body, timeoutSeconds);
    if (answer === undefined) throw new SetupError(`Patroni on ${container} does not answer: ${await containerState(container)}. Look at docker logs ${container}, then run the update again`);
    if (answer.status >= 300) throw new SetupError(`Patroni on ${container} refused ${method} ${path}: ${answer.body.trim()}. Mend that and run the update again`);
    return answer.body;
  }

  private async request(container: string, method: string, path: string, body?: object, timeoutSeconds = ANSWER_SECONDS): Promise<{ status: number; body: string } | undefined> {
    const curl = ["curl", "--silent", "--max-time", String(Math.ceil(timeoutSeconds)), "--write-out", "\n%{http_code}", "--request", method];
    const data = body === undefined ? [] : ["--data-binary", "@-"];
    const input = body === undefined ? "" : JSON.stringify(body);
    const { code, stdout } = await docker(["exec", "--interactive", container, ...curl, ...data, `${REST_URL}${path}`], input, (timeoutSeconds + DOCKER_SECONDS) * 1000);
    if (code !== 0) return undefined;
    const end = stdout.lastIndexOf("\n");
    return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, Math.max(end, 0)) };
  }
}

/** Whether a member leads its group. */
export function isLeader({ role }: Pick<PatroniMember, "role">): boolean {
  return role === "leader" || role === "standby_leader";
}

/** Whether a member takes writes by its own word, which it gives without etcd as well. */
export function isRunningPrimary({ role, state }: Pick<PatroniState, "role" | "state">): boolean {
  return (role === "primary" || role === "master") && state === "running";
}

/** Whether a member leads, or follows the leader. */
export function isInService({ role, state }: Pick<PatroniMember, "role" | "state">): boolean {
  return state === (isLeader({ role }) ? "running" : "streaming");
}

/** Whether the leader waits for this standby before it acknowledges a write, so that it can take over without losing one. */
export function isSynchronous({ role }: Pick<PatroniMember, "role">): boolean {
  return role === "sync_standby" || role === "quorum_standby";
}

/** Whether a changed parameter of a member waits for a restart. */
export function isPending({ pending_restart }: Pick<PatroniMember, "pending_restart">): boolean {
  return pending_restart === true;
}
