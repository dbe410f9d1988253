import type { Endpoint } from "./plan";

/** A host with its port, as URIs write them: an IPv6 address stands in brackets. */
export function authority({ host, port }: Pick<Endpoint, "host" | "port">): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** A libpq connection URI. Holds the password: wrap it as a secret. */
export function connectionUri({ user, database, ...address }: Endpoint, password: string): string {
  return `postgresql://${user}:${encodeURIComponent(password)}@${authority(address)}/${database}`;
}
