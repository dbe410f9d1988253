import type { Claim, Directory, TenantRecord } from "./directory";

/** A cluster that can be asked. */
interface Asked {
  readonly link: { claimOf(tenant: string): Promise<Claim | undefined> };
}

/** Asks the clusters where a tenant lives of which the directory knows nothing: first the one that hashing gives it to, and then whoever that one names. */
export class Lookup {
  private readonly running = new Map<string, Promise<TenantRecord>>();

  constructor(
    private readonly directory: Directory,
    private readonly clusters: ReadonlyMap<string, Asked>,
  ) {}

  /** Where a tenant lives. Does not fail: where nobody who has to know answers, it is the home that the others tell of. */
  find(tenant: string): Promise<TenantRecord> | TenantRecord {
    const known = this.directory.recordOf(tenant);
    if (known !== undefined) return known;
    const running = this.running.get(tenant) ?? this.ask(tenant).finally(() => this.running.delete(tenant));
    this.running.set(tenant, running);
    return running;
  }

  private async ask(tenant: string): Promise<TenantRecord> {
    const { directory, clusters } = this;
    const winner = directory.winnerOf(tenant);
    const asked = new Set<string>();
    let newest: Claim | undefined;
    let own = false;
    for (let next = [winner]; next.length > 0; next = next.filter((name) => !asked.has(name))) {
      for (const name of next) asked.add(name);
      const answers = await Promise.allSettled(next.map(async (name) => ({ name, claim: await this.claimOf(name, tenant) })));
      const said = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
      for (const { name, claim } of said) {
        if (claim === undefined) own ||= newest === undefined && name === winner;
        else if (newest === undefined || claim.epoch > newest.epoch || (claim.epoch === newest.epoch && claim.home === name)) [newest, own] = [claim, claim.home === name];
      }
      // Every cluster has a copy of every record. Whoever is away may have missed the last.
      next = said.length < answers.length ? [...clusters.keys()] : said.flatMap(({ claim }) => (claim === undefined ? [] : [claim.home, ...(claim.target === null ? [] : [claim.target])]));
    }
    return directory.remember(tenant, newest, own);
  }

  private claimOf(name: string, tenant: string): Promise<Claim | undefined> {
    const cluster = this.clusters.get(name);
    return cluster === undefined ? Promise.reject(new Error(`there is no cluster ${name}`)) : cluster.link.claimOf(tenant);
  }
}
