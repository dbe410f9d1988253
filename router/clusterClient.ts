import { Client, type ClientConfig } from "pg";

/** Prepares a connection that was opened. @param within what is left of the time that it may take to open. */
export type Prepare = (client: Client, withinMs: number) => Promise<void>;

/** A connection to a cluster. Beside a `connectionString` without a password the driver would forget `password`, and the function that gives it. */
export class ClusterClient extends Client {
  private readonly timeoutMs: number;

  /** @param prepare what is done before it is used, where {@link connect} is given a callback, as the driver's pool does. */
  constructor(
    config: ClientConfig,
    private readonly prepare?: Prepare,
  ) {
    super(config);
    this.timeoutMs = config.connectionTimeoutMillis ?? 0;
    if (config.password === undefined) return;
    const own = this as { password?: ClientConfig["password"] };
    own.password = config.password;
  }

  override connect(): Promise<Client>;
  override connect(callback: ((error: Error) => void) | ((error: null, client: Client) => void)): void;
  override connect(callback?: ((error: Error) => void) | ((error: null, client: Client) => void)): Promise<Client> | undefined {
    const { prepare } = this;
    if (callback === undefined) return super.connect();
    const done = callback as (error: Error | null, client?: Client) => void;
    const began = performance.now();
    super.connect((error: Error | null) => {
      if (error !== null || prepare === undefined) done(error, this);
      else void prepare(this, began + this.timeoutMs - performance.now()).then(() => done(null, this), (problem: unknown) => done(problem as Error));
    });
    return undefined;
  }
}
