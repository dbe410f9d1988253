import { STACK_LABEL } from "../topology/plan";
import { inspected } from "./docker";

/**
 * Why containers that an older version of the project made without a holder stop an update: they have the ports that their holders are to
 * have, and Pulumi makes those first. Undefined if there are none.
 *
 * @param held the containers that have a holder now.
 * @throws {@link SetupError} if Docker does not tell.
 */
export async function supersededRefusal(held: readonly string[]): Promise<string | undefined> {
  const names = supersededIn(await inspected("container", `{{.Name}} {{.HostConfig.NetworkMode}} {{index .Config.Labels "${STACK_LABEL}"}}`, held));
  if (names.length === 0) return undefined;
  const [was, them] = names.length === 1 ? ["was", "it"] : ["were", "them"];
  return (
    `${names.join(" and ")} ${was} made by an older version of the project, without the holder that takes the ports now. npm run up takes ${them} away by itself; ` +
    `with plain Pulumi: docker rm -f ${names.join(" ")} && pulumi up --refresh. Nothing was touched.`
  );
}

/** The containers of a stack that have an address of their own, of what `docker inspect` printed: a name, a network mode and the stack's label a line. */
export function supersededIn(printed: string): string[] {
  return printed.split("\n").flatMap((line) => {
    const [name = "", mode = "", stack = ""] = line.split(" ");
    return name === "" || stack === "" || mode.startsWith("container:") ? [] : [name.replace(/^\//, "")];
  });
}
