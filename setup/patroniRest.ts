import type { PatroniSpec } from "../topology/plan";
import { containerState, docker } from "./docker";
import { SetupError } from "./setupError";

/** A member as Patroni's `GET /cluster` tells it. */
export interface PatroniMember {
  readonly name: string;
  readonly role: "leader" | "standby_leader" | "sync_standby" | "quorum_standby" | "replica";
  /** `running` for a leader, `streaming` for a standby that follows it, otherwise what hinders it. */
  readonly state: string;
  /** Parameters whose change waits for a restart, by name. */
  readonly pending_restart_reason?: Readonly<Record<string, { readonly old_value: string; readonly new_value: string }>>;
  readonly pending_restart?: boolean;
}

/** How long Patroni may take to answer; a restart has its own limit. */
const ANSWER_SECONDS = 5;

/**
 * Patroni's REST API, which listens inside the network only: every request is made by curl in the member's container.
 * Source: https://patroni.readthedocs.io/en/latest/rest_api.html
 */
export class PatroniRest {
  constructor(private readonly spec: PatroniSpec) {}

  /** The members that Patroni knows, asked of the first container that answers; undefined if none does. */
  async members(): Promise<PatroniMember[] | undefined> {
    for (const { container } of this.spec.members) {
      const answer = await this.request(container, "GET", "/cluster");
      if (answer?.status === 200) return (JSON.parse(answer.body) as { members: PatroniMember[] }).members;
    }
    return undefined;
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
    const answer = await this.request(container, "GET", "/patroni");
    return answer === undefined ? 0 : ((JSON.parse(answer.body) as { dcs_last_seen?: number }).dcs_last_seen ?? 0);
  }

  /** Restarts PostgreSQL of a member and returns when it accepts connections. */
  async restart(container: string, timeoutSeconds: number): Promise<void> {
    await this.demand(container, "POST", "/restart", {}, timeoutSeconds);
  }

  /** Hands the lead over, without losing a write. */
  async switchover(leader: string, candidate: string, timeoutSeconds: number): Promise<void> {
    await this.demand(leader, "POST", "/switchover", { leader, candidate }, timeoutSeconds);
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
    const { code, stdout } = await docker(["exec", "--interactive", container, ...curl, ...data, `http://localhost:8008${path}`], body === undefined ? "" : JSON.stringify(body));
    if (code !== 0) return undefined;
    const end = stdout.lastIndexOf("\n");
    return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, Math.max(end, 0)) };
  }
}
