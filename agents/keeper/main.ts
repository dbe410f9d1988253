import { Engine } from "./engine";
import { Keeper } from "./keeper";

/** The keeper's program. `KEEPER_STACK` is the label and `KEEPER_NETWORK` the network of the stack that it keeps. */
function main(): void {
  const { KEEPER_STACK: stack = "", KEEPER_NETWORK: network = "" } = process.env;
  const log = (line: string): void => console.log(`${new Date().toISOString()} ${line}`);
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
  log(`keeping ${stack} on ${network}`);
  // Docker starts it again.
  const end = (): never => process.exit(1);
  new Keeper(new Engine(stack, network), log).run().then(end, (error: unknown) => {
    console.error(error);
    end();
  });
}

main();
