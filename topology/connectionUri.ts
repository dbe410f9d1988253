import type { Endpoint } from "./plan";

/** A libpq connection URI. Holds the password: wrap it as a secret. */
export function connectionUri({ host, port, user, database }: Endpoint, password: string): string {
  const address = host.includes(":") ? `[${host}]` : host;
  return `postgresql://${user}:${encodeURIComponent(password)}@${address}:${port}/${database}`;
}
