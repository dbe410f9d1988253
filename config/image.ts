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

/** What is wrong with an image reference as a setting, or undefined if it names one fixed image. */
export function imageProblem(image: string): string | undefined {
  if (!/^[a-z0-9][\w./:@-]*$/i.test(image)) return 'not an image reference; write it as "repository:tag"';
  const { tag, digest } = parseImage(image);
  if (digest !== undefined) return undefined;
  if (tag === undefined) return `has no tag, which means "latest"; name a version, such as "${image}:1.2.3", or a digest`;
  if (tag === "latest") return '"latest" is another image tomorrow; name a version or a digest';
  return undefined;
}

/** Citus majors and the PostgreSQL major that `citusdata/citus` ships for a tag without a `-pgNN` suffix. */
const CITUS_POSTGRES: Readonly<Record<string, number>> = { "11": 15, "12": 16, "13": 17, "14": 18 };

/**
 * The PostgreSQL major inside an image, read from its tag: `citusdata/citus:13.2.0` is 17, `…:13.2.0-pg16` is 16,
 * `postgres:17-trixie` is 17. Undefined if the tag does not tell.
 */
export function postgresMajorOf(image: string): number | undefined {
  const { repository, tag = "" } = parseImage(image);
  const suffix = /-pg(\d+)$/.exec(tag)?.[1];
  if (suffix !== undefined) return Number(suffix);
  const major = /^v?(\d+)/.exec(tag)?.[1];
  const name = repository.split("/").at(-1);
  if (major === undefined) return undefined;
  if (name === "citus") return CITUS_POSTGRES[major];
  if (name === "postgres") return Number(major);
  return undefined;
}
