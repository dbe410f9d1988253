"""
Fences a Patroni member: revokes its lease as soon as nothing of the member can run any more, so that a standby leads
within a fraction of a second instead of when the lease of 20 s expires.

It runs in the member's holder, whose PID and network namespaces are the member's, and so sees the member's processes
begin, end and stand still, without Docker's socket. What it does, and why no write can be acknowledged by a leader whose
lease it has revoked, is argued in docs/fencing.md.

    fencer.py NAME PATH HOST:PORT...    member, its group's path in etcd (/service/citusap/0), etcd's client ports
"""

import base64
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

TICK_S = 0.25
# All of the member without a single context switch for so long is a freeze: Patroni's threads alone wake twice a second.
FROZEN_S = 0.75
# Patroni alone standing still is given longer. It ends well before the lease does, after which PostgreSQL must not go on.
STALLED_S = 5.0
# How long processes that were killed may take to end; who still runs then has entered anew.
ENDING_S = 1.0
RETRY_S = 0.1
ETCD_TIMEOUT_S = 0.5
SS_TIMEOUT_S = 2
REST_PORT = 8008
POSTGRES_PORT = 5432
KILLED = 1 << (signal.SIGKILL - 1)
# Says why nothing is fenced, for `up` and `status`; absent where all is well.
OFF_FILE = "/run/fencer.off"


def log(message):
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}.{int(time.time() * 1000) % 1000:03d} fencer: {message}", flush=True)


def read(path):
    """The text of a file of /proc; None if its process is gone."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return None


class Task:
    """What the kernel tells of a process or one of its threads at one moment."""

    def __init__(self, status):
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        self.name = fields["Name"]
        self.parent = int(fields["PPid"])
        self.state = fields["State"][0]
        self.switches = int(fields["voluntary_ctxt_switches"]) + int(fields["nonvoluntary_ctxt_switches"])
        # A pending SIGKILL cannot be blocked or handled: the task never executes another instruction of its program.
        self.finished = self.state in "ZX" or bool((int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)) & KILLED)


def task(path):
    status = read(path)
    # While a process ends, its status has no more than its name.
    return Task(status) if status is not None and "nonvoluntary_ctxt_switches" in status else None


def threads(pid):
    try:
        found = [task(f"/proc/{pid}/task/{thread}/status") for thread in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []
    return [thread for thread in found if thread is not None]


OWN_CGROUP = read("/proc/self/cgroup")
MEMBER_PROGRAMS = ("patroni", "postgres")
# As PostgreSQL titles the process that writes the log ahead: `postgres: <cluster>: walwriter`. A user of that name has more behind it.
WALWRITER = re.compile(r"^postgres: (?:.*: )?walwriter\s*$")


def guests():
    """The member's processes: all in this PID namespace that are not of the holder's own container. By process id."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        process = task(f"/proc/{entry}/status")
        # The first process is the holder's own. One that has ended is moved out of its control group by the kernel.
        if process is None or entry == "1" or process.state in "ZX":
            continue
        cgroup = read(f"/proc/{entry}/cgroup")
        if cgroup is not None and cgroup != OWN_CGROUP:
            found[int(entry)] = process
    return found


def runnable():
    """The member's processes that can still execute an instruction."""
    return [pid for pid, process in guests().items() if not process.finished]


def unclear():
    """
    Processes of the holder's own control group that may be the member's nevertheless: those that entered from outside, such as a shell of
    `docker exec` in the holder, and whatever has the name of a member's program. Where the engine gives containers no control groups of their
    own, all of the member is among them.
    """
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or entry == "1":
            continue
        process = task(f"/proc/{entry}/status")
        if process is None or process.state in "ZX" or not (process.parent == 0 or process.name in MEMBER_PROGRAMS):
            continue
        if read(f"/proc/{entry}/cgroup") == OWN_CGROUP:
            found[int(entry)] = process
    return found


def is_patroni(pid):
    return any(os.path.basename(word) == "patroni" for word in (read(f"/proc/{pid}/cmdline") or "").split("\0")[:2])


def footprint(pids):
    """How far processes have run, by thread; None if one of them is running or waiting for a processor."""
    sums = {}
    for pid in pids:
        for number, thread in enumerate(threads(pid)):
            if thread.state == "R":
                return None
            sums[pid, number] = thread.switches
    return sums


class Etcd:
    """The member's keys, over etcd's JSON gateway. Every question has a time limit."""

    def __init__(self, name, path, hosts):
        self.name = name
        self.path = path
        # Addresses are kept: Docker's name service takes seconds for the name of a container that is dead.
        self.hosts = [(host.rsplit(":", 1)[0], int(host.rsplit(":", 1)[1])) for host in hosts]
        self.addresses = {}

    def watch(self):
        """Keeps knowing, each second, which etcd member answers, and at what address."""
        while True:
            try:
                self.lease(serializable=True)
            except Exception:
                # Whatever it is: fence() asks again, and says what is wrong.
                pass
            time.sleep(1)

    def lease(self, serializable=False):
        """The lease of the leader key if this member holds it, else None. Raises OSError if etcd does not answer."""
        key = base64.b64encode(f"{self.path}/leader".encode()).decode()
        answer = self.ask("/v3/kv/range", {"key": key, "serializable": serializable})
        try:
            kvs = answer.get("kvs", [])
            holds = bool(kvs) and base64.b64decode(kvs[0].get("value", "")).decode() == self.name
            return (int(kvs[0].get("lease", 0)) or None) if holds else None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise OSError(f"etcd's answer makes no sense: {error!r}") from error

    def others(self):
        """Where the REST APIs of the group's other members are: host and port. Raises OSError if etcd does not answer."""
        prefix = f"{self.path}/members/".encode()
        bounds = {"key": base64.b64encode(prefix).decode(), "range_end": base64.b64encode(prefix[:-1] + b"0").decode(), "serializable": True}
        found = []
        for entry in self.ask("/v3/kv/range", bounds).get("kvs", []):
            try:
                if base64.b64decode(entry["key"]) != prefix + self.name.encode():
                    address = urllib.parse.urlsplit(json.loads(base64.b64decode(entry["value"]))["api_url"])
                    found.append((address.hostname, address.port or REST_PORT))
            except (ValueError, TypeError, KeyError):
                continue
        return found

    def revoke(self, lease):
        self.ask("/v3/lease/revoke", {"ID": str(lease)})

    def ask(self, path, question):
        problem = OSError("etcd has no members")
        for host, port in list(self.hosts):
            try:
                address = self.addresses.get(host) or socket.gethostbyname(host)
                self.addresses[host] = address
                connection = http.client.HTTPConnection(address, port, timeout=ETCD_TIMEOUT_S)
                try:
                    connection.request("POST", path, json.dumps(question), {"Content-Type": "application/json"})
                    response = connection.getresponse()
                    answer = json.loads(response.read())
                finally:
                    connection.close()
                if response.status != 200:
                    raise OSError(f"{host}: {answer.get('message', response.status) if isinstance(answer, dict) else response.status}")
                if (host, port) != self.hosts[0]:
                    self.hosts = [(host, port)] + [other for other in self.hosts if other != (host, port)]
                return answer
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.addresses.pop(host, None)
                problem = OSError(f"{host}: {error}")
        raise problem


class Process:
    """A process of the member that is waited for."""

    def __init__(self, pid):
        self.pid = pid
        self.descriptor = os.pidfd_open(pid)

    def ended(self):
        return bool(select.select([self.descriptor], [], [], 0)[0])

    def close(self):
        os.close(self.descriptor)


def watched(found):
    """Waits for a process by its id; None if there is none, or it has just ended."""
    try:
        return None if found is None else Process(found)
    except ProcessLookupError:
        return None


def find_patroni():
    """Patroni itself: entered from outside the namespace, unlike what it starts, and runs `patroni`, unlike other guests."""
    return next((pid for pid, process in guests().items() if process.parent == 0 and is_patroni(pid)), None)


def find_postmaster():
    """The PostgreSQL process that is no child of a PostgreSQL process."""
    servers = {pid: process for pid, process in guests().items() if process.name == "postgres"}
    return next((pid for pid, process in servers.items() if process.parent not in servers), None)


def takes_writes():
    """
    Whether the member's PostgreSQL is a primary. It has a process that writes the log ahead from the end of its recovery until it is shut
    down, and a standby has none. The kernel tells it of a frozen member as well, which answers no question.
    """
    return any(process.name == "postgres" and WALWRITER.match((read(f"/proc/{pid}/cmdline") or "").split("\0")[0]) for pid, process in guests().items())


def wake_patroni():
    """Has Patroni look now instead of at its next round, up to a second later: taking out a key that is not there changes nothing."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", REST_PORT, timeout=2)
        connection.request("PATCH", "/config", json.dumps({"wake": None}), {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        log(f"PostgreSQL has ended, and Patroni could not be told: {error}")


def ask_patroni(address, method, path, body=None):
    """What a member's Patroni answers; None if it does not, or not with JSON."""
    try:
        connection = http.client.HTTPConnection(*address, timeout=ETCD_TIMEOUT_S)
        try:
            connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None


def kill_guests():
    """Ends all that the member runs. A frozen process takes it on waking, before it executes anything."""
    for pid in runnable():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def reset_connections():
    """
    Closes the member's connections and the ports that it listens on. Of a frozen process the kernel would hold both open:
    clients and workers would wait for answers, and Patroni's question to a frozen member, before another leads, takes 2 s.
    """
    ports = " or ".join(f"{side} = :{port}" for port in (POSTGRES_PORT, REST_PORT) for side in ("sport", "dport"))
    try:
        result = subprocess.run(["ss", "--kill", "--tcp", "--all", "--numeric", "--no-header", f"( {ports} )"], capture_output=True, text=True, timeout=SS_TIMEOUT_S)
        problem = result.stderr.strip() if result.returncode != 0 else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        log(f"connections could not be closed: {problem}")


class Fencer:
    def __init__(self, etcd):
        self.etcd = etcd
        self.patroni = None
        self.postmaster = None
        self.progress = None
        self.progressed_at = time.monotonic()
        self.off = os.path.exists(OFF_FILE)

    def run(self):
        while True:
            if self.patroni is None:
                self.patroni = watched(find_patroni())
                self.progressed_at = time.monotonic()
                if self.patroni is None:
                    self.fence("no process of it is there")
                else:
                    self.tell_off(False)
            if self.patroni is not None and self.postmaster is None:
                self.postmaster = watched(find_postmaster())
            self.wait()
            if self.patroni is not None and self.patroni.ended():
                self.patroni_ended()
            elif self.postmaster is not None and self.postmaster.ended():
                threading.Thread(target=wake_patroni, daemon=True).start()
                self.forget_postmaster()
            elif self.patroni is not None:
                self.look_for_a_freeze()

    def wait(self):
        processes = [process.descriptor for process in (self.patroni, self.postmaster) if process is not None]
        select.select(processes, [], [], TICK_S)

    def patroni_ended(self):
        self.patroni.close()
        self.patroni = None
        self.forget_postmaster()
        # PostgreSQL must not outlive the one that gives up its lead. Docker ends it, too, a moment later.
        self.end_member()
        self.fence("its processes have ended")

    def end_member(self):
        kill_guests()
        deadline = time.monotonic() + ENDING_S
        while runnable() and time.monotonic() < deadline:
            time.sleep(0.005)

    def forget_postmaster(self):
        if self.postmaster is not None:
            self.postmaster.close()
            self.postmaster = None

    def look_for_a_freeze(self):
        progress = footprint([self.patroni.pid])
        if progress is None or progress != self.progress:
            self.progress = progress
            self.progressed_at = time.monotonic()
            return
        still = time.monotonic() - self.progressed_at
        if still < FROZEN_S or not takes_writes():
            return
        pids = list(guests())
        before = footprint(pids)
        time.sleep(TICK_S)
        frozen = before is not None and footprint(pids) == before and footprint([self.patroni.pid]) == self.progress
        if not frozen and still < STALLED_S:
            return
        if footprint([self.patroni.pid]) != self.progress:
            return
        log(f"{'all processes of the member are' if frozen else 'Patroni is'} frozen while it takes writes: ending the member")
        self.end_member()
        reset_connections()
        self.fence("it was frozen, and every process of it has its SIGKILL")

    def may_run(self):
        """Whether something that is the member's, or may be, can still execute an instruction."""
        if runnable():
            self.tell_off(False)
            return True
        doubtful = unclear()
        if any(process.name in MEMBER_PROGRAMS or is_patroni(pid) for pid, process in doubtful.items()):
            self.tell_off(True)
        return self.off or len(doubtful) > 0

    def tell_off(self, off):
        """Says where control groups do not tell the member from its holder: nothing proves then that nothing of it runs."""
        if off == self.off:
            return
        self.off = off
        message = "this engine's control groups do not tell the member from its holder, so nothing is revoked, and a lease has to expire"
        log(f"fencer off: {message}" if off else "fencer on: control groups tell the member from its holder")
        try:
            if off:
                with open(OFF_FILE, "w", encoding="utf-8") as file:
                    file.write(message + "\n")
            else:
                os.unlink(OFF_FILE)
        except OSError as error:
            log(f"{OFF_FILE} could not be changed: {error}")

    def fence(self, reason):
        """Revokes the lease by which the member leads, if nothing of the member can run. Tries until it is done or something runs again."""
        complained = False
        while not self.may_run():
            try:
                lease = self.etcd.lease()
                if lease is None:
                    return self.end_word()
                # Whoever wrote the key that was read had entered this namespace by then, and is finished if nothing runs now.
                if self.may_run():
                    return
                self.etcd.revoke(lease)
                log(f"revoked lease {lease:x} of {self.etcd.name}: {reason}")
                return self.end_word()
            except OSError as error:
                if not complained:
                    log(f"nothing of {self.etcd.name} runs, and etcd does not answer whether it holds a lease: {error}")
                complained = True
                time.sleep(RETRY_S)

    def end_word(self):
        """
        Has standbys go by etcd again that go by the word of this member, which led while etcd was away: they would for the time of a lease. A word has a
        name, and only the word of that name ends. Who gave it had entered this namespace before it was read, and is finished if nothing runs afterwards.
        """
        for address in self.etcd.others():
            word = (ask_patroni(address, "GET", "/patroni") or {}).get("failsafe") or {}
            if word.get("leader") != self.etcd.name or not word.get("token"):
                continue
            if self.may_run():
                return
            ask_patroni(address, "POST", "/failsafe", {"name": self.etcd.name, "end": word["token"]})
            log(f"{address[0]} goes by etcd again, and not by the word of {self.etcd.name}, of which nothing runs")


def main():
    name, path, *hosts = sys.argv[1:]
    etcd = Etcd(name, path, hosts)
    threading.Thread(target=etcd.watch, daemon=True).start()
    Fencer(etcd).run()


main()
