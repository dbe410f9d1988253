/**
 * One row, one column: where every copy of a shard on the node where it runs has got to. While it is another text from one
 * look to the next, bytes move: a copy's first pass, the indexes that are built on it, the changes that it catches up with.
 */
export const COPY_PROGRESS = `
  SELECT coalesce(string_agg(step, ', ' ORDER BY step), '') FROM (
    SELECT format('copy %s %s %s', pid, bytes_processed, tuples_processed) AS step FROM pg_stat_progress_copy
    UNION ALL SELECT format('index %s %s %s %s', pid, phase, blocks_done, tuples_done) FROM pg_stat_progress_create_index
    UNION ALL SELECT format('changes %s %s', slot_name, confirmed_flush_lsn) FROM pg_replication_slots WHERE slot_name LIKE 'citus_shard%'
  ) AS steps`;
