import { beforeStatement, CLEANING } from "../../e2e/beforeStatement";
import { moveTenant } from "../../../tenants/move";
import type { MoverMessage, MoverOrder } from "./moverProcess";
import type { Step } from "./faults";

/*
 * A mover that is a process of its own and tells its parent each step, over the channel that `fork` makes. At the step that it is told to wait at it waits for the word to go on. Without a parent it ends at once.
 */
let goOn: (() => void) | undefined;

function tell(message: MoverMessage): Promise<void> {
  return new Promise((resolve) => process.send?.(message, () => resolve()));
}

async function move({ clusters, tenant, to, waitAt }: Extract<MoverOrder, { order: "move" }>): Promise<void> {
  const reached = async (step: Step): Promise<void> => {
    const wait = step === waitAt && goOn === undefined ? new Promise<void>((resolve) => (goOn = resolve)) : undefined;
    await tell({ step });
    await wait;
  };
  beforeStatement(CLEANING, () => reached("cleaning"));
  await moveTenant(clusters, tenant, to, { onStep: reached }).then(
    ({ closedMs, attempts }) => tell({ closedMs, attempts }),
    (error: unknown) => tell({ error: (error as Error).message }),
  );
}

process.on("disconnect", () => process.exit(1));
process.on("message", (order: MoverOrder) => {
  if (order.order === "go on") goOn?.();
  else void move(order).then(() => process.exit(0));
});
