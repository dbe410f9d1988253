import { RouterError, type Applied } from "./errors";

/** Why a tenant was not placed or moved, in one sentence. */
export class PlacementError extends RouterError {
  constructor(
    message: string,
    /** The tenant as it was given. */
    readonly tenant: string,
    /** Where it lives, if it was not placed for that: it can be moved. */
    readonly home: string | undefined,
    /** `no`: nothing has changed; `unknown`: look where it lives, or do it again, which does no harm. */
    applied: Applied,
    cause: unknown,
  ) {
    super("PLACEMENT", message, { cause }, applied);
  }
}
