import { rmSync } from "node:fs";
import { Guard } from "./guard";
import { STATE_FILE } from "./state";

/**
 * The guard's program. Runs in the network namespace of a coordinator, with the capability to break its connections;
 * user, database and password of the coordinator and of the workers are in the environment, as libpq has them.
 */
function main(): void {
  const log = (line: string): void => console.log(`${new Date().toISOString()} ${line}`);
  // What an earlier run of this container knew is not known now.
  rmSync(STATE_FILE, { force: true });
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
  new Guard(log).run().then(
    () => process.exit(1),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
}

main();
