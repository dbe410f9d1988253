"""
Changes Patroni 4.1.4 where it is installed: patch.py DIRECTORY. Each change replaces a passage that has to be there exactly once, or as often as the
change says, so that another version of Patroni fails the build instead of running without it. docs/elections.md argues each of them.
"""

import pathlib
import sys

CHANGES = {
    "postgresql/__init__.py": [
        # A member that is still replaying its own log says position 0: its vote is not counted, and it is no candidate.
        (
            "class Postgresql(object):\n",
            "from ..election import REPLAYING\n\n\nclass Postgresql(object):\n",
        ),
        (
            '"pg_catalog.pg_{0}_{1}_diff(pg_catalog.pg_last_{0}_replay_{1}(), \'0/0\')::bigint, "\n',
            '"CASE WHEN " + REPLAYING + " THEN 0 ELSE pg_catalog.pg_{0}_{1}_diff(pg_catalog.pg_last_{0}_replay_{1}(), \'0/0\')::bigint END, "\n',
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
    ],
    "postgresql/sync.py": [
        # A leader is not alone in /sync while standbys stream that it names, only because their keys have expired.
        ("from ..dcs import Cluster, Member\n", "from ..dcs import Cluster, Member\nfrom ..election import voters_without_key\n"),
        (
            "        replication = CaseInsensitiveDict({row['application_name']: row for row in postgresql.pg_stat_replication()\n",
            "        streaming = postgresql.pg_stat_replication()\n"
            "        members.update(voters_without_key(cluster, members, [row['application_name'] for row in streaming]))\n"
            "        replication = CaseInsensitiveDict({row['application_name']: row for row in streaming\n",
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
        ("from . import global_config, psycopg, thread_pool\n", "from . import election, global_config, psycopg, thread_pool\n"),
        (
            "        self._failsafe = Failsafe(patroni.dcs)\n",
            "        self._failsafe = Failsafe(patroni.dcs)\n"
            "        self.failsafe_token: Optional[str] = None\n"
            "        self.failsafe_told: Dict[str, str] = {}\n"
            "        self._electorate = election.Electorate(self.state_handler.data_dir, self.dcs.client_path(''))\n",
        ),
        # Who decides is remembered with the data.
        (
            "                self.state_handler.reset_cluster_info_state(self.cluster, self.patroni)\n            except Exception as exc1:\n",
            "                self.state_handler.reset_cluster_info_state(self.cluster, self.patroni)\n                self._electorate.remember(self)\n            except Exception as exc1:\n",
        ),
        (
            "        all_known_members = self.old_cluster.members\n",
            "        remembered = self._electorate.load() if self.cluster.sync.is_empty else None\n"
            "        if remembered is not None:\n"
            "            return self._electorate.elects(self, remembered)\n\n"
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
        # /sync names the next leader before it takes a write: until then the one before could lead alone.
        (
            "                sync.discard(self.state_handler.name)\n        else:\n",
            "                sync.discard(self.state_handler.name)\n"
            "            if not self.cluster.sync.leader_matches(self.state_handler.name) and not self.dcs.write_sync_state(\n"
            "                    self.state_handler.name, sync, self.cluster.sync.quorum, version=self.cluster.sync.version):\n"
            "                return False\n"
            "        else:\n",
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
