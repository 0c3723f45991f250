"""A booted Debian to install the package in: systemd-nspawn on a copy of a debootstrap'ed root.

    $XDG_CACHE_HOME or /var/tmp
     └─ sipfork-test-root/
         ├─ bookworm-…/   made once for a list of packages, never changed after
         ├─ lock          shared by runs, exclusive while the root is made
         └─ run-XXXX/     one run: the root as an overlay, or a copy where overlays cannot be mounted

The container has a network of its own with nothing but loopback. This process joins it (`join_network`), so that its
sockets, and the sipp that it starts, are there too: the root needs neither Python nor sipp.
"""

import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time

SUITE = "bookworm"
# What a plain Debian with systemd has, and what the package depends on: nothing is downloaded in the container.
PACKAGES = "systemd,systemd-sysv,dbus,procps,man-db,libc-ares2,libsqlite3-0,libstdc++6"
CLONE_NEWNET = 0x40000000


class Unavailable(Exception):
    """Why no container can be had here: the tests are skipped."""


def cache_directory():
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or "/var/tmp", "sipfork-test-root")


def die_with_us():
    """In the child before exec: a container must not outlive a test run that is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


class Root:
    """The debootstrap'ed Debian, made when it is missing; locked while in use."""

    def __init__(self):
        directory = cache_directory()
        os.makedirs(directory, exist_ok=True)
        # Another list of packages is another root.
        self.name = f"{SUITE}-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:8]}"
        self.path = os.path.join(directory, self.name)
        self.lock = open(os.path.join(directory, "lock"), "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.clean(directory)
        except BlockingIOError:
            fcntl.flock(self.lock, fcntl.LOCK_SH)
        if not os.path.isdir(self.path):
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            self.make()
        fcntl.flock(self.lock, fcntl.LOCK_SH)

    def clean(self, directory):
        """Nobody else runs: what is there of runs was left by ones that were killed, and roots of others are old."""
        for name in os.listdir(directory):
            if name.startswith(SUITE) and name != self.name:
                shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
            if name.startswith("run-"):
                subprocess.run(
                    ["umount", "-l", os.path.join(directory, name, "root")], stderr=subprocess.DEVNULL)
                shutil.rmtree(os.path.join(directory, name), ignore_errors=True)

    def make(self):
        print(f"Making a Debian {SUITE} in {self.path}", flush=True)
        new = self.path + ".new"
        shutil.rmtree(new, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, new]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=420, preexec_fn=die_with_us)
        except subprocess.TimeoutExpired:
            raise Unavailable("debootstrap took longer than 7 minutes") from None
        if done.returncode != 0:
            raise Unavailable("debootstrap failed: " + " | ".join(done.stdout.splitlines()[-3:]))
        for name in os.listdir(new + "/var/cache/apt/archives"):
            if name.endswith(".deb"):
                os.unlink(f"{new}/var/cache/apt/archives/{name}")
        os.rename(new, self.path)


class Container:
    """A booted Debian. Use as a context manager; `run` runs a command in it."""

    def __init__(self):
        for tool in ("systemd-nspawn", "debootstrap", "nsenter"):
            if shutil.which(tool) is None:
                raise Unavailable(f"{tool} is not installed")
        self.lower = Root()
        self.directory = tempfile.mkdtemp(prefix="run-", dir=cache_directory())
        self.root = os.path.join(self.directory, "root")
        self.process = None
        self.is_mounted = False

    def __enter__(self):
        try:
            self.make_root()
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def make_root(self):
        for name in ("root", "upper", "work"):
            os.mkdir(os.path.join(self.directory, name))
        options = f"lowerdir={self.lower.path},upperdir={self.directory}/upper,workdir={self.directory}/work"
        command = ["mount", "-t", "overlay", "overlay", "-o", options, self.root]
        self.is_mounted = subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
        if not self.is_mounted:
            subprocess.run(["cp", "-a", "--reflink=auto", self.lower.path + "/.", self.root], check=True)

    def boot(self, timeout=60):
        self.console = os.path.join(self.directory, "console")
        command = [
            "systemd-nspawn", "--quiet", "-D", self.root, "--boot", "--register=no", "--keep-unit", "--private-network",
            f"--machine=sipfork-{os.getpid()}"]
        with open(self.console, "wb") as console:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                preexec_fn=die_with_us)
        deadline = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None:
                raise Unavailable("the container ended while it booted: " + self.last_words())
            self.leader = self.find_leader()
            if self.leader and self.run("systemctl", "is-system-running", check=False).stdout.strip() in (
                    "running", "degraded"):
                return
            if time.monotonic() > deadline:
                raise Unavailable(f"the container did not boot within {timeout} s: " + self.last_words())
            time.sleep(0.2)

    def last_words(self):
        with open(self.console, errors="replace") as file:
            return " | ".join(file.read().split("\n")[-4:])

    def find_leader(self):
        """The container's process 1, among those below nspawn."""
        todo = [self.process.pid]
        while todo:
            pid = todo.pop()
            try:
                with open(f"/proc/{pid}/task/{pid}/children") as file:
                    below = [int(word) for word in file.read().split()]
                for child in below:
                    with open(f"/proc/{child}/status") as file:
                        numbers = next(line for line in file if line.startswith("NSpid:")).split()[1:]
                    if len(numbers) > 1 and numbers[-1] == "1":
                        return child
                todo += below
            except (FileNotFoundError, ProcessLookupError, StopIteration):
                pass
        return None

    def join_network(self):
        """From now on, the sockets of this process and of those that it starts are in the container's network."""
        with open(f"/proc/{self.leader}/ns/net") as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def run(self, *command, check=True, timeout=60, user=None):
        """Runs a command in the container; gives the completed process, with its text."""
        if user:
            command = ("runuser", "-u", user, "--", *command)
        # Pagers, colours and the host's own directories have no place there.
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "SYSTEMD_PAGER": "",
                       "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", *command], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=timeout, env=environment)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def copy_in(self, path, target):
        """Copies a file of ours to a path in the container."""
        shutil.copy(path, self.root + target)

    def read(self, path):
        with open(self.root + path) as file:
            return file.read()

    def write(self, path, text):
        with open(self.root + path, "w") as file:
            file.write(text)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            # nspawn hands the kernel's power-off to process 1 on SIGTERM.
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.is_mounted:
            for _ in range(50):
                if subprocess.run(["umount", self.root], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                subprocess.run(["umount", "-l", self.root])
        shutil.rmtree(self.directory, ignore_errors=True)
