import type * as pulumi from "@pulumi/pulumi";
import { BuiltImage } from "./builtImage";

export interface GuardImageArgs {
  /** The image that the guard is put on: Debian-based, with Node.js. @default node:20-trixie-slim */
  readonly base?: string;
}

/** The guard's image, built on this machine with `docker build` and tagged by its content. */
export class GuardImage extends BuiltImage {
  constructor(name: string, { base = "node:20-trixie-slim" }: GuardImageArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super(name, { holds: "guard", base }, opts);
  }
}
