/** Where an image keeps its database. */
export interface DataDirectory {
  /** The path that a volume is mounted at. */
  readonly mount: string;
  /** `PGDATA` of the image's own entrypoint. */
  readonly pgdata: string;
}

/**
 * The data directory of the official PostgreSQL images and those built on them, by PostgreSQL major: 18 moved it.
 * Source: https://github.com/docker-library/postgres/pull/1259
 */
export function dataDirectory(postgresMajor: number): DataDirectory {
  return postgresMajor >= 18
    ? { mount: "/var/lib/postgresql", pgdata: `/var/lib/postgresql/${postgresMajor}/docker` }
    : { mount: "/var/lib/postgresql/data", pgdata: "/var/lib/postgresql/data" };
}
