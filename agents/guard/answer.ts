import { createServer, type Server } from "node:http";
import { IN_STEP_PORT } from "../../topology/guard";

/**
 * Tells whoever asks, over HTTP, which workers are in step with the cluster: one name a line. Only the guard beside the
 * primary coordinator knows; the others answer 503.
 *
 * @param inStep the workers that are in step; undefined where this guard does not know.
 */
export function answerInStep(inStep: () => readonly string[] | undefined): Server {
  return createServer((_, response) => {
    const names = inStep();
    response.writeHead(names === undefined ? 503 : 200, { "content-type": "text/plain" });
    response.end((names ?? []).map((name) => `${name}\n`).join(""));
  }).listen(IN_STEP_PORT);
}
