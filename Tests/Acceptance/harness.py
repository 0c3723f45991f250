"""The daemon under test: starts sipforkd with a directory and an address block of its own, reads what sipforkctl says,
and checks at the end that it stopped cleanly and left no process behind.

Every test has the /24 that `network()` gives it: the proxy is 127.B.N.1:5060, peers are 127.B.N.2 and up. B is a block
that this run holds locked, so that two runs on one machine never meet.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from waiting import await_exit, eventually, process_exists

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILDS = {
    "release": os.environ.get("SIPFORK_BUILD", os.path.join(ROOT, ".build", "release")),
    "debug": os.environ.get("SIPFORK_DEBUG_BUILD", os.path.join(ROOT, ".build", "debug")),
}
DAEMON = os.path.join(BUILDS["release"], "sipforkd")
CONTROL = os.path.join(BUILDS["release"], "sipforkctl")

DOMAIN = "example.org"
FAST_TIMERS = {"t1": 50, "t2": 400, "t4": 500}  # 64·T1 is 3.2 s; below that, a busy machine retransmits for nothing


def use(build):
    """From now on the programs of this build, "release" or "debug", are tested; false where they are not there."""
    global DAEMON, CONTROL
    DAEMON = os.path.join(BUILDS[build], "sipforkd")
    CONTROL = os.path.join(BUILDS[build], "sipforkctl")
    return all(os.access(program, os.X_OK) for program in (DAEMON, CONTROL))


class Network:
    """Address blocks 127.B.N.0/24; B is claimed by a bound socket that lives as long as this process."""

    def __init__(self):
        self.count = 0
        self.lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for block in range(16, 250):
            try:
                self.lock.bind((f"127.{block}.0.1", 5059))
                self.block = block
                return
            except OSError:
                continue
        raise RuntimeError("no free address block in 127.0.0.0/8")

    def next(self):
        self.count += 1
        return f"127.{self.block}.{self.count % 250 + 1}."


_network = None


def network():
    """The prefix of a /24 that no other test uses, with a dot at its end."""
    global _network
    if _network is None:
        _network = Network()
    return _network.next()


def toml(sections):
    """A configuration file from {"section": {"key": value}}, or {"section": [{…}, …]} for an array of tables: what we
    need of TOML looks the same in JSON.
    """
    lines = []
    for section, content in sections.items():
        for keys in content if isinstance(content, list) else [content]:
            lines.append(f"[[{section}]]" if isinstance(content, list) else f"[{section}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def children(pid):
    """The pids of the living children of a process, from /proc."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    return found


def title(pid):
    """What ps shows for a process; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").strip().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def memory(pid):
    """Resident memory of a process in kB: {"VmRSS", "RssAnon", "RssShmem"}."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon", "RssShmem")}


class Sipfork:
    """One running sipforkd. Use as a context manager: leaving it checks the clean stop, unless the test failed before.

    `settings` is merged into the configuration file section by section; `directory` is kept by the caller when given,
    so that a second Sipfork can start on the state of a first one.
    """

    def __init__(self, settings=None, prefix=None, directory=None, arguments=None):
        self.prefix = prefix or network()
        self.address = (self.prefix + "1", 5060)
        self.own_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="sipfork-")
        self.state_directory = os.path.join(self.directory, "state")
        self.runtime_directory = os.path.join(self.directory, "run")
        self.socket_path = os.path.join(self.runtime_directory, "control.sock")
        self.log_path = os.path.join(self.directory, "stderr")
        self.notify_path = os.path.join(self.directory, "notify")
        self.configuration_path = os.path.join(self.directory, "sipfork.toml")
        self.settings = {"server": {"domains": [DOMAIN], "listen": [f"udp:{self.prefix}1:5060"], "workers": 2}}
        self.merge(settings or {})
        self.arguments = arguments
        self.daemon = DAEMON
        self.process = None
        self.notices = []  # the lines that the daemon sent to its notify socket
        self.ready = threading.Event()
        self.checks_stop = True
        self.names_directories = True

    # The configuration

    def merge(self, settings):
        """Merges into the settings, section by section; None takes a key out."""
        for section, keys in settings.items():
            if isinstance(keys, list):
                self.settings[section] = keys
                continue
            merged = {**self.settings.get(section, {}), **keys}
            self.settings[section] = {key: value for key, value in merged.items() if value is not None}

    def change(self, **settings):
        """Writes the configuration file with these changes, which nobody is told of yet."""
        self.merge(settings)
        with open(self.configuration_path, "w") as file:
            file.write(toml(self.settings))

    def reload(self, **settings):
        """Changes the configuration file and has it read; the lines that `sipforkctl reload` prints."""
        self.change(**settings)
        return self.control("reload").stdout.splitlines()

    # Start and stop

    def start(self, timeout=10):
        """Starts the daemon and waits for READY=1 on a notify socket of ours."""
        self.notify = self.prepare()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(),
                preexec_fn=die_with_us)
        self.listener = threading.Thread(target=self.listen, args=(self.notify, self.process), daemon=True)
        self.listener.start()
        return self.await_ready(timeout)

    def prepare(self):
        """Writes the configuration and gives a notify socket."""
        # State and runtime directory are for the daemon to make.
        if self.arguments is None:
            self.change()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.notify_path)
        self.ready.clear()
        self.notices.clear()
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(self.notify_path)
        return notify

    def command(self):
        command = [self.daemon, *(["-c", self.configuration_path] if self.arguments is None else self.arguments)]
        if self.names_directories:
            command += ["--state-directory", self.state_directory, "--runtime-directory", self.runtime_directory]
        return command

    def environment(self):
        environment = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "INVOCATION_ID")}
        environment["NOTIFY_SOCKET"] = self.notify_path
        return environment

    def await_ready(self, timeout):
        deadline = time.monotonic() + timeout
        while not self.ready.wait(0.05):
            if self.process.poll() is not None:
                code = self.process.returncode
                raise AssertionError(f"sipforkd exited with {code} before it was ready\n{self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"no READY=1 within {timeout} s, but {self.notices}\n{self.tail()}")
        return self

    def listen(self, notify, process):
        """Reads the notify socket until the process is gone, in a thread: a full one would stop the daemon."""
        ended = False
        while not ended:
            ended = process.poll() is not None
            while select.select([notify], [], [], 0.0 if ended else 0.1)[0]:
                self.notices += notify.recv(8192).decode(errors="replace").split("\n")
                if "READY=1" in self.notices:
                    self.ready.set()
        notify.close()

    def stop(self, timeout=10):
        """SIGTERM; the daemon must exit with 0, say STOPPING=1 before, and leave no child."""
        if self.process.poll() is not None:
            raise AssertionError(f"sipforkd was dead before SIGTERM: exit {self.process.returncode}")
        descendants = self.descendants()
        handles = [(pid, title(pid), os.pidfd_open(pid)) for pid in descendants if process_exists(pid)]
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            left = [title(pid) for pid in descendants if process_exists(pid)]
            raise AssertionError(f"sipforkd did not stop within {timeout} s of SIGTERM; still there: {left}") from None
        if code != 0:
            raise AssertionError(f"sipforkd exited with {code} after SIGTERM, not 0")
        for pid, name, handle in handles:
            gone = await_exit(handle, 3)
            os.close(handle)
            if not gone:
                raise AssertionError(f"orphan left after a clean stop: {pid} ({name})")
        self.listener.join(3)

    def kill(self):
        """SIGKILL to the master, for tests that end badly; waits until its children are gone too."""
        descendants = self.descendants()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(5)
        for pid in descendants:
            with contextlib.suppress(AssertionError):
                eventually(lambda: not process_exists(pid), f"the end of {pid}", 3)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.clean_up()
            raise

    def __exit__(self, kind, error, trace):
        try:
            if error is not None:
                error.add_note(f"--- the last lines of sipforkd's log ---\n{self.tail()}")
            if self.process.poll() is None:
                if error is None and self.checks_stop:
                    self.stop()
            elif error is None and self.checks_stop:
                raise AssertionError(f"sipforkd died during the test: exit {self.process.returncode}\n{self.tail()}")
        except AssertionError as stopping:
            stopping.add_note(f"--- the last lines of sipforkd's log ---\n{self.tail()}")
            raise
        finally:
            if self.process.poll() is None:
                self.kill()
            self.clean_up()
        return False

    def clean_up(self):
        if self.own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    # What the daemon says

    def log(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self.log_path, errors="replace") as file:
                return file.read()
        return ""

    def tail(self, lines=25):
        return "\n".join(self.log().splitlines()[-lines:])

    def await_log(self, text, timeout=5):
        eventually(lambda: text in self.log(), f"a log line with {text!r}", timeout)

    def control(self, *arguments, check=True):
        """Runs sipforkctl against this daemon and gives the completed process (text output)."""
        command = [CONTROL, "--socket", self.socket_path, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=15)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} exited with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def ctl(self, *arguments):
        """The parsed JSON of `sipforkctl --json …`."""
        text = self.control("--json", *arguments).stdout
        try:
            return json.loads(text)
        except ValueError as error:
            raise AssertionError(f"sipforkctl --json {' '.join(arguments)} printed no JSON ({error}): {text!r}") from None

    def status(self):
        return self.ctl("status")

    def idle(self, timeout=20):
        """Waits until no transaction is left, and gives that status."""
        eventually(lambda: self.status()["transactions"] == 0, "no transaction in status", timeout)
        return self.status()

    def workers(self):
        """The pids of the workers, in order of their index."""
        return [worker["pid"] for worker in sorted(self.status()["workers"], key=lambda worker: worker["index"])]

    def descendants(self):
        """All processes below the master."""
        found, todo = [], [self.process.pid]
        while todo:
            below = children(todo.pop())
            found += below
            todo += below
        return found

    def named(self, role):
        """The pid of the one child with this role ("worker 0", "locator", "logger") in its title."""
        pids = [pid for pid in self.descendants() if title(pid).startswith(f"sipforkd: {role}")]
        if len(pids) != 1:
            titles = {pid: title(pid) for pid in self.descendants()}
            raise AssertionError(f"not one process titled 'sipforkd: {role}' but {pids} in {titles}")
        return pids[0]

    def replaced(self, role, old, timeout=5):
        """Waits until another process than `old` has this role; gives its pid."""

        def successor():
            with contextlib.suppress(AssertionError):
                pid = self.named(role)
                return pid if pid != old else None

        return eventually(successor, f"a successor of {role} (pid {old})", timeout)


def die_with_us():
    """In the child before exec: the daemon must not outlive a test run that is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
