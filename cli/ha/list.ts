import colors from "picocolors";
import { isInService, isLeader, isPending, type PatroniCluster, type PatroniMember } from "../../setup/patroniRest";
import { size } from "../print";
import { table } from "../table";
import { chooseGroup, chooseStack, type Group } from "./groups";
import { askGroups } from "./liveGroup";

export interface ListOptions {
  /** Not set: all groups. */
  readonly group?: string;
  readonly json: boolean;
}

/** A group as `ha list` shows it. */
export interface ListedGroup {
  readonly group: string;
  /** Patroni's scope. */
  readonly scope: string;
  readonly citusGroup?: number;
  /** Whether it is in maintenance mode. */
  readonly paused: boolean;
  readonly members: readonly ListedMember[];
}

/** A member as `ha list` shows it. */
export interface ListedMember {
  readonly name: string;
  /** Patroni's role; `none` for a member that Patroni does not know. */
  readonly role: PatroniMember["role"] | "none";
  /** `running` for a leader, `streaming` for a standby that follows it, `container exited` and the like; `unknown` for a member that Patroni does not know. */
  readonly state: string;
  readonly inService: boolean;
  readonly timeline?: number;
  /** Bytes that a standby is behind the leader. */
  readonly lagBytes?: number;
  /** Parameters whose change waits for a restart. */
  readonly pendingRestart: readonly PendingParameter[];
  readonly tags: Readonly<Record<string, unknown>>;
}

/** A parameter whose change waits for a restart. */
export interface PendingParameter {
  readonly parameter: string;
  readonly from: string;
  readonly to: string;
}

/** `npm run ha -- list [stack]`: every member of every Patroni group. Exits with 1 if one is not in service. */
export async function list(words: readonly string[], { group, json }: ListOptions): Promise<void> {
  const { stack } = chooseStack("list", words);
  const groups = group === undefined ? stack.groups : [chooseGroup(stack, group)];
  const listing = (await askGroups(stack, groups)).map(({ group: asked, live }) => listedGroup(asked, live?.cluster));
  console.log(json ? JSON.stringify({ stack: stack.name, groups: listing }, undefined, 2) : render(listing));
  process.exitCode = listing.every(({ members }) => members.every(({ inService }) => inService)) ? 0 : 1;
}

/** What is shown of a group: the members that it should have, and those that Patroni knows beside them. */
export function listedGroup({ name, plan, members: planned }: Group, cluster: PatroniCluster | undefined): ListedGroup {
  const known = new Map((cluster?.members ?? []).map((member) => [member.name, member]));
  const members = [...new Set([...planned, ...known.keys()])].map((member) => listedMember(member, known.get(member)));
  const { scope, citusGroup } = plan.setup;
  return { group: name, scope, ...(citusGroup !== undefined && { citusGroup }), paused: cluster?.pause === true, members };
}

function listedMember(name: string, member: PatroniMember | undefined): ListedMember {
  if (member === undefined) return { name, role: "none", state: "unknown", inService: false, pendingRestart: [], tags: {} };
  const { role, state, timeline, lag, pending_restart_reason = {}, tags = {} } = member;
  return {
    name,
    role,
    state,
    inService: isInService(member),
    ...(timeline !== undefined && { timeline }),
    ...(typeof lag === "number" && !isLeader(member) && { lagBytes: lag }),
    pendingRestart: isPending(member) ? Object.entries(pending_restart_reason).map(([parameter, change]) => ({ parameter, from: change.old_value, to: change.new_value })) : [],
    tags,
  };
}

function render(groups: readonly ListedGroup[]): string {
  const rows = groups.flatMap(({ group, members }) =>
    members.map(({ name, role, state, timeline, lagBytes, pendingRestart, tags }) => {
      const waiting = pendingRestart.map(({ parameter, from, to }) => `${parameter} ${from} → ${to}`);
      const notes = [...(waiting.length === 0 ? [] : [`waits for a restart: ${waiting.join(", ")}`]), ...Object.entries(tags).map(([tag, value]) => `${tag}: ${String(value)}`)];
      return [group, name, role.replaceAll("_", " "), state, timeline === undefined ? "" : String(timeline), lagBytes === undefined ? "" : size(lagBytes), notes.join(", ")];
    }),
  );
  const well = groups.flatMap(({ members }) => members.map(({ inService }) => inService));
  const paint = (cell: string, row: number, column: number): string => {
    if (row === 0) return colors.dim(cell);
    if (column !== 3) return cell;
    return well[row - 1] === true ? colors.green(cell) : colors.red(cell);
  };
  const paused = groups.filter((group) => group.paused).map(({ group }) => `${colors.yellow("!")} ${group} is in maintenance mode: nobody takes over if its leader fails, and Patroni starts no PostgreSQL that ends. npm run ha -- resume ends it.`);
  return [...table([["group", "member", "role", "state", "timeline", "behind", ""], ...rows], paint), ...(paused.length > 0 ? ["", ...paused] : [])].join("\n");
}
