import type { IdType } from "./tenantId";
import { hashText } from "./textHash";

/** How many buckets keys are spread over. It stays as it is: a key is looked for where it was put. */
const BUCKETS = 1024;

/**
 * The bucket of a key, an id as a tenant's: that no application gives out by itself, and if one does, tenant and bucket live together. In SQL, of the type `bigint`:
 * `-1 - (hashtextextended(key, hashtextextended(kind, 0)) & 1023)`.
 */
export function lookupBucket(kind: string, key: string, type: IdType | undefined): string {
  const bucket = hashText(key, hashText(kind)).low % BUCKETS;
  switch (type) {
    case "smallint":
    case "integer":
    case "bigint":
      return String(-1 - bucket);
    case "uuid":
      return `6c6f6f6b-7570-8000-8000-${bucket.toString(16).padStart(12, "0")}`;
    case "text":
    case "character":
    case undefined:
      return `lookup-${bucket}`;
  }
}
