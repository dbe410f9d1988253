import type * as pulumi from "@pulumi/pulumi";
import { BuiltImage } from "./builtImage";

export interface PatroniImageArgs {
  /** The image that Patroni is put on: Debian-based, with PostgreSQL or Citus, such as `citusdata/citus:13.2.0`. */
  readonly base: string;
}

/** An image of Patroni, built on this machine with `docker build` and tagged by its content. */
export class PatroniImage extends BuiltImage {
  constructor(name: string, { base }: PatroniImageArgs, opts?: pulumi.ComponentResourceOptions) {
    super(name, { holds: "patroni", base }, opts);
  }
}
