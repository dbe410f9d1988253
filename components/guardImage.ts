import * as pulumi from "@pulumi/pulumi";
import { bundle } from "../images/bundle";
import { GUARD_DOCKERFILE, GUARD_PROGRAM, planGuardImage } from "../topology/guardImage";
import { program, readPackageFile } from "./program";

export interface GuardImageArgs {
  /** The image that the guard is put on: Debian-based, with Node.js. @default node:20-trixie-slim */
  readonly base?: string;
}

/** The guard's image, built on this machine with `docker build` and tagged by its content. */
export class GuardImage extends pulumi.ComponentResource {
  /** The image's tag, once it is built. */
  readonly image: pulumi.Output<string>;

  constructor(name: string, args: GuardImageArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:GuardImage", name, {}, opts);
    const plan = planGuardImage(args.base ?? "node:20-trixie-slim", readPackageFile(GUARD_DOCKERFILE), bundle(GUARD_PROGRAM));

    const build = program(this, `${name}-build`, "image", { spec: plan, dependsOn: [] });

    this.image = build.stdout.apply(() => plan.tag);
    this.registerOutputs({ image: this.image });
  }
}
