import { LRUCache } from "lru-cache";
import { parseTenantLimits, type TenantLimits } from "./options";

/** For how many tenants an answer is kept, and for how long. */
const KEPT = 10_000;
const KEPT_MS = 10_000;

/** The limits of single tenants, as the application's function gives them. It is asked once in a while. */
export class TenantLimiter {
  private readonly known = new LRUCache<string, TenantLimits>({ max: KEPT, ttl: KEPT_MS });

  constructor(private readonly limits: (tenant: string) => TenantLimits | undefined) {}

  /** What limits a tenant has of its own. @throws {@link ConfigurationError} if the function throws, or gives what cannot be right. */
  of(tenant: string): TenantLimits {
    const known = this.known.get(tenant);
    if (known !== undefined) return known;
    const limits = parseTenantLimits(tenant, () => this.limits(tenant));
    this.known.set(tenant, limits);
    return limits;
  }
}
