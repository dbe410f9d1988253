/**
 * A query that has each active node finish what it left prepared on a disabled worker, by Citus' own rules: committed where the node has a record that
 * it was, rolled back where it has none and does no more of it. Its rows have one column, `problem`: a node that could not, and why.
 *
 * Citus' recovery leaves disabled workers out, and the activation of one waits, for ever, for the locks that such a transaction keeps. So the worker
 * counts as active for a statement: that is taken back before the statement ends, while what was finished over the network is not.
 *
 * @param groupId the worker's Citus group.
 */
export function recoverOn(groupId: number): string {
  return `SELECT format('%s: %s', nodename, result) AS problem FROM run_command_on_all_nodes($all$
    DO $do$ BEGIN
      UPDATE pg_dist_node SET isactive = true WHERE groupid = ${groupId};
      PERFORM recover_prepared_transactions();
      RAISE EXCEPTION 'taken back';
    EXCEPTION WHEN raise_exception THEN NULL;
    END $do$
  $all$) JOIN pg_dist_node USING (nodeid) WHERE NOT success`;
}
