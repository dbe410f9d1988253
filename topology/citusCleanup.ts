/**
 * A statement that leaves shards' tables on workers to Citus' cleanup, as a move leaves what it has moved away.
 *
 * @param name SQL for the table's name, schema and all, quoted where it has to be, as `shard_name` gives it.
 * @param group SQL for the group of the worker.
 * @param from what follows `FROM`: a row for each table.
 */
export function leaveToCleanup(name: string, group: string, from: string): string {
  return `INSERT INTO pg_dist_cleanup (record_id, operation_id, object_type, object_name, node_group_id, policy_type)
    SELECT nextval('pg_dist_cleanup_recordid_seq'), nextval('pg_dist_operationid_seq'), 1, ${name}, ${group}, 2 FROM ${from}`;
}
