import type * as pulumi from "@pulumi/pulumi";
import { BuiltImage } from "./builtImage";

export interface KeeperImageArgs {
  /** The image that the keeper is put on: Debian-based, with Node.js. @default node:20-trixie-slim */
  readonly base?: string;
}

/** The keeper's image, built on this machine with `docker build` and tagged by its content. */
export class KeeperImage extends BuiltImage {
  constructor(name: string, { base = "node:20-trixie-slim" }: KeeperImageArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super(name, { holds: "keeper", base }, opts);
  }
}
