/**
 * Placing, moving and finding tenants from an application. An entry of its own: who does not use it loads nothing of it.
 */
import type { ClientConfig } from "pg";
import { locateTenant, type Location } from "../tenants/locate";
import { moveTenant, openSites, type MoveReport, type MoveStep } from "../tenants/move";
import { ElsewhereError, placeTenant, type Destination, type PlaceReport } from "../tenants/place";
import { RingChangedError } from "../tenants/record";
import { refuseUnfit } from "../tenants/refuseUnfit";
import type { SiteAccess } from "../tenants/site";
import { TenantError } from "../tenants/tenantError";
import { PlacementError } from "./placementError";
import type { Router } from "./router";
import type { TenantId } from "./tenantId";

export { PlacementError } from "./placementError";
export type { Destination, Location, MoveReport, MoveStep, PlaceReport };

/** How a cluster is reached to place and to move tenants. */
export interface PlacementConnection extends ClientConfig {
  /** Where each of its nodes is reached from here, by the name and port that Citus knows it by, such as `worker_a1:5432`: what a move needs. @default that name and port */
  readonly nodes?: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
}

export interface PlacementOptions {
  /**
   * Connections for placing and moving by cluster, where those of the router's pools do not have the rights, or lead to a pooler: at least `connectionString` or `host`, which then replace the pool's, or `nodes`, beside which the
   * pool's is used. A cluster that the router does not have takes part as well.
   */
  readonly clusters?: Readonly<Record<string, PlacementConnection>>;
}

/** How far a move is. */
export interface MoveProgress {
  /** The last step that is done; undefined: none. */
  readonly step: MoveStep | undefined;
  /** Bytes of the tenant's rows that are copied. */
  readonly bytes: number;
}

export interface PlaceCallOptions {
  /** Gives it up, up to the moment that it is decided. */
  readonly signal?: AbortSignal;
}

export interface MoveCallOptions {
  /** Gives the move up, up to the moment that it is decided. */
  readonly signal?: AbortSignal;
  /** Is called after each step, and as bytes are copied. */
  readonly onProgress?: (progress: MoveProgress) => void;
}

/** Decides where tenants live. Make it with {@link createPlacement}. Each call opens sessions of its own to every cluster, and ends them. */
export class TenantPlacement {
  /** @internal */
  constructor(
    private readonly router: Router,
    private readonly options: PlacementOptions,
  ) {}

  /**
   * Gives a tenant that has no rows yet a home: a cluster, or the one of a region that hashing gives it to. From then on it lives there whatever the ring, until it is moved; whoever writes it meanwhile waits, and finds it.
   * Done again, also by two at once or after a crash, it does no more.
   *
   * @throws {@link PlacementError} with `home` if it has rows, or was placed or moved elsewhere before, so that it has to be moved; without, if it could not be placed.
   */
  async place(tenant: TenantId, destination: Destination, { signal }: PlaceCallOptions = {}): Promise<PlaceReport> {
    refuseWrong(tenant, destination);
    const report = await explained(tenant, () => placeTenant(this.access(), String(tenant), destination, { ...(signal !== undefined && { signal }) }));
    await this.router.look(report.tenant, report.cluster);
    return report;
  }

  /**
   * Moves a tenant to another cluster while it is used. It takes a superuser's connections to the coordinators of all clusters, and to the workers of the two, for replication as well: give them to {@link createPlacement}.
   *
   * @throws {@link PlacementError} if it was not moved.
   */
  async move(tenant: TenantId, cluster: string, { signal, onProgress }: MoveCallOptions = {}): Promise<MoveReport> {
    refuseWrong(tenant, { cluster });
    let progress: MoveProgress = { step: undefined, bytes: 0 };
    const tell = (more: Partial<MoveProgress>): void => onProgress?.((progress = { ...progress, ...more }));
    const hooks = { onStep: (step: MoveStep) => tell({ step }), onBytes: (bytes: number) => tell({ bytes }) };
    const report = await explained(tenant, () => moveTenant(this.access(), String(tenant), cluster, { ...(signal !== undefined && { signal }), ...hooks }));
    await this.router.look(report.tenant, report.to);
    return report;
  }

  /** Where a tenant lives and why, as all clusters say that answer. `Router.locate` is quicker: it says what the router knows. @throws {@link PlacementError} if it cannot be a tenant, or no cluster answers. */
  async locate(tenant: TenantId): Promise<Location> {
    return explained(tenant, async () => {
      const sites = await openSites(this.access(), "citus-sharding locate", []);
      try {
        await Promise.all(sites.map((site) => refuseUnfit(site, "locate")));
        return await locateTenant(sites, String(tenant));
      } finally {
        for (const site of sites) site.close();
      }
    });
  }

  private access(): SiteAccess[] {
    const { clusters = {} } = this.options;
    const pools = this.router.configurations;
    return [...new Set([...Object.keys(pools), ...Object.keys(clusters)])].map((name) => {
      const { nodes, ...own } = clusters[name] ?? {};
      const client = own.connectionString === undefined && own.host === undefined ? pools[name] : own;
      if (client === undefined) throw new TenantError(`clusters.${name}: needs a connectionString or a host, since the router has no such cluster`);
      return { name, client, ...(nodes !== undefined && { nodes }) };
    });
  }
}

/**
 * Makes what places, moves and finds tenants of a router's clusters.
 *
 *     const placement = createPlacement(router);
 *     await placement.place(42, { region: "eu" });
 */
export function createPlacement(router: Router, options: PlacementOptions = {}): TenantPlacement {
  return new TenantPlacement(router, options);
}

/** @throws {@link PlacementError} for what types would refuse. */
function refuseWrong(tenant: TenantId, destination: Destination): void {
  const wanted = Object.entries(destination as Record<string, unknown>);
  const [[key, name] = []] = wanted;
  if (wanted.length === 1 && (key === "cluster" || key === "region") && typeof name === "string" && name !== "") return;
  throw new PlacementError('Where the tenant shall live must be a cluster or a region, such as { cluster: "b" } or { region: "eu" }', String(tenant), undefined, "no", undefined);
}

async function explained<Result>(tenant: TenantId, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TenantError)) throw error;
    const certain = error instanceof ElsewhereError || error instanceof RingChangedError;
    throw new PlacementError(error.message, String(tenant), error instanceof ElsewhereError ? error.home : undefined, certain ? "no" : "unknown", error.cause ?? error);
  }
}
