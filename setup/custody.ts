import type { PasswordKey } from "../config/settings";
import { isDatabase, type IdentitySpec, type StackIdentity } from "../topology/identity";
import { custodyRefusal, type ImageMajor } from "./custodyRefusal";
import { inspected } from "./docker";
import { existing, holdingsOf } from "./holdings";
import { removedClusters } from "./removedClusters";

/** What custody is judged with, beside the settings. */
export interface Circumstances {
  /** What the last update went by; absent if none has recorded it. */
  readonly before: StackIdentity | undefined;
  /** Images of databases, each with the setting that names it. One that is not on this Docker says nothing. */
  readonly images: readonly { readonly key: string; readonly image: string }[];
  /** An image with a shell, to look into volumes with. */
  readonly holderImage: string;
  /** Passwords that are other ones than the data was used with, as far as is known. */
  readonly changedPasswords: readonly PasswordKey[];
  /** Passwords that nobody gave and nothing proves: data that was kept has others. */
  readonly generatedPasswords: readonly PasswordKey[];
  /** Clusters whose data may be lost. */
  readonly acceptLoss: ReadonlySet<string>;
}

/**
 * Why a stack may not be brought to these settings: data that exists would be left behind, or started on wrongly. It asks Docker only for
 * what has changed, and touches nothing.
 *
 * @throws {@link SetupError} if Docker does not tell.
 */
export async function custody({ stack, identity: now, fence }: IdentitySpec, { before, images, holderImage, changedPasswords, generatedPasswords, acceptLoss }: Circumstances): Promise<string | undefined> {
  const [majors, removed, holdings] = await Promise.all([
    imageMajors(images),
    before === undefined ? [] : removedClusters(before, now),
    existing(volumesInQuestion(before, now, changedPasswords.length > 0)).then((volumes) => holdingsOf(volumes, holderImage)),
  ]);
  return custodyRefusal({ stack, ...(before && { before }), now, holdings, images: majors, removed, changedPasswords, generatedPasswords, fence, acceptLoss });
}

/** The volumes that have to be looked into: all where something has changed that concerns all of them, else those that no update knows yet, and those of clusters that are taken out. */
export function volumesInQuestion(before: StackIdentity | undefined, now: StackIdentity, passwordChanged: boolean): string[] {
  const recorded = before?.volumes.filter(isDatabase) ?? [];
  const known = recorded.map(({ name }) => name);
  const planned = now.volumes.filter(isDatabase).map(({ name }) => name);
  const same = before !== undefined && (["topology", "prefix", "scope", "postgresMajor"] as const).every((key) => before[key] === now[key]) && !passwordChanged;
  if (!same) return [...new Set([...known, ...planned])];
  const removed = recorded.filter(({ cluster }) => cluster !== undefined && !now.clusters.includes(cluster)).map(({ name }) => name);
  return [...new Set([...removed, ...planned.filter((name) => !known.includes(name))])];
}

async function imageMajors(images: Circumstances["images"]): Promise<ImageMajor[]> {
  const majors = await Promise.all(
    images.map(async ({ key, image }) => {
      // The official images of PostgreSQL say it, and what is built on them.
      const major = /"PG_MAJOR=(\d+)"/.exec(await inspected("image", "{{json .Config.Env}}", [image]))?.[1];
      return major === undefined ? [] : [{ key, postgresMajor: Number(major) }];
    }),
  );
  return majors.flat();
}
