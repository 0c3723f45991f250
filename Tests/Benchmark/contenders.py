"""The two proxies under comparison, each with a /24 of its own, and with the same number of workers.

Both have `name`, `prefix`, `address` and `process`, the root of their tree of processes, and are context managers.
"""

import os
import shutil
import signal
import subprocess
import tempfile

import harness
from accounting import tree
from harness import children, network
from waiting import await_listener, eventually

FOLDER = os.path.dirname(os.path.abspath(__file__))
NAMES = ("sipfork", "kamailio")
SHARED_MEGABYTES = 4096  # Kamailio's shared memory, taken as it is used


class Sipfork(harness.Sipfork):
    """sipforkd with its defaults but for the log of failed calls, which Kamailio does not write either."""

    name = "sipfork"

    def __init__(self, workers, stateless=False, tcp=False, remembers=False, t1=500, bindings=1 << 20, **more):
        super().__init__({"server": {"workers": workers, "max-bindings": bindings}, "log": {"calls": "none"}}, **more)
        listen = ["udp"] + (["tcp"] if tcp else [])
        self.merge({"server": {"listen": [f"{transport}:{self.address[0]}:5060" for transport in listen]}})
        if stateless:
            self.merge({"server": {"mode": "stateless"}})
        if t1 != 500:
            # With T2 as near as T1, BYE would be answered 100 at once (RFC 4320 section 4.1).
            self.merge({"timers": {"t1": t1, "t2": 8 * t1}})

    def start(self, timeout=120):
        """With a million bindings to read it takes some seconds."""
        return super().start(timeout)


class Kamailio:
    """Debian's Kamailio with the configuration beside this file; it has children where sipfork has workers. One that
    `remembers` keeps completed transactions for the 32 seconds that RFC 3261 has, not for five.
    """

    name = "kamailio"

    def __init__(self, workers, stateless=False, tcp=False, remembers=False):
        self.prefix = network()
        self.address = (self.prefix + "1", 5060)
        self.workers, self.tcp = workers, tcp
        self.words = {"ADDRESS": self.address[0], "WORKERS": str(workers)}
        defines = {"STATELESS": stateless, "WITH_TCP": tcp, "REMEMBERS": remembers}
        self.defines = [name for name, wanted in defines.items() if wanted]

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="sipfork-kamailio-")
        with open(os.path.join(FOLDER, "kamailio.cfg")) as file:
            text = file.read()
        for word, value in self.words.items():
            text = text.replace(f"@{word}@", value)
        path = os.path.join(self.directory, "kamailio.cfg")
        with open(path, "w") as file:
            file.write(text)
        # -DD: stay in the foreground, but with child processes.
        command = ["kamailio", "-f", path, "-DD", "-m", str(SHARED_MEGABYTES), "-M", "32", "-Y", self.directory,
                   "-P", os.path.join(self.directory, "pid")]
        for define in self.defines:
            command += ["-A", define]
        with open(os.path.join(self.directory, "log"), "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=harness.die_with_us)
        try:
            await_listener(*self.address)
            if self.tcp:
                await_listener(*self.address, "tcp")
            eventually(lambda: len(children(self.process.pid)) >= self.workers, "Kamailio's children")
        except AssertionError as error:
            with open(os.path.join(self.directory, "log"), errors="replace") as log:
                error.add_note(log.read()[-2000:])
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for pid in tree(self.process.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def contender(name, *arguments, **settings):
    return (Sipfork if name == "sipfork" else Kamailio)(*arguments, **settings)
