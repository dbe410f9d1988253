/** The parts of an image reference that decide whether it is pinned. */
export interface ImageReference {
  /** The repository with its registry, `quay.io/coreos/etcd`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** Splits `registry:5000/name:tag@sha256:…`; a colon before a slash belongs to the registry's port. */
export function parseImage(image: string): ImageReference {
  const [name = "", digest] = image.split("@", 2);
  const colon = name.lastIndexOf(":");
  const tagged = colon > name.lastIndexOf("/");
  return {
    repository: tagged ? name.slice(0, colon) : name,
    ...(tagged && { tag: name.slice(colon + 1) }),
    ...(digest !== undefined && { digest }),
  };
}

const HOST = String.raw`[\w.-]+(?::\d+)?/`;
const PATH_PART = String.raw`[a-z0-9]+(?:[._-]+[a-z0-9]+)*`;
/** Docker's grammar: only the registry's host may have capitals. */
const REFERENCE = new RegExp(String.raw`^(?:${HOST})?${PATH_PART}(?:/${PATH_PART})*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`);

/** What is wrong with an image reference as a setting, or undefined if it names one fixed image. */
export function imageProblem(image: string): string | undefined {
  if (!REFERENCE.test(image)) return 'must be an image in lower case with a tag or a digest, "repository:1.2.3" or "repository@sha256:…"';
  const { tag, digest } = parseImage(image);
  if (digest !== undefined) return undefined;
  if (tag === undefined) return 'has no tag, which means "latest"; name a version, as in "repository:1.2.3", or a digest';
  if (tag === "latest") return '"latest" is another image tomorrow; name a version, as in "repository:1.2.3", or a digest';
  return undefined;
}

/**
 * The PostgreSQL major that `citusdata/citus` ships for a tag without a `-pgNN` suffix, by Citus's version.
 * Source: the Dockerfile of each release in https://github.com/citusdata/docker
 */
const CITUS_POSTGRES: Readonly<Record<string, number>> = { "11.2": 15, "11.3": 15, "12.0": 15, "12.1": 16, "13": 17, "14": 18 };

/**
 * The PostgreSQL major inside an image, read from its tag: `citusdata/citus:13.2.0` is 17, `…:13.2.0-pg16` is 16,
 * `postgres:17-trixie` is 17. Undefined if the tag does not tell.
 */
export function postgresMajorOf(image: string): number | undefined {
  const { repository, tag = "" } = parseImage(image);
  const suffix = /-pg(\d+)$/.exec(tag)?.[1];
  if (suffix !== undefined) return Number(suffix);
  const [version, major] = /^v?(\d+)(?:\.\d+)?/.exec(tag) ?? [];
  const name = repository.split("/").at(-1);
  if (version === undefined || major === undefined) return undefined;
  if (name === "citus") return CITUS_POSTGRES[version.replace("v", "")] ?? CITUS_POSTGRES[major];
  if (name === "postgres") return Number(major);
  return undefined;
}
