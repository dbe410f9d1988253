import { rmSync } from "node:fs";
import { answerInStep } from "./answer";
import { Guard } from "./guard";
import { RECOVERY_PATIENCE_MS } from "./judgement";
import { STATE_FILE } from "./state";
import { STALL_MS } from "./wayBack";

/**
 * The guard's program. Runs in the network namespace of a coordinator, with the capability to break its connections;
 * user, database and password of the coordinator and of the workers are in the environment, as libpq has them, and in
 * `GUARD_PATIENCE_MS` how long a worker that recovers is waited for, and in `GUARD_STALL_MS` how long a copy may stand still.
 */
function main(): void {
  const log = (line: string): void => console.log(`${new Date().toISOString()} ${line}`);
  // What an earlier run of this container knew is not known now.
  rmSync(STATE_FILE, { force: true });
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
  const guard = new Guard(log, Number(process.env["GUARD_PATIENCE_MS"] ?? RECOVERY_PATIENCE_MS), Number(process.env["GUARD_STALL_MS"] ?? STALL_MS));
  answerInStep(() => guard.inStep()).on("error", (error) => log(`nobody is told which workers are in step: ${error.message}`));
  guard.run().then(
    () => process.exit(1),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
}

main();
