import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { isFenced } from "../config/fenced";
import type { PasswordKey, Settings, Topology } from "../config/settings";
import { heldContainers, identityOf, PASSWORD_VARIABLES, type IdentitySpec } from "../topology/identity";
import { program } from "./program";

export interface IdentityInputs {
  readonly settings: Settings;
  /** Every password of the stack, given or generated. */
  readonly passwords: Readonly<Partial<Record<PasswordKey, pulumi.Input<string>>>>;
  /** The passwords that the user gave. */
  readonly given: readonly PasswordKey[];
  /** Ids of the images of databases, by the settings that name them. */
  readonly images: Readonly<Record<string, pulumi.Input<string>>>;
  readonly holderImage: pulumi.Input<string>;
  /** Clusters whose data may be lost, comma-separated. */
  readonly acceptLoss?: string;
}

const COMPONENTS: Readonly<Record<Topology, string>> = { "active-active": "citus:index:ActiveActive", "active-passive": "citus:index:ActivePassive" };

/**
 * The command that looks after a stack's identity: what makes containers depends on it, so that settings which would lose sight of data stop
 * an update before anything is touched. It remembers what the last update went by, also where the topology was another one.
 */
export function identity(parent: pulumi.ComponentResource, { settings, passwords, given, images, holderImage, acceptLoss }: IdentityInputs): command.local.Command {
  const spec: IdentitySpec = { stack: pulumi.getStack(), identity: identityOf(settings, given), held: heldContainers(settings), fence: settings.topology === "active-active" && isFenced(settings) };
  const secrets = Object.entries(passwords).map(([key, password]): [string, pulumi.Input<string>] => [PASSWORD_VARIABLES[key as PasswordKey], password]);
  const others = Object.entries(COMPONENTS).filter(([topology]) => topology !== settings.topology);
  return program(parent, "identity", "identity", {
    spec,
    environment: {
      ...Object.fromEntries(secrets),
      CITUS_DATABASE_IMAGES: pulumi.jsonStringify(Object.entries(images).map(([key, image]) => ({ key, image }))),
      CITUS_HOLDER_IMAGE: holderImage,
      ...(acceptLoss !== undefined && { CITUS_ACCEPT_LOSS: acceptLoss }),
    },
    dependsOn: [],
    remembers: true,
    aliases: others.map(([topology, type]) => ({ parent: pulumi.createUrn(topology, type) })),
  });
}
