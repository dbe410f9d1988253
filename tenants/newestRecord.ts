import { isNewer } from "../router/isNewer";
import type { TenantRecord } from "./record";
import { TenantError } from "./tenantError";

/**
 * The record that is to be believed of what clusters have of a tenant, by cluster; undefined where there is none.
 *
 * @throws {@link TenantError} if two clusters say of themselves that they are the home.
 */
export function newestRecord<Known extends Pick<TenantRecord, "home" | "epoch">>(tenant: string, records: ReadonlyMap<string, Known>): Known | undefined {
  const said = [...records].map(([cluster, record]) => ({ cluster, home: record.home, epoch: record.epoch, record }));
  const [newest] = said.sort((one, other) => Number(isNewer(other, one)) - Number(isNewer(one, other)));
  if (newest === undefined) return undefined;
  const { cluster: first, home, epoch } = newest;
  const second = said.find((other) => other !== newest && other.home === other.cluster && !isNewer(newest, other));
  if (home === first && second !== undefined) {
    throw new TenantError(`Clusters ${first} and ${second.cluster} both say that tenant ${tenant} lives there since epoch ${epoch}: one of them came back with older data. Nothing was changed. Look which rows are right, and delete the record of the other from its tenancy.tenant`);
  }
  return newest.record;
}
