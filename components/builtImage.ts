import * as pulumi from "@pulumi/pulumi";
import { bundle } from "../images/bundle";
import { planImage, type BuiltImageName } from "../topology/builtImage";
import { program, readPackageFile } from "./program";

export interface BuiltImageArgs {
  /** What the image holds. */
  readonly holds: BuiltImageName;
  /** The image that it is put on. */
  readonly base: string;
}

/** An image that is built on this machine with `docker build` and tagged by its content. */
export class BuiltImage extends pulumi.ComponentResource {
  /** The image's tag, once it is built. */
  readonly image: pulumi.Output<string>;

  constructor(name: string, { holds, base }: BuiltImageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:BuiltImage", name, {}, opts);
    const plan = planImage(holds, base, readPackageFile, bundle);

    const build = program(this, `${name}-build`, "image", { spec: plan, dependsOn: [] });

    this.image = build.stdout.apply(() => plan.tag);
    this.registerOutputs({ image: this.image });
  }
}
