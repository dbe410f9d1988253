import type { ClusterTarget } from "../target";
import type { StackPlan } from "../../topology/plan";
import { crash } from "./crash";
import { diskFull } from "./disk";
import { engine } from "./engine";
import { everything, everythingKilled } from "./everything";
import type { Fault, TargetRole } from "./fault";
import { fencer } from "./fencer";
import { holder, holderCrash } from "./holder";
import { clock, slowDisk } from "./impossible";
import { etcd, etcdMajority, kill, standby } from "./kill";
import { killAfterOutage } from "./killAfterOutage";
import { network } from "./network";
import { partition } from "./partition";
import { pause } from "./pause";
import { powerCut } from "./powerCut";
import { postmaster } from "./postmaster";
import { reload } from "./reload";
import { restart } from "./restart";
import { switchover } from "./switchover";
import { twoFaults } from "./twoFaults";
import { hasRole } from "./victim";

/** All faults, in the order in which a run without a choice goes through them: from planned to unlikely. */
export const CATALOGUE: readonly Fault[] = [
  switchover,
  restart,
  postmaster,
  crash,
  kill,
  pause,
  standby,
  etcd,
  etcdMajority,
  killAfterOutage,
  reload,
  fencer,
  holder,
  holderCrash,
  network,
  partition,
  twoFaults,
  diskFull,
  slowDisk,
  clock,
  everything,
  everythingKilled,
  powerCut,
  engine,
];

/** A fault with what it hits. */
export interface Planned {
  readonly fault: Fault;
  readonly role: TargetRole;
}

/** Why a choice of faults cannot be met: one sentence that says what there is. */
export class ChoiceError extends Error {}

/**
 * The faults that a stack can have.
 *
 * @param names names of faults; none for all.
 * @param role what they hit; undefined for all that each hits usually.
 * @throws {@link ChoiceError} if there is no such fault, or it does not hit such a role.
 */
export function chooseFaults(plan: StackPlan, clusters: readonly ClusterTarget[], names: readonly string[], role: string | undefined): Planned[] {
  const unknown = names.find((name) => !CATALOGUE.some((fault) => fault.name === name));
  if (unknown !== undefined) throw new ChoiceError(`There is no fault "${unknown}". There are: ${CATALOGUE.map(({ name }) => name).join(", ")}.`);
  const roles = [...new Set(CATALOGUE.flatMap(rolesOf))];
  if (role !== undefined && !roles.some((known) => known === role)) throw new ChoiceError(`There is no role "${role}". There are: ${roles.join(", ")}.`);
  const chosen = names.length === 0 ? CATALOGUE : names.flatMap((name) => CATALOGUE.filter((fault) => fault.name === name));
  const planned = chosen.flatMap((fault) => (role === undefined ? fault.roles : rolesOf(fault).filter((known) => known === role)).map((known) => ({ fault, role: known })));
  const present = planned.filter((choice) => hasRole(plan, clusters, choice.role));
  if (present.length > 0) return present;
  const asked = `${names.length === 0 ? "any fault" : names.join(", ")}${role === undefined ? "" : ` of role ${role}`}`;
  const possible = CATALOGUE.flatMap((fault) => rolesOf(fault).filter((known) => hasRole(plan, clusters, known)).map((known) => `${fault.name} (${known})`));
  throw new ChoiceError(`A stack of the topology ${plan.topology} cannot have ${asked}. It can have: ${possible.join(", ")}.`);
}

function rolesOf({ roles, onRequest = [] }: Fault): readonly TargetRole[] {
  return [...roles, ...onRequest];
}
