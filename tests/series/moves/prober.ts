import { setTimeout as delay } from "node:timers/promises";
import { escapeLiteral, type Client } from "pg";
import { connect } from "../../../cli/connections";
import type { ClusterTarget } from "../../../chaos/target";
import type { Gate } from "./gate";
import type { Probe } from "./openness";

/** A server that takes longer does not answer. */
const ANSWER_MS = 5000;
/** After an error that is no refusal. */
const REST_MS = 200;

/** Asks one cluster again and again, on a connection of its own, whether it takes a tenant's writes: by writing. */
export class Prober {
  private stopping = false;
  private readonly running: Promise<void>;

  /**
   * @param pauseMs between two probes that were taken, or refused.
   * @param onProbe is called with each probe that was acknowledged, as soon as it was.
   */
  constructor(
    private readonly cluster: ClusterTarget,
    private readonly tenant: string,
    private readonly column: string,
    private readonly gate: Gate,
    private readonly pauseMs: number,
    private readonly onProbe: (probe: Probe) => void,
  ) {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
  }

  private async run(): Promise<void> {
    let session: Client | undefined;
    let known: string | undefined;
    while (!this.stopping) {
      await this.gate.pass(async () => {
        try {
          session ??= await connect(this.cluster.uri, ANSWER_MS);
          known ??= await this.knowledge(session);
          await this.probe(session, known);
          await delay(this.pauseMs);
        } catch (error) {
          // Refused, as one of the clusters has to; or the cluster is away.
          const aborted = (error as { code?: string }).code !== undefined && session !== undefined && (await session.query("ROLLBACK").then(() => true, () => false));
          if (!aborted) {
            void session?.end().catch(() => undefined);
            session = undefined;
          }
          await delay(aborted ? this.pauseMs : Math.max(this.pauseMs, REST_MS));
        }
      });
    }
    void session?.end().catch(() => undefined);
  }

  private async probe(session: Client, known: string): Promise<void> {
    const { tenant, column, cluster } = this;
    const beganAt = performance.now();
    const write = `INSERT INTO moves_probes AS known (${column}, cluster, n) VALUES (${tenant}, ${escapeLiteral(cluster.name)}, 1) ON CONFLICT (${column}, cluster) DO UPDATE SET n = known.n + 1`;
    const answers = (await session.query(`BEGIN; ${write}; ${known}; COMMIT`)) as unknown as readonly { readonly rows: readonly { readonly home: string; readonly epoch: string }[] }[];
    const endedAt = performance.now();
    const { home, epoch } = answers[2]?.rows[0] as { home: string; epoch: string };
    this.onProbe({ tenant, cluster: cluster.name, home, epoch: Number(epoch), beganAt, endedAt });
  }

  /** The question where the coordinator's own copies say that the tenant lives: Citus would ask any node's. */
  private async knowledge(session: Client): Promise<string> {
    const { rows } = await session.query<{ ring: string; tenant: string }>(
      "SELECT max(name) FILTER (WHERE relation = 'tenancy.ring'::regclass) AS ring, max(name) FILTER (WHERE relation = 'tenancy.tenant'::regclass) AS tenant FROM (SELECT logicalrelid AS relation, shard_name(logicalrelid, shardid, false) AS name FROM pg_dist_shard) AS own",
    );
    const { ring, tenant } = rows[0] as { ring: string; tenant: string };
    const id = escapeLiteral(this.tenant);
    return `SELECT coalesce(t.home, tenancy.winner(${id}, r.clusters)) AS home, coalesce(t.epoch, 0) AS epoch FROM ${ring} r LEFT JOIN ${tenant} t ON t.tenant = ${id}`;
  }
}
