import type * as pulumi from "@pulumi/pulumi";
import { PGBOUNCER_BASE } from "../topology/pooler";
import { BuiltImage } from "./builtImage";

export interface PgBouncerImageArgs {
  /** The image that PgBouncer is put on: Debian 13 or newer. @default debian:trixie-slim */
  readonly base?: string;
}

/** An image of PgBouncer with psql beside it, built on this machine with `docker build` and tagged by its content. */
export class PgBouncerImage extends BuiltImage {
  constructor(name: string, { base = PGBOUNCER_BASE }: PgBouncerImageArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super(name, { holds: "pgbouncer", base }, opts);
  }
}
