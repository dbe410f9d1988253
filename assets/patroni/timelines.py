"""
Numbers of timelines, beside Patroni's own modules: patch.py has Patroni call it. PostgreSQL gives a new timeline the first number that it has no
history of. A member that is promoted and dies before anybody has heard of it has taken that number, and whoever is elected without it would take it
again: two timelines of one number, which neither PostgreSQL nor Patroni can tell apart. So a number is taken in etcd before a promotion, in /sync,
which every promotion writes under the condition that nobody else has. docs/elections.md argues it.
"""

import logging
import os
import re

logger = logging.getLogger(__name__)

OF_A_TIMELINE = re.compile(r"^([0-9A-F]{8})(?:\.history|[0-9A-F]{16}(?:\.partial)?)$")
HISTORY = re.compile(r"^([0-9A-F]{8})\.history$")

# What the history of a number says that was skipped. Where it is the newest, PostgreSQL neither follows it, as it does not come from any timeline,
# nor starts with it.
SKIPPED = b"# taken by a promotion of which nothing is known here\n"


def newest(wal_directory):
    """The greatest number of a timeline that this member has anything of."""
    return max([int(found.group(1), 16) for found in map(OF_A_TIMELINE.match, os.listdir(wal_directory)) if found], default=0)


def parent(wal_directory, timeline):
    """The number of the timeline that this one comes from; 0 where that is not known."""
    try:
        with open(os.path.join(wal_directory, f"{timeline:08X}.history")) as history:
            numbers = [int(line.split()[0]) for line in history if line[:1].isdigit()]
            return numbers[-1] if numbers else 0
    except OSError:
        return 0


def take(ha, voters, quorum):
    """
    Writes into /sync that this member leads, who decides beside it, and the number that its timeline will have, which nobody else takes.
    Gives whether nobody else wrote it meanwhile.
    """
    dcs, own = ha.dcs, newest(ha.state_handler.wal_dir)
    if ha.cluster.sync.leader_matches(ha.state_handler.name) and ha.taken_timeline > own:
        return True  # in a round before
    number = max(dcs.newest_timeline, own, ha.electorate.newest_timeline) + 1
    dcs.newest_timeline = number
    if not dcs.write_sync_state(ha.state_handler.name, voters, quorum, version=ha.cluster.sync.version):
        return False
    ha.taken_timeline = number
    return True


def skip(postgresql, number):
    """
    Has PostgreSQL give its new timeline this number. It takes the first one without a history, so those before it get one. They stay: a standby asks
    its leader for the history of every number between its own and its leader's.
    """
    for between in range(2, number):
        file = os.path.join(postgresql.wal_dir, f"{between:08X}.history")
        if os.path.exists(file):
            continue
        with open(f"{file}.new", "wb") as history:
            history.write(SKIPPED)
            history.flush()
            os.fsync(history.fileno())
        os.replace(f"{file}.new", file)


def is_skipped(file):
    with open(file, "rb") as history:
        return history.read(len(SKIPPED)) == SKIPPED


def histories(wal_directory):
    """The files of the histories by number."""
    return {int(found.group(1), 16): os.path.join(wal_directory, found.group(0)) for found in map(HISTORY.match, os.listdir(wal_directory)) if found}


def forget_unused(wal_directory):
    """
    Removes numbers that were skipped for a timeline that this member has no history of: its promotion did not come about, or was not heard of to the
    end. PostgreSQL would not start with them.
    """
    try:
        files = histories(wal_directory)
        for number in sorted(files, reverse=True):
            if not is_skipped(files[number]):
                return
            os.unlink(files[number])
    except OSError:
        logger.exception("Numbers of timelines could not be looked through in %s", wal_directory)


def forget(files):
    """Removes histories that were strays, where they are what they were."""
    for file in files:
        if os.path.exists(file) and not is_skipped(file):
            os.unlink(file)


def strays(wal_directory, local, leaders):
    """
    The histories of timelines newer than the one that this member is on, of which it has nothing more, and which the timelines of its leader do not
    come from: a leader that died at once began them. PostgreSQL aims at the newest that it had found, also where another one leads by now.
    """
    return [file for number, file in histories(wal_directory).items() if number > local and number not in leaders and not is_skipped(file)]


def remembers(ha):
    """A leader on a timeline that /sync does not know, as before this was written there or after a promotion by hand, writes it."""
    handler, sync = ha.state_handler, ha.cluster.sync
    if not ha.has_lock(False) or not sync.leader_matches(handler.name) or handler.role != "primary" or handler.state != "running":
        return
    try:
        number = handler.get_primary_timeline()
    except Exception as error:
        logger.debug("The timeline could not be asked for: %s", error)
        return
    if number > sync.timeline:
        ha.dcs.newest_timeline = max(ha.dcs.newest_timeline, number)
        written = ha.dcs.write_sync_state(sync.leader, sync.voters, sync.quorum, version=sync.version)
        if written:
            ha.cluster = ha.cluster._replace(sync=written)
