"""A stand-in for systemd: keeps what the daemon gives to its descriptor store, and starts it again when it has ended.

    Supervised                    sipforkd
      notify socket  <----------  FDSTORE=1 FDNAME=arena FDPOLL=0, with the descriptor
      store          ---------->  3, 4, 5, … with LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID

As in the unit: Restart=always after 100 ms, but not after exit 78. Unlike systemd with KillMode=mixed, it kills nothing
that the daemon has left behind: no older child may be alive beside its successor, and that is the daemon's affair.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import threading
import time

from harness import Sipfork, die_with_us
from waiting import eventually

RESTART_AFTER = 0.1
REFUSED = 78  # RestartPreventExitStatus
FIRST = 3  # SD_LISTEN_FDS_START


class Stored:
    """One descriptor of the store."""

    def __init__(self, name, descriptor, is_polled):
        self.name, self.descriptor, self.is_polled = name, descriptor, is_polled

    def identity(self):
        status = os.fstat(self.descriptor)
        return status.st_dev, status.st_ino

    def has_error(self):
        """Whether systemd would have dropped it by now (FDPOLL=1): it has hung up or failed."""
        poll = select.poll()
        poll.register(self.descriptor, 0)
        return bool(poll.poll(0))


class Supervised(Sipfork):
    """A sipforkd that is started again as systemd does it. `watchdog`, in seconds, is WatchdogSec; `maximum` is
    FileDescriptorStoreMax, 0 for a service manager without a store. A thread spawns all masters: they die with it.
    """

    def __init__(self, *arguments, watchdog=None, maximum=256, **more):
        super().__init__(*arguments, **more)
        self.watchdog, self.maximum = watchdog, maximum
        self.store = []
        self.refused = []  # names of what did not fit
        self.exits = []  # how the masters ended
        self.starts = 0
        self.is_wanted = False
        self.pause = RESTART_AFTER
        self.hold = threading.Event()  # set: go on, nobody holds the next start
        self.hold.set()
        self.over = threading.Event()
        self.deadline = None
        self.failure = None
        self.listener = None

    # The life of the service

    def start(self, timeout=10):
        self.notify = self.prepare()
        self.is_wanted = True
        self.over.clear()
        count = self.starts
        self.listener = threading.Thread(target=self.supervise, daemon=True)
        self.listener.start()
        return self.await_start(count, timeout)

    def await_start(self, count, timeout=20):
        """Waits for READY=1 of a master behind the first `count` ones."""

        def is_there():
            if not self.listener.is_alive():
                raise AssertionError(f"no master any more: {self.failure or self.exits}\n{self.tail()}")
            return self.starts > count and self.ready.is_set()

        try:
            eventually(is_there, "READY=1 of a new master", timeout, 0.005)
        except AssertionError as error:
            error.add_note(f"notices: {self.notices}, exits: {self.exits}\n{self.tail()}")
            raise
        return self

    def restart(self, timeout=30):
        """systemctl restart: SIGTERM, and started again at once, with the store."""
        count, self.pause = self.starts, 0
        self.process.send_signal(signal.SIGTERM)
        self.await_start(count, timeout)
        if self.exits[-1] != 0:
            raise AssertionError(f"sipforkd exited with {self.exits[-1]} after SIGTERM, not 0")
        return self

    def upgrade(self, daemon, timeout=30):
        """As a new version of the package does: another program, and a restart."""
        self.daemon = daemon
        return self.restart(timeout)

    def strike(self, number=signal.SIGKILL, timeout=20):
        """A signal that ends the master; waits for its successor."""
        count = self.starts
        os.kill(self.process.pid, number)
        return self.await_start(count, timeout)

    @contextlib.contextmanager
    def down(self, number=signal.SIGKILL):
        """Inside, the master has ended by this signal and its successor is held back; afterwards it is there."""
        count = self.starts
        self.hold.clear()
        try:
            os.kill(self.process.pid, number)
            eventually(lambda: len(self.exits) >= count, "the end of the master", 10)
            yield
        finally:
            self.hold.set()
        self.await_start(count)

    def stop(self, timeout=10):
        """systemctl stop: what is in the store is closed."""
        self.is_wanted = False
        super().stop(timeout)
        self.drop_store()

    def kill(self):
        self.end()

    def clean_up(self):
        self.end()
        super().clean_up()

    def end(self):
        """No successor any more; the master and its children are gone when this returns."""
        self.is_wanted = False
        self.over.set()
        self.hold.set()
        if self.process is not None and self.process.poll() is None:
            super().kill()
        if self.listener is not None:
            self.listener.join(5)
        self.drop_store()

    # The thread

    def supervise(self):
        """From the first start to the last end."""
        try:
            while self.is_wanted:
                self.spawn()
                self.attend()
                if self.process.returncode == REFUSED:
                    break
                self.over.wait(self.pause)
                self.pause = RESTART_AFTER
                self.hold.wait()
        except Exception as failure:  # for await_start to tell
            self.failure = repr(failure)
        finally:
            self.notify.close()

    def spawn(self):
        for entry in [entry for entry in self.store if entry.is_polled and entry.has_error()]:
            self.remove(entry)
        self.ready.clear()
        self.notices.clear()
        environment = self.environment()
        if self.watchdog:
            environment["WATCHDOG_USEC"] = str(int(self.watchdog * 1e6))
        if self.store:
            environment["LISTEN_FDS"] = str(len(self.store))
            environment["LISTEN_FDNAMES"] = ":".join(entry.name for entry in self.store)
        descriptors = [entry.descriptor for entry in self.store]
        # The shell stays the same process: its own pid is what LISTEN_PID must say.
        command = ["sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", *self.command()]
        with open(self.log_path, "ab") as log:
            # Nothing else is inherited: Python's descriptors are closed by exec.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, close_fds=False,
                preexec_fn=lambda: (die_with_us(), pass_on(descriptors)))
        self.starts += 1

    def attend(self):
        """Hears the notifications of a master until it has ended, as systemd does: all of them before its end."""
        handle = os.pidfd_open(self.process.pid)
        poll = select.poll()
        poll.register(self.notify, select.POLLIN)
        poll.register(handle, select.POLLIN)
        self.deadline = None  # of the watchdog, which begins with READY=1
        try:
            while True:
                left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic()) * 1000
                events = {number for number, _ in poll.poll(left)}
                while select.select([self.notify], [], [], 0)[0]:
                    self.hear()
                if handle in events:
                    break
                if self.deadline is not None and time.monotonic() > self.deadline:
                    os.kill(self.process.pid, signal.SIGABRT)
                    os.kill(self.process.pid, signal.SIGCONT)  # a stopped process takes no other signal
                    self.deadline += 5
        finally:
            os.close(handle)
        self.process.wait()
        while select.select([self.notify], [], [], 0)[0]:
            self.hear()
        self.exits.append(self.process.returncode)

    def hear(self):
        """One notification; with FDSTORE=1 its descriptors are kept."""
        data, descriptors, _, _ = socket.recv_fds(self.notify, 65536, 253)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        lines = data.decode(errors="replace").split("\n")
        fields = dict(line.split("=", 1) for line in lines if "=" in line)
        if fields.get("FDSTORE") == "1":
            for descriptor in descriptors:
                self.keep(Stored(fields.get("FDNAME", "stored"), descriptor, fields.get("FDPOLL") != "0"))
        else:
            for descriptor in descriptors:  # BARRIER=1: closed when all before it is done
                os.close(descriptor)
        if fields.get("FDSTOREREMOVE") == "1":
            for entry in [entry for entry in self.store if entry.name == fields.get("FDNAME")]:
                self.remove(entry)
        self.notices += lines
        if self.watchdog and ("READY" in fields or "WATCHDOG" in fields):
            self.deadline = time.monotonic() + self.watchdog
        if fields.get("READY") == "1":
            self.ready.set()

    # The store

    def keep(self, entry):
        if any(other.identity() == entry.identity() for other in self.store):
            os.close(entry.descriptor)
        elif len(self.store) >= self.maximum:
            self.refused.append(entry.name)
            os.close(entry.descriptor)
        else:
            self.store.append(entry)

    def remove(self, entry):
        self.store.remove(entry)
        os.close(entry.descriptor)

    def drop_store(self):
        for entry in list(self.store):
            self.remove(entry)

    def names(self):
        return sorted(entry.name for entry in self.store)

    def stored(self, name):
        """The one entry with this name."""
        found = [entry for entry in self.store if entry.name == name]
        if len(found) != 1:
            raise AssertionError(f"not one descriptor {name!r} in the store but {self.names()}")
        return found[0]


def pass_on(descriptors):
    """In the child before exec: these descriptors become 3, 4, 5, …"""
    high = 600  # above all of ours, so that none is overwritten before it was copied
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, high) for descriptor in descriptors]
    for number, copy in enumerate(copies, FIRST):
        os.dup2(copy, number)

