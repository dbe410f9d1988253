import { ticketsOf } from "../../router/tickets";
import type { Stack } from "../stack";

/** The ring that clusters make with the weights that a stack's settings give them, as tickets. A cluster that the settings do not have yet has weight 1. */
export function ringOf({ settings }: Pick<Stack, "settings">, clusters: readonly string[]): string[] {
  const known = settings.topology === "active-active" ? settings.clusters : {};
  return ticketsOf(Object.fromEntries(clusters.map((name) => [name, known[name]?.weight ?? 1])));
}
