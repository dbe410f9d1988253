import { createHash } from "node:crypto";

/** An image of Patroni that is built on this machine. */
export interface PatroniImagePlan {
  /** Names the content: the Dockerfile's and the base's. Containers follow a change because the tag changes. */
  readonly tag: string;
  /** The PostgreSQL or Citus image underneath. */
  readonly base: string;
  readonly dockerfile: string;
}

/** The path of the Dockerfile, relative to the project. */
export const PATRONI_DOCKERFILE = "assets/patroni/Dockerfile";

/** Plans the Patroni image on `base` from the text of its Dockerfile. */
export function planPatroniImage(base: string, dockerfile: string): PatroniImagePlan {
  const hash = createHash("sha256").update(base).update("\0").update(dockerfile).digest("hex").slice(0, 12);
  return { tag: `citus-sharding/patroni:${hash}`, base, dockerfile };
}
