import { setTimeout as delay } from "node:timers/promises";
import type { TurnSpec } from "../../topology/plan";
import { containerState, inspected } from "../docker";
import type { Report } from "../report";
import { SetupError } from "../setupError";
import { containersGroup } from "./containersGroup";
import { etcdGroup } from "./etcdGroup";
import type { Group, Verdict } from "./group";
import { patroniGroup } from "./patroniGroup";
import { workersGroup } from "./workersGroup";

const POLL_MS = 300;
/** A container that Docker has started anew this often while it was waited for ends again and again. */
const HOPELESS_STARTS = 3;

/**
 * Returns when a container may be replaced: the rest of its group is whole, it leads nothing, and no statement goes to it
 * that could go elsewhere.
 *
 * @throws {@link SetupError} that names the member which does not come back, or that Docker does not tell of. Nothing was replaced then.
 */
export async function takeTurn({ container, group: spec }: TurnSpec, report: Report): Promise<void> {
  const group = groupOf(container, spec, report);
  let verdict: Verdict | undefined;
  let since = performance.now();
  const startsOf = new Map<string, number>();
  try {
    for (;;) {
      const next = await group.look();
      if (next.kind !== verdict?.kind || subjectOf(next) !== subjectOf(verdict)) since = performance.now();
      verdict = next;
      const waitedMs = performance.now() - since;
      switch (verdict.kind) {
        case "go":
          await group.leave?.();
          return;
        case "repair":
          report.activity = `making sure that ${container} may go: ${verdict.because}`;
          if (waitedMs < verdict.afterSeconds * 1000) break;
          report.found(container, `is replaced without waiting for others: ${verdict.because}`);
          return;
        case "wait":
          report.activity = `waiting for ${verdict.member}, which ${verdict.because}`;
          if (waitedMs > verdict.limitSeconds * 1000 || (await endsAgain(verdict.member, startsOf))) throw new SetupError(await stuck(container, verdict));
          break;
        case "act":
          report.activity = verdict.doing;
          await verdict.act();
          break;
      }
      await delay(POLL_MS);
    }
  } finally {
    group.close?.();
  }
}

function groupOf(container: string, spec: TurnSpec["group"], report: Report): Group {
  switch (spec.kind) {
    case "patroni":
      return patroniGroup(container, spec, report);
    case "etcd":
      return etcdGroup(container, spec);
    case "citus":
      return workersGroup(container, spec, report);
    case "containers":
      return containersGroup(container, spec);
  }
}

function subjectOf(verdict: Verdict): string {
  return verdict.kind === "wait" ? `${verdict.member} ${verdict.progress ?? ""}` : verdict.kind === "repair" ? verdict.because : "";
}

/** Whether a member ends again and again; `startsOf` remembers how often each had been started when it was first looked at. */
async function endsAgain(member: string, startsOf: Map<string, number>): Promise<boolean> {
  const starts = Number(await inspected("container", "{{.RestartCount}}", [member]));
  startsOf.set(member, Math.min(startsOf.get(member) ?? starts, starts));
  return starts - (startsOf.get(member) ?? starts) >= HOPELESS_STARTS;
}

async function stuck(container: string, { member, because }: Extract<Verdict, { kind: "wait" }>): Promise<string> {
  return (
    `${member} does not come back: it ${because}, and ${await containerState(member)}. ${container} and those after it were not touched. ` +
    `If ${member} does not come up with what was changed, put the earlier value back and run the update again; docker logs ${member} has its reason`
  );
}
