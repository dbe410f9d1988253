import type { Command } from "commander";
import { list, type ListCommandOptions } from "./list";
import { locate } from "./locate";
import { migrate, type MigrateCommandOptions } from "./migrate";
import { move, type MoveCommandOptions } from "./move";
import { place, type PlaceCommandOptions } from "./place";
import { plan, type PlanCommandOptions } from "./plan";
import { drain, rebalance } from "./rebalance";
import { recover } from "./recover";

const STACK = "the stack; may be left out where only one spreads tenants over clusters";

interface Json {
  readonly json: boolean;
}

/** Adds `tenant` and its commands: where tenants live, and moving them. */
export function addTenantCommands(program: Command): void {
  const tenant = program.command("tenant").description("Tenants of an active-active stack: where they live, and moving them while they are used.").usage("<command> [stack] [options]");
  // npm hands options on after -- only.
  tenant.configureHelp({ commandUsage: (command) => `npm run tenant -- ${command === tenant ? "" : `${command.name()} `}${command.usage()}` });

  const command = (name: string, description: string, words: string): Command =>
    tenant
      .command(name)
      .description(description)
      .usage(`[stack]${words} [options]`)
      .argument("[words...]", words === "" ? STACK : `${STACK}; then${words}`)
      .option("--json", "print the result as JSON", false);

  command("locate", "Says in which cluster a tenant lives, and why.", " <tenant>").action((words: string[], options: Json) => locate(words, options));

  command("list", "Shows how many tenants each cluster has, and the largest.", "")
    .option("--cluster <cluster>", "only this cluster")
    .option("--limit <count>", "tenants to show of each cluster", Number, 10)
    .action((words: string[], options: ListCommandOptions) => list(words, options));

  command("move", "Moves a tenant to another cluster while it is used.", " <tenant>")
    .option("--to <cluster>", "the cluster that it shall live in")
    .action((words: string[], options: MoveCommandOptions) => move(words, options));

  command("place", "Gives a tenant that has no rows yet a home: a cluster, or one of a region.", " <tenant> [cluster]")
    .option("--region <region>", "a region instead: the one of its clusters that hashing gives the tenant to")
    .action((words: string[], options: PlaceCommandOptions) => place(words, options));

  command("recover", "Ends moves that stopped half-way: gives them up, or finishes them where that was decided.", " [tenant...]").action((words: string[], options: Json) => recover(words, options));

  command("plan", "Shows what a rebalance would move, with rows and bytes; changes nothing.", "")
    .option("--add <cluster>", "as if there were this cluster, too, with its weight in the settings or else 1")
    .option("--remove <cluster>", "as if this cluster were drained")
    .action((words: string[], options: PlanCommandOptions) => plan(words, options));

  command("rebalance", "Spreads the tenants over all clusters of the stack, as a new cluster or another weight needs.", "").action((words: string[], options: Json) => rebalance(words, options));

  command("drain", "Moves every tenant of a cluster to the others, so that it can be taken out of the stack.", " <cluster>").action((words: string[], options: Json) => drain(words, options));

  command("migrate", "Applies the SQL files of a folder to every cluster, one after the other; moves of tenants wait.", " <folder>")
    .option("--plan", "show what would be applied where; changes nothing", false)
    .option("--lock-timeout <duration>", "how long a statement waits for a lock before its file is rolled back and tried again", "3 s")
    .option("--retry <file>", "run a file again that was begun outside of a transaction, in --cluster")
    .option("--mark-done <file>", "take a file that was begun, or the next one, for applied in --cluster: somebody has seen to it")
    .option("--cluster <cluster>", "the cluster that --retry or --mark-done is about")
    .action((words: string[], options: MigrateCommandOptions) => migrate(words, options));
}
