import { MissedError } from "./confirm";

/** SQLSTATEs of the fence. */
export const TENANT_ELSEWHERE = "TN001";
export const TENANT_CLOSED = "TN002";
export const TENANT_OTHER = "TN003";

/** What the fence said when it refused a write. The write was certainly not applied: its transaction is aborted. */
export type Refusal =
  | { readonly kind: "elsewhere" | "closed"; readonly tenant: string; readonly home: string; readonly epoch: number }
  /** The transaction is bound to another tenant. */
  | { readonly kind: "other" }
  /** The cluster does not know yet which tenants are its own. */
  | { readonly kind: "unready" };

/**
 * What the fence said, if an error is its. Through `COPY`, and where the coordinator pulls rows, Citus 13.2 keeps the detail and not the SQLSTATE.
 */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof MissedError) return error.refusal;
  const { code, detail, message } = (error ?? {}) as { code?: unknown; detail?: unknown; message?: unknown };
  if (code === TENANT_OTHER) return { kind: "other" };
  if (code !== TENANT_ELSEWHERE && code !== TENANT_CLOSED && code !== "XX000") return undefined;
  const parsed = parse(detail);
  if (parsed === undefined) return code === TENANT_CLOSED ? { kind: "unready" } : undefined;
  const closed = code === TENANT_CLOSED || (code === "XX000" && typeof message === "string" && message.endsWith("is being moved"));
  return { kind: closed ? "closed" : "elsewhere", ...parsed };
}

function parse(detail: unknown): { tenant: string; home: string; epoch: number } | undefined {
  if (typeof detail !== "string" || !detail.startsWith("{")) return undefined;
  try {
    const { tenant, home, epoch } = JSON.parse(detail) as Record<string, unknown>;
    return typeof tenant === "string" && typeof home === "string" && typeof epoch === "number" ? { tenant, home, epoch } : undefined;
  } catch {
    return undefined;
  }
}
