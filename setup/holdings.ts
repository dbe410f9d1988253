import { ASK_TIMEOUT_MS, docker } from "./docker";
import { SetupError } from "./setupError";

/** A volume that holds a database. */
export interface Holding {
  readonly volume: string;
  readonly postgresMajor: number;
  /** Patroni's name of the cluster that the database belonged to when it last ran; absent if it was none of Patroni's. */
  readonly scope?: string;
}

/** A line for each database: where it is, its major version, and the command line that it last ran with. PostgreSQL 18 moved its directory, and Patroni has one of its own. */
const LOOK =
  "for f in /volumes/*/PG_VERSION /volumes/*/pgdata/PG_VERSION /volumes/*/[0-9]*/docker/PG_VERSION; do " +
  'if [ -f "$f" ]; then d=${f%/PG_VERSION}; echo "$d|$(cat "$f")|$(cat "$d/postmaster.opts" 2>/dev/null)"; fi; done';

/** Those of the volumes that exist. */
export async function existing(volumes: readonly string[]): Promise<string[]> {
  if (volumes.length === 0) return [];
  const { code, stdout, stderr } = await docker(["volume", "ls", "--format", "{{.Name}}"], "", ASK_TIMEOUT_MS);
  if (code !== 0) throw new SetupError(`Docker cannot list volumes: ${stderr}. Nothing was touched`);
  const present = new Set(stdout.split("\n"));
  return volumes.filter((volume) => present.has(volume));
}

/**
 * What the volumes hold, whether a container uses them or not: a container of its own reads them, without a network.
 *
 * @param volumes those that exist: Docker would create another.
 * @param image any small one with a shell.
 * @throws {@link SetupError} if Docker does not let it look.
 */
export async function holdingsOf(volumes: readonly string[], image: string): Promise<Holding[]> {
  if (volumes.length === 0) return [];
  const mounts = volumes.flatMap((volume) => ["--volume", `${volume}:/volumes/${volume}:ro`]);
  const { code, stdout, stderr } = await docker(["run", "--rm", "--network", "none", "--user", "0", ...mounts, "--entrypoint", "sh", image, "-c", LOOK]);
  if (code !== 0) throw new SetupError(`It could not be found out what ${volumes.join(", ")} hold: ${stderr}. Nothing was touched`);
  return holdingsIn(stdout);
}

/** What {@link LOOK} printed. */
export function holdingsIn(printed: string): Holding[] {
  return printed.split("\n").flatMap((line): Holding[] => {
    const [, volume, version, command = ""] = /^\/volumes\/([^/|]+)[^|]*\|(\d+)\|(.*)$/.exec(line) ?? [];
    if (volume === undefined) return [];
    const scope = /"--cluster_name=([^"]+)"/.exec(command)?.[1];
    return [{ volume, postgresMajor: Number(version), ...(scope !== undefined && { scope }) }];
  });
}
