import type { Outcome } from "../chaos/history";
import { outcomeOf, told } from "../chaos/outcome";
import { createRouter, RouterError, type Router } from "../router/index";
import { CONNECTIONS, QUERY_TIMEOUT_MS, READ, REMOVE, STATEMENT_TIMEOUT_MS, USED, WHOLE_TIMEOUT_MS, WRITE, type Answer, type Application } from "./application";
import { toldByRouter } from "./routerError";

/** An application on several clusters: the tenant router, with a room for a tenant. */
export class RoutedApplication implements Application {
  private constructor(private readonly router: Router) {}

  /** @param clusters where each cluster's coordinator is. @throws RouterError if none of them answers. */
  static async open(clusters: readonly { readonly name: string; readonly uri: string }[]): Promise<RoutedApplication> {
    const max = Math.ceil(CONNECTIONS / clusters.length);
    const pool = { max, statement_timeout: STATEMENT_TIMEOUT_MS, query_timeout: QUERY_TIMEOUT_MS, keepAlive: true, application_name: "citus-sharding blast" };
    return new RoutedApplication(await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, ...pool }])) }));
  }

  async homeOf(room: number): Promise<string> {
    return (await this.router.locate(room)).home;
  }

  async write(room: number, key: string): Promise<Answer> {
    try {
      await this.router.for(room).query(WRITE, [room, key]);
      return { outcome: "ok" };
    } catch (error) {
      return error instanceof RouterError ? { outcome: routerOutcome(error), error: toldByRouter(error) } : { outcome: outcomeOf(error), error: told(error) };
    }
  }

  async remove(room: number): Promise<void> {
    await this.router.for(room).query(REMOVE, [room]);
  }

  async used(first: number, last: number): Promise<number[]> {
    return (await this.everywhere<{ room: string }>(USED, [first, last])).map(({ room }) => Number(room));
  }

  async read(first: number, last: number): Promise<Record<string, number>> {
    const counts = new Map<string, number>();
    for (const { key, rows } of await this.everywhere<{ key: string; rows: number }>(READ, [first, last])) counts.set(key, (counts.get(key) ?? 0) + rows);
    return Object.fromEntries(counts);
  }

  async end(): Promise<void> {
    await this.router.end();
  }

  /** Rows of all clusters. A cluster that is missing is no answer: nothing may be concluded from a part. */
  private async everywhere<Row extends Record<string, unknown>>(text: string, values: readonly unknown[]): Promise<Row[]> {
    const { rows, missing } = await this.router.all<Row>(text, values, { timeoutMs: WHOLE_TIMEOUT_MS });
    const [first] = missing;
    if (first !== undefined) throw new Error(`cluster ${first.cluster} does not answer: ${told(first.error)}`, { cause: first.error });
    return rows.map(({ row }) => row);
  }
}

/** The router says whether the statement may have been done. */
function routerOutcome(error: RouterError): Outcome {
  return error.applied === "unknown" ? "unknown" : "refused";
}
