"""
How PostgreSQL is stopped where its standbys may be away: patch.py has Patroni call it. Why is argued in docs/elections.md.
"""

import logging
import time

logger = logging.getLogger(__name__)

# How long commits may wait for standbys while PostgreSQL is about to stop.
CONFIRMED_SECONDS = 1
POLL_SECONDS = 0.05


def way_to_stop(postgresql, mode):
    """
    In which mode a member stops that was told to in one. An end in order ("fast") cancels what waits for a standby's confirmation and goes on as if it had
    come: the client is told nothing, but Citus sends its second phase to the workers, where it stays, also if another member leads afterwards that never had
    the decision. And it waits for Citus' maintenance daemon, whose own wait is not cancelled, for ever. Standbys that are there confirm in milliseconds, and
    have everything before an end in order is over; where a commit waits for longer nothing is confirmed any more, and PostgreSQL ends at once.
    """
    if mode != "fast" or not postgresql.is_primary():
        return mode
    ends_at = time.monotonic() + CONFIRMED_SECONDS
    waiting = unconfirmed(postgresql)
    while waiting:
        if time.monotonic() > ends_at:
            logger.warning("PostgreSQL is ended at once: a commit waits for standbys that are away")
            return "immediate"
        time.sleep(POLL_SECONDS)
        waiting &= unconfirmed(postgresql)
    return mode


def unconfirmed(postgresql):
    """The commits that wait for a standby; none where PostgreSQL does not answer."""
    try:
        rows = postgresql.query("SELECT pid, xact_start, state_change FROM pg_catalog.pg_stat_get_activity(NULL) WHERE wait_event = 'SyncRep'", retry=False)
    except Exception as error:
        logger.debug("Waiting commits could not be asked for: %s", error)
        return set()
    return {tuple(row) for row in rows}
