import { Command, CommanderError } from "commander";
import { SettingsError } from "../config/parse";
import { SetupError } from "../setup/setupError";
import { benchDirectory, type BenchDirectoryOptions } from "./bench/directory";
import { benchFence } from "./bench/fence";
import { benchRebalance } from "./bench/rebalance";
import { benchRouter } from "./bench/router";
import { benchTenant } from "./bench/tenant";
import { benchUp } from "./benchUp";
import { blast, type BlastOptions } from "./blast";
import { chaos, type ChaosOptions } from "./chaos";
import { demo } from "./demo";
import { down, type DownOptions } from "./down";
import { Failure } from "./failure";
import { addHaCommands } from "./ha/commands";
import { fail } from "./print";
import { requireStack } from "./project";
import { pulumi } from "./pulumiCommand";
import { restart } from "./restart";
import { status } from "./status";
import { addTenantCommands } from "./tenant/commands";
import { up } from "./up";
import { uri } from "./uri";

const program = new Command("npm run").description("Sharded PostgreSQL on this machine's Docker.").showHelpAfterError(false).exitOverride();
program.configureOutput({ outputError: (text) => fail(text.replace(/^error: /, "").trim()) });

const collect = (value: string, values: readonly string[]): string[] => [...values, value];

/** A command of the front door on one stack. */
function stackCommand(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .usage("-- <stack> [options]")
    .argument("[stack]", "the stack: Pulumi.<stack>.yaml is its configuration");
}

stackCommand("up", "Brings a stack to what its configuration says.")
  .option("-c, --config <key=value>", "set a key of the configuration and keep it, as pulumi up does; may be repeated", collect, [])
  .option("--config-path", "keys are paths, such as clusters.b.workers", false)
  .option("--accept-loss <workers>", "workers, comma-separated, whose lost shards may be created again, empty")
  .action((stack: string | undefined, options: { config: string[]; configPath: boolean; acceptLoss?: string }) => up(requireStack("up", stack), options));

stackCommand("down", "Takes a stack away, with its data unless dataOnDestroy is keep. Asks before data goes that took writes.")
  .option("--yes", "do not ask, whatever data goes", false)
  .option("--remove", "forget the stack in Pulumi, too", false)
  .option("--forget", "remove everything without opening the state, when its passphrase is lost", false)
  .option("--json", "print what is left as JSON", false)
  .action((stack: string | undefined, options: DownOptions) => down(requireStack("down", stack), options));

stackCommand("restart", "Restarts nodes one after the other, and brings back those that are stopped, paused or cut off.")
  .argument("[nodes...]", "nodes to restart; none for all")
  .option("--together", "all at once", false)
  .action((stack: string | undefined, nodes: string[], { together }: { together: boolean }) => restart(requireStack("restart", stack), { nodes, together }));

stackCommand("status", "Shows every node, and whether every shard takes a write. Exits with 1 if something is wrong.")
  .option("--json", "print it as JSON", false)
  .action((stack: string | undefined, { json }: { json: boolean }) => status(requireStack("status", stack), json));

stackCommand("demo", "Loads 10,000 rooms with members and messages, and shows where they are.")
  .option("--json", "print the result as JSON", false)
  .action((stack: string | undefined, { json }: { json: boolean }) => demo(requireStack("demo", stack), json));

stackCommand("uri", "Prints a connection URI, with its password: npm run -s uri -- <stack>.")
  .argument("[name]", "a cluster; leader, standbys or pooled")
  .option("--json", "print all of them as JSON", false)
  .action((stack: string | undefined, which: string | undefined, { json }: { json: boolean }) => uri(requireStack("uri", stack), which, json));

addHaCommands(program);
addTenantCommands(program);

program
  .command("chaos")
  .description("Breaks a running stack while clients write, heals it, and checks that nothing acknowledged is lost; check <file> checks a history again.")
  .usage("-- <stack> [options], -- group --members <names> --etcd <names> [options], or -- check <file>")
  .argument("[stack]", "the stack; its data is not touched, clients have a schema of their own")
  .argument("[file]", "the history to check again, after check")
  .option("--fault <names>", "only these faults, comma-separated; a wrong name is answered with the list")
  .option("--role <role>", "only faults of this role, such as coordinator or worker")
  .option("--times <count>", "how often each of them")
  .option("--minutes <minutes>", "faults by chance for so long, instead")
  .option("--seed <number>", "repeats the choices of an earlier run")
  .option("--hold <seconds>", "how long a fault lasts that has to be undone")
  .option("--dense [clients]", "clients that write without a pause, beside the others; 12 unless you say. Runs of minutes have 12 in bursts")
  .option("--disturb <what>", "what else changes meanwhile: schema, moves, or both with a comma between. Runs of minutes have both")
  .option("--cut <what>", "what power cuts take: databases, etcd (with them), everything; with commas between, one by chance each time")
  .option("--engine-restart <command>", "the command that restarts this machine's Docker engine, for the fault engine")
  .option("--members <names>", "of a Patroni group without Citus: its containers, comma-separated; CHAOS_URI is where its leader takes statements")
  .option("--etcd <names>", "the containers of its etcd")
  .option("--haproxy <name>", "the container of its HAProxy")
  .option("--shape", "shapes power cuts so that they find narrow moments: restart points far back, a standby before the others, leaders late", false)
  .option("--json", "print the result as JSON", false)
  .action((stack: string | undefined, file: string | undefined, options: ChaosOptions) => chaos(stack, file, options));

program
  .command("blast")
  .description("Kills a worker, a coordinator or a whole cluster while tenants write, and says what that cost them; compare puts stacks on one page.")
  .usage("-- <stack> [options], or -- compare [reports]")
  .argument("[stack]", "the stack; its data is not touched, clients write to rooms of their own")
  .argument("[reports...]", "the reports to compare, after compare; none for the newest")
  .option("--kill <names>", "what is killed, comma-separated, such as worker:worker_a1, coordinator:a or cluster:a; a wrong name is answered with the list")
  .option("--tenants <count>", "how many tenants write")
  .option("--seconds <seconds>", "how long what is killed stays dead")
  .option("--json", "print the result as JSON", false)
  .action((stack: string | undefined, reports: string[], options: BlastOptions) => blast(stack, reports, options));

program
  .command("pulumi")
  .description("Runs Pulumi with the stack's backend and passphrase: npm run pulumi -- config set workers 4 --stack active-passive.")
  .argument("[arguments...]")
  .allowUnknownOption()
  .helpOption(false)
  .action((passed: string[]) => pulumi(passed));

program
  .command("bench:up")
  .description("Measures both stacks from nothing to a write to every shard, and back.")
  .argument("[stacks...]", "stacks to measure; none for all")
  .option("--runs <count>", "how often", (text) => Number(text), 3)
  .option("--replace", "take a stack that is up away first, with its data", false)
  .option("--json", "print the figures as JSON", false)
  .action((stacks: string[], options: { runs: number; replace: boolean; json: boolean }) => benchUp(stacks.map((stack) => requireStack("bench:up", stack)), options));

program
  .command("bench:router")
  .description("Measures what the tenant router costs. Needs an active-active stack that is up.")
  .argument("[stack]", "may be left out where only one spreads tenants over clusters")
  .option("--rounds <count>", "how often", Number, 20)
  .option("--json", "print the figures as JSON", false)
  .action((stack: string | undefined, options: { rounds: number; json: boolean }) => benchRouter(stack === undefined ? [] : [stack], options));

program
  .command("bench:directory")
  .description("Measures what a router pays for a directory of many tenants, in a database of its own beside each cluster's. Needs an active-active stack that is up, and about 150 MB of disk for a million records in each cluster.")
  .argument("[stack]", "may be left out where only one spreads tenants over clusters")
  .option("--records <count>", "records in each cluster", "1000000")
  .option("--routers <count>", "routers at once", "50")
  .option("--clusters <count>", "clusters of the larger stack, which is simulated", "100")
  .option("--json", "print the figures as JSON", false)
  .action((stack: string | undefined, options: BenchDirectoryOptions) => benchDirectory(stack === undefined ? [] : [stack], options));

program
  .command("bench:fence")
  .description("Measures what the fence costs. Needs an active-active stack that is up.")
  .argument("[stack]", "may be left out where only one spreads tenants over clusters")
  .option("--rounds <count>", "how often", Number, 20)
  .option("--json", "print the figures as JSON", false)
  .action((stack: string | undefined, options: { rounds: number; json: boolean }) => benchFence(stack === undefined ? [] : [stack], options));

program
  .command("bench:tenant")
  .description("Measures what a client notices of a tenant that moves. Needs an active-active stack that is up, with the default schema.")
  .argument("[stack]", "may be left out where only one spreads tenants over clusters")
  .option("--rows <counts>", "messages of the tenants, comma-separated", "10000,100000,1000000")
  .option("--moves <count>", "how often each is moved", Number, 20)
  .option("--json", "print the figures as JSON", false)
  .action((stack: string | undefined, options: { rows: string; moves: number; json: boolean }) => benchTenant(stack === undefined ? [] : [stack], options));

program
  .command("bench:rebalance")
  .description("Measures how many small tenants a drain and a rebalance move. Needs an active-active stack that is up, with the default schema; its other tenants move as well.")
  .argument("[stack]", "may be left out where only one spreads tenants over clusters")
  .option("--tenants <count>", "how many are made", Number, 10_000)
  .option("--json", "print the figures as JSON", false)
  .action((stack: string | undefined, options: { tenants: number; json: boolean }) => benchRebalance(stack === undefined ? [] : [stack], options));

program
  .parseAsync()
  .catch((error: unknown) => {
    if (error instanceof CommanderError) return void (process.exitCode = error.exitCode);
    process.exitCode = 1;
    if (error instanceof Failure || error instanceof SettingsError || error instanceof SetupError) return fail(error.message);
    fail(`This should not have happened: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  })
  // A frozen server may hold a connection open; nothing is left to be said to it.
  .finally(() => process.exit());
