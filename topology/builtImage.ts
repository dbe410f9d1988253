import { createHash } from "node:crypto";

/** What an image that is built on this machine holds; its Dockerfile stands in the folder of `assets/` of that name. */
export type BuiltImageName = "patroni" | "pgbouncer" | "guard" | "keeper";

/** What a user may set instead, as a clause of a sentence. */
const REMEDIES: Readonly<Record<BuiltImageName, string>> = {
  patroni: "Set images.patroni to an image with Patroni",
  pgbouncer: "Set images.pgbouncer to an image with PgBouncer",
  guard: "Set images.node to a Debian-based image with Node.js",
  keeper: "Set images.node to a Debian-based image with Node.js",
};

/** Programs of `agents/` that images run: paths without their suffix, relative to the project's sources. */
const PROGRAMS: Readonly<Partial<Record<BuiltImageName, string>>> = { guard: "agents/guard/main", keeper: "agents/keeper/main" };

/** An image that is built on this machine. */
export interface BuiltImagePlan {
  readonly name: BuiltImageName;
  /** Names the content: the Dockerfile's, the base's and the program's. Containers follow a change because the tag changes. */
  readonly tag: string;
  /** The image underneath. */
  readonly base: string;
  readonly dockerfile: string;
  /** The program of `agents/` that is bundled into `program.cjs` beside the Dockerfile; absent where there is none. */
  readonly program?: string;
  readonly remedy: string;
}

/** The path of an image's Dockerfile, relative to the project. */
export function dockerfileOf(name: BuiltImageName): string {
  return `assets/${name}/Dockerfile`;
}

/** Plans the image on `base` from the text of its Dockerfile; `bundle` gives the text of a program by its path. */
export function planImage(name: BuiltImageName, base: string, dockerfile: string, bundle: (program: string) => string): BuiltImagePlan {
  const program = PROGRAMS[name];
  const hash = createHash("sha256").update(base).update("\0").update(dockerfile);
  if (program !== undefined) hash.update("\0").update(bundle(program));
  return { name, tag: `citus-sharding/${name}:${hash.digest("hex").slice(0, 12)}`, base, dockerfile, ...(program !== undefined && { program }), remedy: REMEDIES[name] };
}
