import { Client, type ClientConfig } from "pg";

/** A connection to a cluster. Beside a `connectionString` without a password the driver would forget `password`, and the function that gives it. */
export class ClusterClient extends Client {
  constructor(config: ClientConfig) {
    super(config);
    if (config.password === undefined) return;
    const own = this as { password?: ClientConfig["password"] };
    own.password = config.password;
  }
}
