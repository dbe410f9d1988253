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

/** Files that stand beside a Dockerfile and are copied from there. */
const FILES: Readonly<Partial<Record<BuiltImageName, readonly string[]>>> = { patroni: ["patch.py", "election.py", "stopping.py", "timelines.py"] };

/** An image that is built on this machine. */
export interface BuiltImagePlan {
  readonly name: BuiltImageName;
  /** Names the content: the Dockerfile's, the base's, the files' and the program's. Containers follow a change because the tag changes. */
  readonly tag: string;
  /** The image underneath. */
  readonly base: string;
  readonly dockerfile: string;
  /** What is put beside the Dockerfile: texts by their names. */
  readonly files: Readonly<Record<string, string>>;
  /** The program of `agents/` that is bundled into `program.cjs` beside the Dockerfile; absent where there is none. */
  readonly program?: string;
  readonly remedy: string;
}

/** Plans the image on `base`; `read` gives the text of a project file by its path, `bundle` that of a program by its path. */
export function planImage(name: BuiltImageName, base: string, read: (file: string) => string, bundle: (program: string) => string): BuiltImagePlan {
  const program = PROGRAMS[name];
  const dockerfile = read(`assets/${name}/Dockerfile`);
  const files = Object.fromEntries((FILES[name] ?? []).map((file) => [file, read(`assets/${name}/${file}`)]));
  const hash = createHash("sha256");
  for (const part of [base, dockerfile, ...Object.values(files), ...(program === undefined ? [] : [bundle(program)])]) hash.update(part).update("\0");
  return { name, tag: `citus-sharding/${name}:${hash.digest("hex").slice(0, 12)}`, base, dockerfile, files, ...(program !== undefined && { program }), remedy: REMEDIES[name] };
}
