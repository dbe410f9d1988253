import { readdirSync } from "node:fs";
import { closest } from "../../config/closest";
import { patroniGroups, type PatroniPlan } from "../../topology/plan";
import { Failure } from "../failure";
import { listed } from "../print";
import { PROJECT_DIRECTORY, requireStack, stacksIn } from "../project";
import { readStack, type Stack } from "../stack";

/** A Patroni group of a stack, by the name that a person gives it. */
export interface Group {
  /** What its members' names begin with, without the stack's prefix: `coord`, `worker2`. */
  readonly name: string;
  readonly plan: PatroniPlan;
  /** The members' names, which are their containers' names. */
  readonly members: readonly string[];
}

/** A stack that has Patroni groups. */
export interface HighlyAvailable extends Stack {
  readonly groups: readonly Group[];
}

const ONLY_ACTIVE_PASSIVE = "only stacks whose topology is active-passive do.";

/** The Patroni groups of a stack, the coordinators first. */
export function groupsOf({ plan, settings }: Pick<Stack, "plan" | "settings">): Group[] {
  return patroniGroups(plan).map((group) => {
    const members = group.members.map(({ name }) => name);
    return { name: withoutPrefix(group.name, settings.prefix), plan: group, members };
  });
}

/**
 * The stack that a command's words begin with, and the words after it. Without a stack's name it is the only stack
 * here that has Patroni groups.
 *
 * @throws {@link Failure} if there is no such stack, or not only one.
 */
export function chooseStack(command: string, words: readonly string[]): { stack: HighlyAvailable; rest: readonly string[] } {
  const names = stacksIn(readdirSync(PROJECT_DIRECTORY));
  const [first, ...others] = words;
  if (first !== undefined && names.includes(first)) return { stack: withGroups(readStack(first)), rest: others };
  const known = names.flatMap((name) => readableStack(name)).filter(({ plan }) => patroniGroups(plan).length > 0);
  const [only, ...more] = known;
  if (only === undefined) throw new Failure(`No stack here has Patroni groups: ${ONLY_ACTIVE_PASSIVE}`);
  if (more.length > 0) return { stack: withGroups(readStack(requireStack(`ha -- ${command}`, first, known.map(({ name }) => name)))), rest: others };
  const stack = withGroups(only);
  // A word that is no member's name is a slip of a stack's name, if it is like one.
  if (first !== undefined && findMember(stack, first) === undefined && closest(first, names) !== undefined) requireStack(`ha -- ${command}`, first, names);
  return { stack, rest: words };
}

/** A stack whose configuration can be read; another stack's mistakes are no concern of this command. */
function readableStack(name: string): Stack[] {
  try {
    return [readStack(name)];
  } catch {
    return [];
  }
}

function withGroups(stack: Stack): HighlyAvailable {
  const groups = groupsOf(stack);
  if (groups.length === 0) throw new Failure(`${stack.name} has no Patroni groups: ${ONLY_ACTIVE_PASSIVE}`);
  return { ...stack, groups };
}

/**
 * The group that a word means: its name, its Citus group's number, or one of its members. Without a word it is the only group.
 *
 * @throws {@link Failure} that names what the word could have been.
 */
export function chooseGroup({ name: stack, settings: { prefix }, groups }: Pick<HighlyAvailable, "name" | "settings" | "groups">, word: string | undefined): Group {
  const names = groups.map(({ name }) => name);
  if (word === undefined) {
    const [only] = groups;
    if (only === undefined || groups.length > 1) throw new Failure(`Which group of ${stack}? Say --group ${names.join(" or --group ")}.`);
    return only;
  }
  const plain = withoutPrefix(word, prefix);
  const found = groups.find(({ name, plan, members }) => name === plain || String(plan.setup.citusGroup) === word || members.some((member) => member === word || withoutPrefix(member, prefix) === plain));
  if (found !== undefined) return found;
  const members = groups.flatMap((group) => group.members.map((member) => withoutPrefix(member, prefix)));
  throw new Failure(`${stack} has no group "${word}"${didYouMean(plain, [...names, ...members])} ${names.length === 1 ? "Its only group is" : "Its groups are"} ${listed(names)}.`);
}

/**
 * The member of a name, with or without the stack's prefix, and its group.
 *
 * @throws {@link Failure} that names the member that is meant.
 */
export function requireMember(stack: Pick<HighlyAvailable, "name" | "settings" | "groups">, word: string, groups: readonly Group[] = stack.groups): { group: Group; member: string } {
  const found = findMember({ ...stack, groups }, word);
  if (found !== undefined) return found;
  const members = groups.flatMap((group) => group.members);
  const whole = groups.length === stack.groups.length ? stack.name : `the group ${groups.map(({ name }) => name).join(" or ")}`;
  const plain = members.map((member) => withoutPrefix(member, stack.settings.prefix));
  throw new Failure(`There is no member "${word}" in ${whole}${didYouMean(withoutPrefix(word, stack.settings.prefix), plain)} Its members are ${listed(members)}.`);
}

function findMember({ settings: { prefix }, groups }: Pick<HighlyAvailable, "settings" | "groups">, word: string): { group: Group; member: string } | undefined {
  const known = groups.flatMap((group) => group.members.map((member) => ({ group, member })));
  return known.find(({ member }) => member === word) ?? known.find(({ member }) => member === `${prefix}${word}`);
}

/** The end of a sentence about a word that is none of the candidates. */
function didYouMean(word: string, candidates: readonly string[]): string {
  const meant = closest(word, candidates);
  return meant === undefined ? "." : `; did you mean ${meant}?`;
}

function withoutPrefix(name: string, prefix: string): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}
