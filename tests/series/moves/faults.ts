/** What a mover does, in this order; "cleaning" is that it is about to delete rows of the home that was left. */
export const STEPS = ["announced", "emptied", "copied", "caught up", "verified", "closed", "drained", "complete", "decided", "opened", "told", "cleaning", "cleaned"] as const;
export type Step = (typeof STEPS)[number];

/** When a mover that was stopped is woken up again. */
export type Waking = "recover" | "the next move" | "it came back";
export type Side = "giver" | "taker";
export type Role = "coordinator" | "worker";
/** How the network between the mover and a cluster fails. */
export type Trouble = "cut" | "black hole" | "delay";

/** What happens to a move. */
export type Fault =
  | { readonly kind: "nothing" }
  | { readonly kind: "stop"; readonly until: Waking }
  | { readonly kind: "kill" }
  | { readonly kind: "pause" | "docker kill" | "session"; readonly side: Side; readonly role: Role }
  | { readonly kind: "network"; readonly trouble: Trouble; readonly side: Side };

const SIDES: readonly Side[] = ["giver", "taker"];
const ROLES: readonly Role[] = ["coordinator", "worker"];

/** Everything that can happen to a move, but nothing. */
export const FAULTS: readonly Fault[] = [
  ...(["recover", "the next move", "it came back"] as const).map((until) => ({ kind: "stop", until }) as const),
  { kind: "kill" },
  ...(["pause", "docker kill", "session"] as const).flatMap((kind) => SIDES.flatMap((side) => ROLES.map((role) => ({ kind, side, role })))),
  ...(["cut", "black hole", "delay"] as const).flatMap((trouble) => SIDES.map((side) => ({ kind: "network", trouble, side }) as const)),
];

/** A fault in a table's words. */
export function nameOf(fault: Fault): string {
  switch (fault.kind) {
    case "nothing":
      return "nothing";
    case "stop":
      return `mover stopped until ${fault.until}`;
    case "kill":
      return "mover killed";
    case "pause":
      return `${fault.role} of the ${fault.side} paused`;
    case "docker kill":
      return `${fault.role} of the ${fault.side} killed`;
    case "session":
      return `session on a ${fault.role} of the ${fault.side} ended`;
    case "network":
      return `network to the ${fault.side}: ${fault.trouble}`;
  }
}
