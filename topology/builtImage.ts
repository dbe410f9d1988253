import { createHash } from "node:crypto";

/** What an image that is built on this machine holds. The name is that of the setting that names a ready one instead, `images.<name>`. */
export type BuiltImageName = "patroni" | "pgbouncer";

/** An image that is built on this machine. */
export interface BuiltImagePlan {
  readonly name: BuiltImageName;
  /** Names the content: the Dockerfile's and the base's. Containers follow a change because the tag changes. */
  readonly tag: string;
  /** The image underneath. */
  readonly base: string;
  readonly dockerfile: string;
}

/** The path of an image's Dockerfile, relative to the project. */
export function dockerfileOf(name: BuiltImageName): string {
  return `assets/${name}/Dockerfile`;
}

/** Plans the image on `base` from the text of its Dockerfile. */
export function planImage(name: BuiltImageName, base: string, dockerfile: string): BuiltImagePlan {
  const hash = createHash("sha256").update(base).update("\0").update(dockerfile).digest("hex").slice(0, 12);
  return { name, tag: `citus-sharding/${name}:${hash}`, base, dockerfile };
}
