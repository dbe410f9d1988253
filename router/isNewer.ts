/** What a cluster says of where a tenant lives. */
export interface Said {
  /** Who says it. */
  readonly cluster: string;
  readonly home: string;
  readonly epoch: number;
}

/**
 * Whether what one cluster says of a tenant is believed rather than what another says: the higher epoch is true, and of one epoch what the home says itself, which alone knows of a move away from it.
 */
export function isNewer(one: Said, other: Said): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.home === one.cluster && other.home !== other.cluster);
}
