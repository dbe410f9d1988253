import { warn } from "./print";
import { Progress } from "./progress";
import type { Pulumi, UpdateResult } from "./pulumi";
import { StatusLine } from "./statusLine";

/** Runs `pulumi up` or `pulumi destroy` with its progress in front of the user. */
export async function update(pulumi: Pulumi, args: readonly string[]): Promise<UpdateResult & { readonly progress: Progress }> {
  const progress = new Progress();
  const status = new StatusLine();
  const result = await pulumi.update(
    args,
    (event) => {
      const { lines, warnings } = progress.accept(event);
      for (const line of lines) status.line(line);
      for (const sentence of warnings) status.interleave(() => warn(sentence));
      status.doing(progress.activity);
    },
    () => status.line("Ending in order: what has begun is finished. A second Ctrl-C ends it at once."),
  );
  status.end();
  return { ...result, progress };
}
