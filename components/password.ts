import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

/**
 * A password as a secret: the given one, or one that is generated once and kept in the state, encrypted.
 *
 * @param aliases other places that a generated one may have in the state.
 */
export function password(parent: pulumi.ComponentResource, resourceName: string, given?: pulumi.Input<string>, aliases: pulumi.Alias[] = []): pulumi.Output<string> {
  if (given !== undefined) return pulumi.secret(given);
  const generated = new command.local.Command(
    resourceName,
    {
      interpreter: ["node", "-e"],
      create: 'process.stdout.write(require("node:crypto").randomBytes(24).toString("base64url"))',
      logging: "none",
      addPreviousOutputInEnv: false,
    },
    { parent, additionalSecretOutputs: ["stdout"], ...(aliases.length > 0 && { aliases }) },
  );
  return pulumi.secret(generated.stdout);
}
