import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { STACK_LABEL } from "../topology/plan";
import { stackLabel } from "./container";

/** The name of a bridge network of the stack's own, once it exists. */
export function network(parent: pulumi.Resource, resourceName: string, name: string, dependsOn: pulumi.Resource[]): pulumi.Output<string> {
  return new docker.Network(resourceName, { name, driver: "bridge", labels: [{ label: STACK_LABEL, value: stackLabel() }] }, { parent, dependsOn }).name;
}
