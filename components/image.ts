import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";

/** The id of an image, pulled unless it is present. It stays when the stack goes: others may use it. */
export function image(parent: pulumi.Resource, resourceName: string, reference: string): pulumi.Output<string> {
  return new docker.RemoteImage(resourceName, { name: reference, keepLocally: true }, { parent }).imageId;
}
