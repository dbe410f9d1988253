import colors from "picocolors";
import type { PatroniHistoryLine } from "../../setup/patroniRest";
import { table } from "../table";
import { chooseGroup, chooseStack } from "./groups";
import { requireGroups } from "./liveGroup";

export interface HistoryOptions {
  /** Not set: all groups. */
  readonly group?: string;
  readonly json: boolean;
}

/** A change of a group's leader. */
export interface LeaderChange {
  readonly group: string;
  /** The timeline that ended with it. */
  readonly timeline: number;
  /** Where the timeline ended, as PostgreSQL writes it: `0/5268B30`. */
  readonly lsn: string;
  readonly reason: string;
  /** When, with its time zone; absent if Patroni does not know. */
  readonly at?: string;
  readonly leader?: string;
}

/** `npm run ha -- history [stack]`: every change of a leader that Patroni remembers, the oldest first. */
export async function history(words: readonly string[], { group, json }: HistoryOptions): Promise<void> {
  const { stack } = chooseStack("history", words);
  const groups = await requireGroups(stack, group === undefined ? stack.groups : [chooseGroup(stack, group)]);
  const changes = (await Promise.all(groups.map(async ({ name, rest }) => leaderChanges(name, (await rest.history()) ?? [])))).flat();
  if (json) return console.log(JSON.stringify({ stack: stack.name, changes }, undefined, 2));
  if (changes.length === 0) return console.log(`No leader has changed yet in ${stack.name}.`);
  console.log(table(historyRows(changes, Intl.DateTimeFormat().resolvedOptions().timeZone), (cell, row) => (row === 0 ? colors.dim(cell) : cell)).join("\n"));
}

/** A group's history as it is shown. */
export function leaderChanges(group: string, lines: readonly PatroniHistoryLine[]): LeaderChange[] {
  return lines.map(([timeline, lsn, reason, at, leader]) => ({ group, timeline, lsn: lsnText(lsn), reason, ...(at !== undefined && { at }), ...(leader !== undefined && { leader }) }));
}

/** The rows of the table, times in a time zone. */
export function historyRows(changes: readonly LeaderChange[], timeZone: string): string[][] {
  // Swedish writes a date as 2026-11-21 and a time as 14:01:30.
  const local = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone });
  const rows = changes.map(({ group, timeline, lsn, reason, at, leader }) => [group, String(timeline), at === undefined ? "" : local.format(new Date(at)), lsn, leader ?? "", reason]);
  return [["group", "timeline", `ended (${timeZone})`, "at", "new leader", "reason"], ...rows];
}

/** A position in the log as PostgreSQL writes it: two hexadecimal halves. */
function lsnText(lsn: number): string {
  const half = 2 ** 32;
  return [Math.floor(lsn / half), lsn % half].map((part) => part.toString(16).toUpperCase()).join("/");
}
