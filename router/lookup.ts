import type { Claim, Directory, TenantRecord } from "./directory";
import { ClusterDownError } from "./errors";
import { isNewer, type Said } from "./isNewer";

/** A cluster that can be asked. */
interface Asked {
  readonly link: { claimOf(tenant: string): Promise<Claim | undefined> };
}

/** What the clusters say of a tenant. */
interface Found {
  readonly record: TenantRecord;
  /** Why its home did not say so itself; undefined: it did. */
  readonly unsaid: unknown;
}

/** Asks the clusters where a tenant lives of which the directory knows nothing: first the one that hashing gives it to, and then whoever that one names. */
export class Lookup {
  private readonly running = new Map<string, Promise<Found>>();

  constructor(
    private readonly directory: Directory,
    private readonly clusters: ReadonlyMap<string, Asked>,
  ) {}

  /**
   * Where a tenant lives.
   *
   * @throws {@link ClusterDownError} where its home, as the others know, does not answer: it may have left there, and who reads what it left behind would believe it.
   */
  find(tenant: string): TenantRecord | Promise<TenantRecord> {
    return this.directory.recordOf(tenant) ?? this.sure(tenant);
  }

  /** Where a tenant lives as far as the clusters know that answer. */
  async hear(tenant: string): Promise<TenantRecord> {
    return this.directory.recordOf(tenant) ?? (await this.ask(tenant)).record;
  }

  private async sure(tenant: string): Promise<TenantRecord> {
    const { record, unsaid } = await this.ask(tenant);
    // Of a cluster that the router was not given it says so itself.
    if (unsaid !== undefined && this.clusters.has(record.home)) throw unsaid instanceof ClusterDownError && unsaid.cluster === record.home ? unsaid : new ClusterDownError(record.home, "no", unsaid);
    return record;
  }

  private ask(tenant: string): Promise<Found> {
    const running = this.running.get(tenant) ?? this.askOnce(tenant).finally(() => this.running.delete(tenant));
    this.running.set(tenant, running);
    return running;
  }

  private async askOnce(tenant: string): Promise<Found> {
    const { directory, clusters } = this;
    const winner = directory.winnerOf(tenant);
    const said = new Map<string, Claim | undefined>();
    const silent = new Map<string, unknown>();
    let newest: (Claim & Said) | undefined;
    const isAsked = (name: string): boolean => said.has(name) || silent.has(name);
    for (let next = [winner]; next.length > 0; ) {
      const answers = await Promise.allSettled(next.map((name) => this.claimOf(name, tenant)));
      for (const [index, answer] of answers.entries()) {
        const name = next[index] as string;
        if (answer.status === "rejected") silent.set(name, answer.reason);
        else said.set(name, answer.value);
        const claim = answer.status === "fulfilled" && answer.value !== undefined ? { ...answer.value, cluster: name } : undefined;
        if (claim !== undefined && (newest === undefined || isNewer(claim, newest))) newest = claim;
      }
      // Every cluster has a copy of every record; whoever is away may have missed the last.
      const named = silent.size > 0 ? [...clusters.keys()] : [...said.values()].flatMap((claim) => (claim === undefined ? [] : [claim.home, ...(claim.target === null ? [] : [claim.target])]));
      next = [...new Set(named)].filter((name) => !isAsked(name));
    }
    const home = newest?.home ?? winner;
    if (said.has(home)) return { record: directory.remember(tenant, newest), unsaid: undefined };
    return { record: directory.recordOf(tenant) ?? { home, epoch: newest?.epoch ?? 0, state: newest?.state ?? "settled" }, unsaid: silent.get(home) };
  }

  private claimOf(name: string, tenant: string): Promise<Claim | undefined> {
    const cluster = this.clusters.get(name);
    return cluster === undefined ? Promise.reject(new Error(`there is no cluster ${name}`)) : cluster.link.claimOf(tenant);
  }
}
