import type * as pulumi from "@pulumi/pulumi";
import { FIRST_UPDATE, MADE_OF_LABEL, type TurnGroup, type TurnSpec } from "../topology/plan";
import { program } from "./program";

/** A copy of a large worker takes hours, and ends by its own measure when it does not go on. */
const TIMEOUT_SECONDS = 86_400;

/** When it is a container's turn to be replaced. */
export interface Turn {
  /** The containers of which one at a time may be away. */
  readonly group: TurnGroup;
  /** What is replaced before it, where both change. */
  readonly after: readonly pulumi.Input<pulumi.Resource>[];
}

/** What decides the resource of a turn. */
export interface TurnInputs extends Turn {
  /** The container's name. */
  readonly container: string;
  /** A digest of what the container is made of. */
  readonly madeOf: pulumi.Output<string>;
  /** What has to exist before the container starts. */
  readonly dependsOn: readonly pulumi.Input<pulumi.Resource>[];
}

/**
 * Shell commands that end with 0 where there is no such container, or it is as it should be, and with 1 where Docker does not tell. One that is
 * as it should be and was stopped is started: an earlier turn may have stopped it for a replacement that was interrupted, and put back since.
 */
function unlessDue(container: string): string {
  const format = `{{index .Config.Labels "${MADE_OF_LABEL}"}} {{.State.Status}}`;
  return [
    `seen=$(docker container inspect --format '${format}' '${container}' 2>&1) || case $seen in *[Nn]'o such container'*) exit 0;; *) echo 'Docker does not tell of ${container}:' "$seen; nothing was replaced" >&2; exit 1;; esac`,
    `case $seen in *"$CITUS_MADE_OF exited"*) docker start '${container}'; exit 0;; *"$CITUS_MADE_OF "*) exit 0;; esac`,
  ].join("; ");
}

/**
 * A command resource that a container depends on, and that depends on the container before it: where the container is
 * about to be replaced it waits until the rest of its group is whole, and hands over what the container leads.
 *
 * Its environment changes when the container is about to be another one. Where there is no such container, or it is as it
 * should be, the command costs one call of docker.
 */
export function turn(parent: pulumi.ComponentResource, resourceName: string, { container, madeOf, group, after, dependsOn }: TurnInputs): pulumi.Resource {
  const spec: TurnSpec = { kind: "turn", container, group, timeoutSeconds: TIMEOUT_SECONDS };
  return program(parent, resourceName, "main", {
    spec,
    environment: { CITUS_MADE_OF: madeOf },
    dependsOn: [...dependsOn, ...(process.env[FIRST_UPDATE] === "true" ? [] : after)],
    before: unlessDue(container),
  });
}
