import { createHash } from "node:crypto";

/** An image that is built on this machine. */
export interface BuiltImagePlan {
  /** What it is called in messages. */
  readonly title: string;
  /** Names the content: the Dockerfile's, the base's and the program's. Containers follow a change because the tag changes. */
  readonly tag: string;
  /** The image underneath. */
  readonly base: string;
  readonly dockerfile: string;
  /** The program of `agents/` that is bundled into `program.cjs` beside the Dockerfile; absent where there is none. */
  readonly program?: string;
  /** What a user may set instead, as a clause of a sentence. */
  readonly remedy: string;
}

/** Plans an image from what decides its content; `bundle` is the text of its program. */
export function planBuiltImage(repository: string, plan: Omit<BuiltImagePlan, "tag">, bundle?: string): BuiltImagePlan {
  const hash = createHash("sha256").update(plan.base).update("\0").update(plan.dockerfile);
  if (bundle !== undefined) hash.update("\0").update(bundle);
  return { ...plan, tag: `citus-sharding/${repository}:${hash.digest("hex").slice(0, 12)}` };
}
