import { numberOption } from "../numberOption";
import { clustersOf, onlyTenantStack } from "../tenant/stacks";
import { directoryFigures } from "./directoryFigures";
import { tell } from "./figures";

export interface BenchDirectoryOptions {
  readonly records: string;
  readonly routers: string;
  readonly clusters: string;
  readonly json: boolean;
}

/** `npm run bench:directory [-- <stack>]`: what a router pays for a directory of many tenants. Needs an active-active stack that is up; what it writes is in a database of its own beside the cluster's. */
export async function benchDirectory(words: readonly string[], options: BenchDirectoryOptions): Promise<void> {
  const stack = onlyTenantStack("bench:directory", words);
  const size = {
    records: numberOption("records", options.records, { from: 1000, to: 20_000_000, whole: true }) as number,
    routers: numberOption("routers", options.routers, { from: 1, to: 500, whole: true }) as number,
    clusters: numberOption("clusters", options.clusters, { from: 2, to: 1000, whole: true }) as number,
  };
  tell("directory", await directoryFigures(await clustersOf(stack), size), options.json);
}
