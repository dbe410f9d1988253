import type { UpdateError } from "./progress";
import { lastLine } from "./run";

/** What follows from the others and says nothing of its own. */
const FOLLOWS = /^(update|destroy) failed$|resource operations? failed|^failed to (register|discover|load)|error occurred while running the program/i;
const LONGEST_LINES = 6;
/** How the front door's own word of a killed Pulumi begins. */
const ENDED = "Pulumi was ended from outside";

/** The sentence for a failed `up` or `destroy`: what went wrong first, and a way on. */
export function updateFailure(stack: string, verb: "up" | "down", errors: readonly UpdateError[], other: string): string {
  const again = `Mend that and run npm run ${verb} -- ${stack} again: it goes on where it ended.`;
  const causes = errors.filter(({ message }) => !FOLLOWS.test(message));
  const error = causes.find(({ subject }) => subject !== undefined) ?? causes[0] ?? errors[0] ?? { message: lastLine(other) || "Pulumi ended without a reason" };
  const at = error.subject === undefined ? "" : `${error.subject}: `;
  const { message } = error;

  const port = /(?:Bind for \S+?:(\d+) failed: port is already allocated|listen tcp\S* \S*?:(\d+): bind: address already in use)/.exec(message);
  if (port !== null) return `${at}port ${port[1] ?? port[2] ?? ""} was taken by something else in the meantime. Stop that, or choose another port, and run npm run ${verb} -- ${stack} again.`;
  const name = conflictingName(message);
  if (name !== undefined) return `There is another container ${name}. Give it another name (docker rename ${name} ${name}-other) or remove it (docker rm -f ${name}), and run npm run ${verb} -- ${stack} again.`;
  const image = /(?:unable to find or pull image|No such image:?|Unable to read Docker image into resource:?|manifest for) "?([\w./:@-]+)"?/i.exec(message);
  if (image !== null) return `${at}the image ${image[1] ?? ""} cannot be had: ${lastLine(message)}. Pull it by hand or name another, and run npm run ${verb} -- ${stack} again.`;
  const plugin = /(?:could not load plugin|no (?:resource )?plugin|failed to (?:download|install) plugin)[\s\S]*/i.exec(message);
  if (plugin !== null) return `Pulumi could not get a provider plugin: ${oneLine(plugin[0])}. It downloads them once, from get.pulumi.com and GitHub: check the network, and run npm run ${verb} -- ${stack} again.`;
  if (/network .* has active endpoints/i.test(message)) return `${at}a container that is not of this stack is still on its network: ${lastLine(message)}. Disconnect or remove it, and run npm run ${verb} -- ${stack} again.`;
  if (/cannot connect to the docker daemon|error during connect/i.test(message)) return `Docker has gone away. Start it and run npm run ${verb} -- ${stack} again: it goes on where it ended.`;
  if (message.startsWith(ENDED)) return `${message}. Run npm run ${verb} -- ${stack} again: it goes on where it ended.`;
  return `${at}${essence(message)}${/[.!?]$/.test(essence(message)) ? "" : "."}${/nothing was touched/i.test(message) ? "" : ` ${again}`}`;
}

/** The container whose name another one has already, in Docker's words. */
export function conflictingName(message: string): string | undefined {
  return /container name "\/?([^"]+)" is already in use/i.exec(message)?.[1];
}

/** The lines of an error that are for a reader. */
function essence(message: string): string {
  // A program of the set-up prints its lines before it ends with its reason, and the reader has seen them.
  if (/^exit status \d+: running /.test(message)) return lastLine(message);
  const lines = message.split("\n").filter((line) => line.trim() !== "" && !/^\s+at /.test(line));
  const told = lines.length > 1 && /unhandled exception|errors? occurred/.test(lines[0] ?? "") ? lines.slice(1) : lines;
  return told
    .slice(0, LONGEST_LINES)
    .map((line) => line.replace(/^(\s*\* |error: |sdk-v2\/\S+ sdk\.helper_schema: )+/, "").replace(/: provider=docker@[\d.]+$/, ""))
    .join("\n");
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim().replace(/\.$/, "");
}
