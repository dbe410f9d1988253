"""
What an election goes by so that no acknowledged write is lost, beside Patroni's own modules: patch.py has Patroni call it.
Why each rule is needed, and why they are enough, is argued in docs/elections.md.
"""

import json
import logging
import os

from .dcs import RemoteMember

logger = logging.getLogger(__name__)

# Whether a member in recovery has not reached the end of its own log yet. PostgreSQL takes connections at its consistent point, long before, and
# tells the position up to which it has replayed: less than what it has on disk and has confirmed to its leader. The startup process asks for
# streaming (which sets the received position) or sleeps between two attempts only after it has replayed all that its pg_wal holds.
REPLAYING = (
    "pg_catalog.pg_is_in_recovery() AND pg_catalog.pg_last_{0}_receive_{1}() IS NULL AND NOT EXISTS ("
    "SELECT FROM pg_catalog.pg_stat_get_activity(NULL) WHERE backend_type = 'startup' AND wait_event = 'RecoveryRetrieveRetryInterval')"
)

# The newest timeline that a member in recovery has anything of. What it replays may be of an older one while it already has, and has confirmed,
# the beginning of the next.
WAL_TIMELINE = (
    "CASE WHEN pg_catalog.pg_is_in_recovery() THEN ("
    "SELECT pg_catalog.max(('x' || pg_catalog.substr(name, 1, 8))::bit(32)::int) FROM pg_catalog.pg_ls_waldir()"
    " WHERE pg_catalog.length(name) = 24 AND name !~ '[^0-9A-F]') END"
)


def is_ahead(status, timeline, position):
    """
    Whether another member has more than this one. A newer timeline counts before a position: it began where an election found everything that was
    acknowledged, and what an older one has beyond that was acknowledged to nobody. A member is on the newest timeline that it has a file of only
    while it has received more than it has replayed: a file begins with what the timeline before had.
    """
    if not status.wal_position:
        return False
    xlog = status.data.get("xlog") or {}
    unreplayed = (xlog.get("received_location") or 0) > (xlog.get("replayed_location") or 0)
    newest = status.data.get("wal_timeline") if unreplayed else None
    return (newest or status.timeline or timeline, status.wal_position) > (timeline, position)


def takes_over(ha, failover):
    """
    Whether this member leads after a switchover to it. It is elected as after a failure: the leader before may have died while it handed over,
    and what it acknowledged meanwhile may be on another member. Where it is not elected the switchover is over, and whoever is best leads.
    """
    members = [member for member in ha.cluster.members if member.name != failover.leader and (not ha.sync_mode_is_active() or ha.cluster.sync.matches(member.name))]
    if ha._is_healthiest_node(members, check_replication_lag=False):
        return True
    logger.warning("The switchover to %s is given up: it may lack what another member has", ha.state_handler.name)
    ha.dcs.manual_failover("", "", version=failover.version)
    return False


def waits_for_standbys(ha):
    """
    A standby is set to wait for any other one, so that it does from its promotion on: it is PostgreSQL's checkpointer that has commits wait, and it
    may take seconds to hear of a setting that was empty.
    """
    handler = ha.state_handler
    if ha.is_synchronous_mode() and not ha.has_lock(False) and handler.role == "replica" and handler.state == "running":
        sync = handler.sync_handler
        # Not in the round in which it is set.
        sync.told = sync.told or handler.config.synchronous_standby_names_set and checkpointer_is_idle(handler)
        sync.set_synchronous_standby_names([], 1)


def checkpointer_is_idle(postgresql):
    """Whether the checkpointer waits for its next work, and so has heard of every setting before."""
    try:
        rows = postgresql.query("SELECT wait_event IS NOT DISTINCT FROM 'CheckpointerMain' FROM pg_catalog.pg_stat_get_activity(NULL) WHERE backend_type = 'checkpointer'", retry=False)
    except Exception as error:
        logger.debug("The checkpointer could not be asked for: %s", error)
        return False
    return bool(rows) and rows[0][0]


def have_all(ha, names, quorum):
    """
    Whether any of these members with the votes of `quorum` others has what was acknowledged before commits began to wait for those that they wait for now.
    One that commits waited for already may be far behind the other that confirmed them.
    """
    needed = len(names) - quorum
    if needed <= 0:
        return True
    position = ha.state_handler.sync_handler.acknowledged_position
    rows = ha.state_handler.query("SELECT application_name, pg_catalog.pg_wal_lsn_diff(flush_lsn, '0/0')::bigint FROM pg_catalog.pg_stat_replication WHERE flush_lsn IS NOT NULL")
    flushed = {name.lower(): lsn for name, lsn in rows}
    behind = [name for name in names if flushed.get(name.lower(), 0) < position]
    if len(names) - len(behind) >= needed:
        return True
    logger.info("/sync stays as it is: %s lack what was acknowledged before", ", ".join(sorted(behind)))
    return False


def voters_without_key(cluster, streaming):
    """
    The standbys that /sync names and that stream, as members by name, where none of them has a key in etcd. Keys expire while etcd, or every
    standby's Patroni, is away for the time of a lease; the leader would be alone in /sync then, and followed by nobody if it died. One whose key
    alone has expired is left out: nobody would have its vote.
    """
    voters = {name.lower() for name in cluster.sync.voters}
    keyed = {member.name.lower() for member in cluster.members}
    found = [name for name in streaming if name.lower() in voters]
    return {} if any(name.lower() in keyed for name in found) else {name: RemoteMember(name, {"state": "running"}) for name in found}


def asked_before(cluster):
    """The addresses in /failsafe of those that /sync names, by name."""
    asked = cluster.failsafe if isinstance(cluster.failsafe, dict) else {}
    return {name: address for name, address in asked.items() if name in cluster.sync.members}


class Electorate:
    """
    Who decides on the lead, as /sync said when this member last saw it: kept with the data, for the day on which etcd has forgotten it.
    Without it, whoever starts first would lead, whatever it lacks.
    """

    def __init__(self, data_directory, path):
        self.file = os.path.join(data_directory, "patroni.electorate.json")
        self.path = path
        self.known = None
        self.timeline_elsewhere = 0  # the newest one that those who decided knew of, when etcd had forgotten who they are

    def remember(self, ha):
        """Keeps up with /sync, and forgets where synchronous replication was switched off."""
        cluster = ha.cluster
        if not os.path.exists(os.path.join(os.path.dirname(self.file), "PG_VERSION")):
            return
        try:
            if cluster.sync.is_empty:
                if cluster.config and cluster.config.data and not ha.is_synchronous_mode() and os.path.exists(self.file):
                    os.unlink(self.file)
                    self.known = None
                return
            before = (self.load() or {}).get("members", {})
            addresses = {member.name: member.api_url for member in cluster.members if member.api_url}
            members = {name: addresses.get(name) or before.get(name, "") for name in sorted(cluster.sync.members)}
            current = {"path": self.path, "members": members, "timeline": cluster.sync.timeline}
            if current != self.known or not os.path.exists(self.file):
                self.write(current)
                self.known = current
        except OSError:
            logger.exception("%s could not be written", self.file)

    def load(self):
        """What was remembered; None if nothing was. A file that cannot be read is an electorate that nobody can ask."""
        try:
            with open(self.file) as file:
                found = json.load(file)
            return found if isinstance(found["members"], dict) else {"path": "", "members": {}}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return {"path": "", "members": {}}

    @property
    def newest_timeline(self):
        """The newest timeline that is known to be taken, for the day on which etcd has forgotten that as well."""
        return max(self.timeline_elsewhere, (self.load() or {}).get("timeline", 0))

    def write(self, content):
        temporary = f"{self.file}.new"
        with open(temporary, "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.file)

    def elects(self, ha, remembered):
        """Whether this member leads without /sync: all that decided last answer, and none of them has more."""
        if remembered["path"] != self.path:
            logger.error("This data belongs to %s, and not to %s: no lead is taken. An operator may: patronictl failover", remembered["path"], self.path)
            return False
        timeline, position = ha.state_handler.get_replica_timeline() or 0, ha.state_handler.last_operation()
        if not position:
            logger.info("Still replaying my own WAL")
            return False
        others = [RemoteMember(name, {"api_url": address}) for name, address in remembered["members"].items() if name != ha.state_handler.name]
        for status in ha.fetch_nodes_statuses(others):
            if not status.reachable:
                logger.warning("etcd does not know who may lead, and %s does not answer, which may have more than this member. An operator may decide: patronictl failover", status.member.name)
                return False
            if status.in_recovery is False:
                logger.warning("Primary (%s) is still alive", status.member.name)
                return False
            if not status.wal_position:
                logger.info("%s is still replaying its own WAL", status.member.name)
                return False
            if is_ahead(status, timeline, position):
                logger.info("%s has more than this member", status.member.name)
                return False
            self.timeline_elsewhere = max(self.timeline_elsewhere, status.timeline or 0, status.data.get("wal_timeline") or 0)
        return True


def marker(data_directory):
    return f"{data_directory.rstrip('/')}.incomplete"


def begins(data_directory):
    """
    Notes beside a data directory that its files are being brought from another member. Whoever is cut off in the middle has a part of each, on
    which PostgreSQL may start, and which says that it has everything.
    """
    with open(marker(data_directory), "w") as file:
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(os.path.dirname(marker(data_directory)), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def completed(data_directory):
    """Takes the note away: the files are there, or none was touched."""
    try:
        os.unlink(marker(data_directory))
    except FileNotFoundError:
        pass


def is_incomplete(data_directory):
    return os.path.exists(marker(data_directory))


def rewind_ended(data_directory, code, results):
    """pg_rewind says how much it has to copy before it touches anything, and has written everything to disk where it succeeds."""
    if code == 0 or code is not None and b"need to copy" not in results.get("stderr", b"") + results.get("stdout", b""):
        completed(data_directory)


def start_again(ha):
    """Gives up files that are not complete, once there is a leader to bring them from again. Until then this member neither starts nor votes."""
    if ha.is_paused() or ha.cluster.is_unlocked() or ha.has_lock(False):
        return "my files are incomplete, because bringing them was interrupted: waiting for a leader that has them"
    logger.warning("My files are incomplete, because bringing them was interrupted: they are removed, and brought from %s again", ha.cluster.leader.name)
    ha.state_handler.stop("immediate")
    ha.state_handler.remove_data_directory()
    completed(ha.state_handler.data_dir)
    return "removed files that were incomplete"


def end_failsafe(ha, told, token):
    """Tells those who were told that this member leads without etcd that it goes by etcd again. Who does not answer is told again later."""
    for name, address in told.items():
        try:
            answer = ha.patroni.request(RemoteMember(name, {"api_url": address}), "post", "failsafe", {"name": ha.state_handler.name, "end": token}, timeout=2, retries=0)
            if answer.status == 200:
                continue
        except Exception as error:
            logger.warning("%s could not be told that etcd is back: %s", name, error)
        if ha.failsafe_token == token:
            ha.failsafe_told[name] = address
