import { isInService, isLeader, isSynchronous, type PatroniMember } from "../../setup/patroniRest";
import { Failure } from "../failure";
import { listed } from "../print";

/** Who hands over the lead of a group, and to whom. */
export interface Succession {
  readonly leader: string;
  readonly candidate: string;
}

/**
 * Who takes the lead of a group over: the member `to`, or of those that can without losing a write the most advanced.
 *
 * @throws {@link Failure} that says why nobody, or not `to`, and what would be right.
 */
export function succession(group: string, members: readonly PatroniMember[], to: string | undefined): Succession {
  const leading = members.find(isLeader);
  if (leading === undefined) throw new Failure(`${group} has no leader that could hand over: its members elect one when most of them and etcd are healthy.`);
  if (!isInService(leading)) throw new Failure(`${leading.name} leads ${group}, but does not run (${leading.state}), so it cannot hand over: a standby takes over by itself when its lease expires.`);
  const leader = leading.name;
  const able = members.filter((member) => hindrance(member) === undefined).sort((one, other) => lagOf(one) - lagOf(other));
  const others = able.length === 0 ? "No other member can either; wait until one streams." : `${listed(able.map(({ name }) => name))} can take over.`;
  if (to !== undefined) {
    if (to === leader) throw new Failure(`${to} leads ${group} already. ${others}`);
    const member = members.find(({ name }) => name === to);
    const reason = member === undefined ? "is no member that Patroni knows now" : hindrance(member);
    if (reason !== undefined) throw new Failure(`${to} cannot take over from ${leader}: it ${reason}. ${others}`);
    return { leader, candidate: to };
  }
  const [candidate] = able;
  if (candidate !== undefined) return { leader, candidate: candidate.name };
  const standbys = members.filter((member) => !isLeader(member)).map((member) => `${member.name} ${hindrance(member) ?? ""}`);
  throw new Failure(`Nobody can take over from ${leader}: ${standbys.length === 0 ? `${group} has no standby` : listed(standbys)}. Wait until a synchronous standby streams.`);
}

/** Why a member cannot take over without losing a write; undefined if it can. */
function hindrance({ role, state, tags = {} }: PatroniMember): string | undefined {
  if (isLeader({ role })) return "leads";
  if (state !== "streaming") return `does not stream (${state})`;
  if (tags["nofailover"] === true) return "is tagged nofailover";
  return isSynchronous({ role }) ? undefined : "is not synchronous, so it may lack writes that were acknowledged";
}

function lagOf({ lag }: PatroniMember): number {
  return typeof lag === "number" ? lag : Number.POSITIVE_INFINITY;
}
