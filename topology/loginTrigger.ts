/**
 * Keeps Citus from a member in recovery. Such a member shows no prepared transaction, so that Citus' recovery of two-phase commits, which asks whatever
 * node the metadata names, would take a commit for done that is not, forget that it was decided, and roll it back when the member leads; and its rows
 * may be old. A node that Citus is connected to cannot come to be in recovery: PostgreSQL ends every session before.
 *
 * Citus' names for its connections: https://github.com/citusdata/citus/blob/v13.2.0/src/include/distributed/worker_manager.h
 */
export const LOGIN_TRIGGER = {
  name: "citus_sharding_refuse_citus_in_recovery",
  function: "citus_sharding.refuse_citus_in_recovery",
  body: `
BEGIN
  IF pg_is_in_recovery() AND current_setting('application_name') ~ '^citus_(internal|rebalancer|run_command) ' THEN
    RAISE EXCEPTION 'this member is in recovery' USING ERRCODE = 'cannot_connect_now', HINT = 'Citus goes by what the member that leads says.';
  END IF;
END
`,
} as const;

/** Prints one row with `t` if the trigger is there, fires always and is as it should be. */
export const IS_LOGIN_TRIGGER_IN_PLACE = `SELECT EXISTS (
  SELECT FROM pg_event_trigger JOIN pg_proc ON pg_proc.oid = evtfoid
  WHERE evtname = '${LOGIN_TRIGGER.name}' AND evtevent = 'login' AND evtenabled = 'A' AND prosrc = $body$${LOGIN_TRIGGER.body}$body$)`;

/** Puts the trigger in place, on the node that it runs on alone: each Patroni group has its own, and its standbys have it with their leader's data. */
export const CREATE_LOGIN_TRIGGER = `BEGIN;
SET LOCAL citus.enable_ddl_propagation = off;
CREATE SCHEMA IF NOT EXISTS citus_sharding;
CREATE OR REPLACE FUNCTION ${LOGIN_TRIGGER.function}() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $body$${LOGIN_TRIGGER.body}$body$;
DROP EVENT TRIGGER IF EXISTS ${LOGIN_TRIGGER.name};
CREATE EVENT TRIGGER ${LOGIN_TRIGGER.name} ON login EXECUTE FUNCTION ${LOGIN_TRIGGER.function}();
ALTER EVENT TRIGGER ${LOGIN_TRIGGER.name} ENABLE ALWAYS;
COMMIT;`;
