"""
Changes Patroni 4.1.4 where it is installed: patch.py DIRECTORY. Each change replaces a passage that has to be there exactly once, or as often as the
change says, so that another version of Patroni fails the build instead of running without it. docs/elections.md argues each of them.
"""

import pathlib
import sys

CHANGES = {
    # /sync says which numbers of timelines are taken, whoever writes it.
    "dcs/__init__.py": [
        ("    sync_standby: Optional[str]\n    quorum: int\n", "    sync_standby: Optional[str]\n    quorum: int\n    timeline: int = 0\n"),
        (
            "int(quorum) if leader and quorum else 0)\n        except",
            "int(quorum) if leader and quorum else 0, int(value.get('timeline') or 0))\n        except",
        ),
        (
            "        self._cluster: Optional[Cluster] = None\n",
            "        self._cluster: Optional[Cluster] = None\n        self.newest_timeline = 0\n",
        ),
        (
            "            self._cluster = cluster\n",
            "            self._cluster = cluster\n            self.newest_timeline = max(self.newest_timeline, cluster.sync.timeline)\n",
        ),
        (
            "        sync_value = self.sync_state(leader, sync_standby, quorum)\n",
            "        sync_value = {**self.sync_state(leader, sync_standby, quorum), 'timeline': self.newest_timeline}\n",
        ),
    ],
    "postgresql/__init__.py": [
        # A member that is still replaying its own log says position 0: its vote is not counted, and it is no candidate.
        (
            "class Postgresql(object):\n",
            "from ..election import REPLAYING\nfrom ..stopping import way_to_stop\nfrom ..timelines import forget_unused\n\n\nclass Postgresql(object):\n",
        ),
        # Numbers that were skipped for a promotion that did not come about.
        (
            "        self.config.check_directories()\n        self.config.write_postgresql_conf(configuration)\n",
            "        self.config.check_directories()\n        forget_unused(self.wal_dir)\n        self.config.write_postgresql_conf(configuration)\n",
        ),
        (
            '"pg_catalog.pg_{0}_{1}_diff(pg_catalog.pg_last_{0}_replay_{1}(), \'0/0\')::bigint, "\n',
            '"CASE WHEN " + REPLAYING + " THEN 0 ELSE pg_catalog.pg_{0}_{1}_diff(pg_catalog.pg_last_{0}_replay_{1}(), \'0/0\')::bigint END, "\n',
        ),
        # A timeline's number may be more than one above that of the timeline that it comes from.
        ("                if history[-1][0] == timeline - 1:\n", "                if history[-1][0] < timeline:\n"),
        # A leader whose commits wait for standbys that are away ends at once: told to stop in order, they would be taken for done.
        (
            "            before_shutdown()\n\n        # Send signal to postmaster to stop\n",
            "            before_shutdown()\n\n        mode = way_to_stop(self, mode)\n        # Send signal to postmaster to stop\n",
        ),
        # Pauses of a second in a hand-over, during which nobody takes writes. After each, Patroni asks for what it waited for (what standbys have
        # received, PostgreSQL's state, who leads) and does without it or asks again, so that shorter ones give up no check.
        ("\nSTOP_POLLING_INTERVAL = 1\n", "\nSTOP_POLLING_INTERVAL = 0.05\n"),
    ],
    "postgresql/config.py": [
        # A standby without a leader still asks for streaming, of nobody: a restore_command would otherwise hide the pause by which the end of the log is known.
        (
            "            recovery_params['primary_conninfo'] = primary_conninfo\n",
            "            recovery_params['primary_conninfo'] = primary_conninfo\n"
            "        elif not is_remote_member:\n"
            "            recovery_params['primary_conninfo'] = {'host': '/no-leader'}\n",
        ),
        (
            "    def set_synchronous_standby_names(self, value: Optional[str]) -> Optional[bool]:\n",
            "    @property\n    def synchronous_standby_names_set(self) -> bool:\n"
            "        return bool(self._server_parameters.get('synchronous_standby_names'))\n\n"
            "    def set_synchronous_standby_names(self, value: Optional[str]) -> Optional[bool]:\n",
        ),
    ],
    "postgresql/sync.py": [
        # A leader is not alone in /sync while standbys stream that it names, only because their keys have expired.
        ("from ..dcs import Cluster, Member\n", "from ..dcs import Cluster, Member\nfrom ..election import checkpointer_is_idle, voters_without_key\n"),
        (
            "        replication = CaseInsensitiveDict({row['application_name']: row for row in postgresql.pg_stat_replication()\n",
            "        streaming = postgresql.pg_stat_replication()\n"
            "        members.update(voters_without_key(cluster, [row['application_name'] for row in streaming]))\n"
            "        replication = CaseInsensitiveDict({row['application_name']: row for row in streaming\n",
        ),
        # Where commits did not wait for anybody, they begin to when the checkpointer has heard of it; what standbys have counts from then on.
        (
            "        synchronous_standby_names = self._postgresql.synchronous_standby_names()\n",
            "        if self._synchronous_standby_names and not self.told and checkpointer_is_idle(self._postgresql):\n"
            "            self.told = True\n"
            "            self._postgresql.reset_cluster_info_state(None)\n"
            "            self._primary_flush_lsn = self._postgresql.last_operation()\n"
            "        synchronous_standby_names = self._postgresql.synchronous_standby_names()\n",
        ),
        (
            "        self._synchronous_standby_names = synchronous_standby_names\n        try:\n",
            "        self._synchronous_standby_names = synchronous_standby_names\n"
            "        self.told = self.told and bool(synchronous_standby_names)\n        try:\n",
        ),
        (
            "        self._primary_flush_lsn = self._postgresql.last_operation()\n        # Ensure",
            "        self._primary_flush_lsn = self._postgresql.last_operation() if self.told else 2 ** 63\n        # Ensure",
        ),
        (
            "        self._primary_flush_lsn = 0\n",
            "        self._primary_flush_lsn = 0\n        self.told = False  # whether PostgreSQL has commits wait for somebody\n",
        ),
        (
            "    def _handle_synchronous_standby_names_change(self) -> None:\n",
            "    @property\n    def acknowledged_position(self) -> int:\n"
            '        """Up to where commits may have been acknowledged to others than those that they wait for now."""\n'
            "        return self._primary_flush_lsn\n\n"
            "    def _handle_synchronous_standby_names_change(self) -> None:\n",
        ),
    ],
    "postgresql/rewind.py": [
        # A data directory whose files are being brought is not started, and says nothing, if that is interrupted.
        ("from ..dcs import Leader, RemoteMember\n", "from ..dcs import Leader, RemoteMember\nfrom ..election import begins, rewind_ended\nfrom ..timelines import forget, strays\n"),
        # A member does not aim at a timeline that its leader does not come from.
        ("        self._checkpoint_task_lock = Lock()\n", "        self._checkpoint_task_lock = Lock()\n        self._strays: List[str] = []\n"),
        (
            "            self._log_primary_history(history, i)\n",
            "            if not need_rewind:\n"
            "                self._strays = strays(self._postgresql.wal_dir, local_timeline, {primary_timeline, *(parent for parent, _, _ in history)})\n"
            "                if self._postgresql.is_running():\n"
            "                    need_rewind = bool(self._strays)\n"
            "                else:\n"
            "                    forget(self._strays)\n"
            "            self._log_primary_history(history, i)\n",
        ),
        ("        if self.pg_rewind(r):\n", "        if self.pg_rewind(r):\n            forget(self._strays)\n"),
        (
            "        cmd.extend(['-D', self._postgresql.data_dir, '--source-server', dsn])\n",
            "        cmd.extend(['--progress', '-D', self._postgresql.data_dir, '--source-server', dsn])\n",
        ),
        (
            "            ret = self._postgresql.cancellable.call(cmd, env=env, communicate=results)\n",
            "            begins(self._postgresql.data_dir)\n            ret = self._postgresql.cancellable.call(cmd, env=env, communicate=results)\n",
        ),
        (
            "            logger.info('pg_rewind exit code=%s', ret)\n",
            "            logger.info('pg_rewind exit code=%s', ret)\n            rewind_ended(self._postgresql.data_dir, ret, results)\n",
        ),
    ],
    "api.py": [
        ("from .dcs import Cluster\n", "from .dcs import Cluster\nfrom .election import WAL_TIMELINE\n"),
        (
            '" FROM pg_catalog.pg_stat_get_wal_senders() w, pg_catalog.pg_stat_get_activity(pid)) AS ri)") +\\\n',
            '" FROM pg_catalog.pg_stat_get_wal_senders() w, pg_catalog.pg_stat_get_activity(pid)) AS ri), " + WAL_TIMELINE) +\\\n',
        ),
        (
            "            if row[11]:\n                result['replication'] = row[11]\n",
            "            if row[11]:\n                result['replication'] = row[11]\n            if row[12]:\n                result['wal_timeline'] = row[12]\n",
        ),
        (
            "            result['failsafe_mode_is_active'] = True\n",
            "            result['failsafe_mode_is_active'] = True\n            result['failsafe'] = self.server.patroni.ha.failsafe_promise()\n",
        ),
    ],
    "ha.py": [
        ("from . import global_config, psycopg, thread_pool\n", "from . import election, global_config, psycopg, thread_pool, timelines\n"),
        (
            "        self._failsafe = Failsafe(patroni.dcs)\n",
            "        self._failsafe = Failsafe(patroni.dcs)\n"
            "        self.failsafe_token: Optional[str] = None\n"
            "        self.failsafe_told: Dict[str, str] = {}\n"
            "        self.electorate = election.Electorate(self.state_handler.data_dir, self.dcs.client_path(''))\n"
            "        self.taken_timeline = 0\n",
        ),
        # Whoever has lost its lease has commits that nobody will confirm, and may begin one at any moment.
        (
            "            'offline':          dict(stop='fast',      checkpoint=False,",
            "            'offline':          dict(stop='immediate', checkpoint=False,",
        ),
        # Who decides is remembered with the data.
        (
            "                self.state_handler.reset_cluster_info_state(self.cluster, self.patroni)\n            except Exception as exc1:\n",
            "                self.state_handler.reset_cluster_info_state(self.cluster, self.patroni)\n                timelines.remembers(self)\n                self.electorate.remember(self)\n                election.waits_for_standbys(self)\n            except Exception as exc1:\n",
        ),
        (
            "        all_known_members = self.old_cluster.members\n",
            "        remembered = self.electorate.load() if self.cluster.sync.is_empty else None\n"
            "        if remembered is not None:\n"
            "            return self.electorate.elects(self, remembered)\n\n"
            "        all_known_members = self.old_cluster.members\n",
        ),
        # Positions are compared by timeline first, and only of members that know their own.
        (
            "        my_timeline = self.state_handler.replica_cached_timeline(cluster_timeline)\n",
            "        my_timeline = self.state_handler.get_replica_timeline()\n",
        ),
        (
            "        my_wal_position = self.state_handler.last_operation()\n        if check_replication_lag",
            "        my_wal_position = self.state_handler.last_operation()\n"
            "        if not my_wal_position:\n"
            "            logger.info('Still replaying my own WAL')\n"
            "            return False\n"
            "        if check_replication_lag",
        ),
        (
            "                if my_wal_position < st.wal_position:\n",
            "                if election.is_ahead(st, my_timeline or 0, my_wal_position):\n",
        ),
        # A switchover is an election, too.
        (
            "            if failover.candidate == self.state_handler.name:  # manual failover/switchover to me\n                return True\n",
            "            if failover.candidate == self.state_handler.name:  # manual failover/switchover to me\n"
            "                return not failover.leader or self.is_paused() or election.takes_over(self, failover)\n",
        ),
        # Who decides has what others confirmed while they decided.
        (
            "                if transition == 'quorum':\n",
            "                if transition == 'quorum':\n                    if not election.have_all(self, nodes, num):\n                        return\n",
        ),
        # A member that is no leader waits for any standby from its promotion on.
        ("sync_handler.set_synchronous_standby_names(CaseInsensitiveSet())\n\n        if self._async_executor", "sync_handler.set_synchronous_standby_names(CaseInsensitiveSet(), 1)\n\n        if self._async_executor"),
        ("sync_handler.set_synchronous_standby_names(CaseInsensitiveSet())\n\n        role =", "sync_handler.set_synchronous_standby_names(CaseInsensitiveSet(), 1)\n\n        role ="),
        (
            "        self._rewind.reset_state()\n        if self.state_handler.bootstrap.clone(clone_member, clone_from_leader):\n",
            "        self._rewind.reset_state()\n        election.begins(self.state_handler.data_dir)\n"
            "        if self.state_handler.bootstrap.clone(clone_member, clone_from_leader):\n            election.completed(self.state_handler.data_dir)\n",
        ),
        (
            "            # is data directory empty?\n",
            "            if election.is_incomplete(self.state_handler.data_dir):\n                return election.start_again(self)\n\n            # is data directory empty?\n",
        ),
        # /sync names the next leader before it takes a write: until then the one before could lead alone. And it names the number of its timeline.
        (
            "                sync.discard(self.state_handler.name)\n        else:\n",
            "                sync.discard(self.state_handler.name)\n"
            "            if not timelines.take(self, sync, self.cluster.sync.quorum):\n"
            "                return False\n"
            "        elif self.is_quorum_commit_mode() and not timelines.take(self, None, 0):\n"
            "            return False\n"
            "        else:\n",
        ),
        (
            "                    self.notify_mpp_coordinator('before_promote')\n",
            "                    self.notify_mpp_coordinator('before_promote')\n                    timelines.skip(self.state_handler, self.taken_timeline)\n",
        ),
        (
            "cluster_history[-1][0] != primary_timeline - 1 or",
            "cluster_history[-1][0] != timelines.parent(self.state_handler.wal_dir, primary_timeline) or",
        ),
        # Whoever took the lead on what is not so any more stands for election again.
        (
            "                # Somebody else updated sync state, it may be due to us losing the lock. To be safe,\n",
            "                self.release_leader_key_voluntarily()\n"
            "                # Somebody else updated sync state, it may be due to us losing the lock. To be safe,\n",
        ),
        # Who has the lead agrees to nobody else's, also before it is promoted.
        (
            "        if self.state_handler.state == PostgresqlState.RUNNING and self.state_handler.role == PostgresqlRole.PRIMARY:\n            return 'Running as a leader'\n",
            "        if self.is_leader() or self.state_handler.state == PostgresqlState.RUNNING and self.state_handler.role == PostgresqlRole.PRIMARY:\n            return 'Running as a leader'\n",
        ),
        # Who is asked whether the leader may go on without etcd is at least everybody who may elect another one.
        (
            "            if self.state_handler.name not in ret:\n                ret[self.state_handler.name] = self.patroni.api.connection_string\n            return ret\n",
            "            if self.state_handler.name not in ret:\n                ret[self.state_handler.name] = self.patroni.api.connection_string\n"
            "            return {**election.asked_before(self.cluster), **ret}\n",
        ),
        # A leader that reaches etcd again takes its word back that it leads without.
        (
            "            self._name = data['name']\n            self._conn_url = data['conn_url']\n",
            "            self._name = data['name']\n            self._token = data.get('token')\n            self._conn_url = data['conn_url']\n",
        ),
        (
            "        self._name = ''  # name of the cluster leader\n",
            "        self._name = ''  # name of the cluster leader\n        self._token = None  # names the last word of the leader\n",
        ),
        (
            "    def set_is_active(self, value: float) -> None:\n",
            "    def promise(self) -> Dict[str, Optional[str]]:\n"
            '        """Whose word this member goes by, and which word it is."""\n'
            "        with self._lock:\n"
            "            return {'leader': self._name, 'token': self._token}\n\n"
            "    def end(self, name: str, token: str) -> None:\n"
            '        """Goes by etcd again, unless the leader has given its word anew since."""\n'
            "        with self._lock:\n"
            "            if token and (self._name, self._token) == (name, token):\n"
            "                self._reset_state()\n\n"
            "    def set_is_active(self, value: float) -> None:\n",
        ),
        (
            "            return 'Running as a leader'\n        self._failsafe.update(data)\n",
            "            return 'Running as a leader'\n"
            "        if 'end' in data:\n"
            "            self._failsafe.end(data['name'], data['end'])\n"
            "            self.wakeup()\n"
            "        else:\n"
            "            self._failsafe.update(data)\n",
        ),
        (
            "    def failsafe_is_active(self) -> bool:\n",
            "    def failsafe_promise(self) -> Dict[str, Optional[str]]:\n        return self._failsafe.promise()\n\n    def failsafe_is_active(self) -> bool:\n",
        ),
        (
            "        if not members:  # A single node cluster\n            return True\n",
            "        if not members:  # A single node cluster\n            return True\n\n"
            "        data['token'] = self.failsafe_token = uuid.uuid4().hex\n"
            "        self.failsafe_told = {name: url for name, url in failsafe.items() if name != self.state_handler.name}\n",
        ),
        (
            "            self.watchdog.keepalive()\n        return ret\n",
            "            self.watchdog.keepalive()\n"
            "            if self.failsafe_told:\n"
            "                told, self.failsafe_told = self.failsafe_told, {}\n"
            "                thread_pool.get_executor().submit(election.end_failsafe, self, told, self.failsafe_token)\n"
            "        return ret\n",
        ),
        # Two more of those pauses, in two places each.
        ("time.sleep(1)  # give replicas", "time.sleep(0.1)  # give replicas", 2),
        ("time.sleep(2)  # Give a time", "time.sleep(0.2)  # Give a time", 2),
    ],
}


def main():
    directory = pathlib.Path(sys.argv[1])
    for name, changes in CHANGES.items():
        file = directory / name
        text = file.read_text()
        for old, new, *places in changes:
            if text.count(old) != (places[0] if places else 1):
                sys.exit(f"{file}: this is not the Patroni that the changes are for; {text.count(old)} places have:\n{old}")
            text = text.replace(old, new)
        file.write_text(text)


main()
