import type { Command } from "commander";
import { history, type HistoryOptions } from "./history";
import { list, type ListOptions } from "./list";
import { pause, type PauseOptions } from "./pause";
import { reinit, type ReinitOptions } from "./reinit";
import { restart, type RestartOptions } from "./restart";
import { switchover, type SwitchoverOptions } from "./switchover";

const STACK = "the stack; may be left out where only one has Patroni groups";
const GROUP = "a group, such as worker2, or one of its members";

/** Adds `ha` and its commands: operations of Patroni groups. */
export function addHaCommands(program: Command): void {
  const ha = program.command("ha").description("Operates Patroni groups: who leads, restarts, new copies, maintenance.").usage("<command> [stack] [options]");
  // npm hands options on after -- only.
  ha.configureHelp({ commandUsage: (command) => `npm run ha -- ${command === ha ? "" : `${command.name()} `}${command.usage()}` });

  const command = (name: string, description: string): Command => ha.command(name).description(description).usage("[stack] [options]");
  const onStack = (name: string, description: string): Command => command(name, description).argument("[stack]", STACK);
  const words = (stack: string | undefined): string[] => (stack === undefined ? [] : [stack]);

  onStack("list", "Shows every member of every group. Exits with 1 if one is not in service.")
    .option("--group <group>", GROUP)
    .option("--json", "print it as JSON", false)
    .action((stack: string | undefined, options: ListOptions) => list(words(stack), options));

  onStack("switchover", "Hands the lead over to a standby, without losing a write.")
    .option("--to <member>", "the member that shall lead; the most advanced synchronous standby if not set")
    .option("--group <group>", GROUP)
    .option("--json", "print the result as JSON", false)
    .action((stack: string | undefined, options: SwitchoverOptions) => switchover(words(stack), options));

  command("restart", "Restarts PostgreSQL of members: standbys one by one, a leader after it has handed over.")
    .usage("[stack] [member...] [options]")
    .argument("[words...]", `${STACK}; then members, none for all`)
    .option("--pending", "only members with a pending restart", false)
    .option("--group <group>", GROUP)
    .action((given: string[], options: RestartOptions) => restart(given, options));

  command("reinit", "Has a standby drop its data and copy the leader's.")
    .usage("[stack] <member> [options]")
    .argument("[words...]", `${STACK}; then the standby`)
    .option("--yes", "do not ask", false)
    .option("--group <group>", GROUP)
    .action((given: string[], options: ReinitOptions) => reinit(given, options));

  onStack("pause", "Begins maintenance mode: Patroni watches and changes nothing by itself.")
    .option("--group <group>", `${GROUP}; all groups if not set`)
    .action((stack: string | undefined, options: PauseOptions) => pause(words(stack), options, true));

  onStack("resume", "Ends maintenance mode.")
    .option("--group <group>", `${GROUP}; all groups if not set`)
    .action((stack: string | undefined, options: PauseOptions) => pause(words(stack), options, false));

  onStack("history", "Shows every change of a leader that Patroni remembers.")
    .option("--group <group>", GROUP)
    .option("--json", "print it as JSON", false)
    .action((stack: string | undefined, options: HistoryOptions) => history(words(stack), options));
}
