import * as pulumi from "@pulumi/pulumi";
import { PATRONI_DOCKERFILE, planPatroniImage } from "../topology/patroniImage";
import { program, readPackageFile } from "./program";

export interface PatroniImageArgs {
  /** The image that Patroni is put on: Debian-based, with PostgreSQL or Citus, such as `citusdata/citus:13.2.0`. */
  readonly base: string;
}

/** An image of Patroni, built on this machine with `docker build` and tagged by its content. */
export class PatroniImage extends pulumi.ComponentResource {
  /** The image's tag, once it is built. */
  readonly image: pulumi.Output<string>;

  constructor(name: string, args: PatroniImageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:PatroniImage", name, {}, opts);
    const plan = planPatroniImage(args.base, readPackageFile(PATRONI_DOCKERFILE));

    const build = program(this, `${name}-build`, "image", { spec: plan, dependsOn: [] });

    this.image = build.stdout.apply(() => plan.tag);
    this.registerOutputs({ image: this.image });
  }
}
