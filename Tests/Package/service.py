"""The installed service, seen as an operator sees it: systemctl, journalctl, sipforkctl."""

import contextlib
import json
import os
import re
import shutil
import subprocess

from sipp import Sipp
from testing import true
from ua import UA
from waiting import eventually

ADDRESS = ("127.0.0.1", 5060)
CONFIGURATION = "/etc/sipfork/sipfork.toml"
UNIT = "sipfork.service"
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Catalogue:
    """packaging/sipfork.catalog: the subject of each identifier, and its lines."""

    def __init__(self):
        with open(os.path.join(ROOT, "packaging", "sipfork.catalog")) as file:
            pieces = re.split(r"^-- ([0-9a-f]{32})\n", file.read(), flags=re.M)
        self.texts = dict(zip(pieces[1::2], pieces[2::2]))
        self.subjects = {
            identifier: re.match(r"Subject: (.+)", text).group(1) for identifier, text in self.texts.items()}

    def identifiers(self):
        return list(self.texts)


CATALOGUE = Catalogue()


class Service:
    """The package and its service in a container."""

    def __init__(self, container, deb):
        self.container = container
        self.deb = deb
        self.run = container.run
        # What steps leave for the ones behind them.
        self.files_before = None
        self.bob_uri = None
        self.traced_call = None

    # systemd

    def show(self, *names):
        """Properties of the unit, as text."""
        lines = self.run("systemctl", "show", UNIT, *[f"--property={name}" for name in names]).stdout.splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return [found[name] for name in names] if len(names) > 1 else found[names[0]]

    def is_active(self):
        return self.show("ActiveState") == "active"

    def start(self):
        self.run("systemctl", "start", UNIT)

    def processes(self):
        """The pids of sipforkd in the container, by title."""
        lines = self.run("ps", "-eo", "pid=,args=").stdout.splitlines()
        found = {}
        for line in lines:
            pid, _, title = line.strip().partition(" ")
            if re.match(r"(/usr/sbin/)?sipforkd(:|$| )", title.strip()):
                found[title.strip()] = int(pid)
        return found

    # sipforkctl

    def ctl(self, *arguments):
        return json.loads(self.run("sipforkctl", "--json", *arguments).stdout)

    def restarts(self, name):
        """How often a process was replaced since the service's start, and its pid."""
        status = self.ctl("status")
        if name.startswith("worker "):
            worker = status["workers"][int(name.split()[1])]
            return worker["restarts"], worker["pid"]
        process = status["processes"][name]
        return process["restarts"], process["pid"]

    def kill_child(self, name):
        """kill -9 of a child, and the wait for its successor."""
        restarts, pid = self.restarts(name)
        self.run("kill", "-9", str(pid))

        def replaced():
            now, successor = self.restarts(name)
            return now == restarts + 1 and successor not in (0, pid) and not self.starting()

        eventually(replaced, f"a successor of {name}")

    def starting(self):
        """Whether a process is not ready yet, as `sipforkctl status` shows it to people."""
        return re.search(r"(starting|not running)$", self.run("sipforkctl", "status").stdout, re.M)

    # journal

    def explained(self, *matches):
        """The service's entries with these fields, as `journalctl -x` shows them: with the catalogue's text."""
        self.run("journalctl", "--sync", check=False)
        return self.run("journalctl", "-u", "sipfork", "-x", "--no-pager", *matches).stdout

    def journal(self, *matches):
        """The service's entries with these fields, as `journalctl -u sipfork FIELD=VALUE` finds them."""
        # Without this, what was just written may not be there yet.
        self.run("journalctl", "--sync", check=False)
        text = self.run("journalctl", "-u", "sipfork", "-o", "json", "--no-pager", *matches).stdout
        return [json.loads(line) for line in text.splitlines()]

    def await_journal(self, *matches, count=1):
        """At least so many entries with these fields; gives all."""

        def found():
            entries = self.journal(*matches)
            return entries if len(entries) >= count else None

        return eventually(found, f"{count} entries of {' '.join(matches)}", interval=0.1)

    def story(self, lines=25):
        text = self.run("journalctl", "-u", "sipfork", "--no-pager", "-n", str(lines), check=False).stdout
        return text + self.run("systemctl", "status", UNIT, "--no-pager", "-n", "0", check=False).stdout

    # configuration

    def configure(self, *changes):
        """Replaces lines of the configuration: (what begins the line, the whole new line)."""
        lines = self.container.read(CONFIGURATION).split("\n")
        for begin, line in changes:
            places = [index for index, text in enumerate(lines) if text.startswith(begin)]
            true(len(places) == 1, f"one line that begins with {begin!r}, not {len(places)}")
            lines[places[0]] = line
        self.container.write(CONFIGURATION, "\n".join(lines))

    @contextlib.contextmanager
    def drop_in(self, text):
        """The unit with a drop-in, restarted with it, and again without it."""
        directory = f"/etc/systemd/system/{UNIT}.d"
        os.makedirs(self.container.root + directory)
        self.container.write(f"{directory}/test.conf", text)
        try:
            self.run("systemctl", "daemon-reload")
            self.run("systemctl", "restart", UNIT)
            yield
        finally:
            shutil.rmtree(self.container.root + directory)
            self.run("systemctl", "daemon-reload")
            self.run("systemctl", "restart", UNIT, check=False)

    # peers

    def phone(self, name, address):
        """A phone of the domain that the package is installed for. Its port is always the same: a contact that an
        earlier step registered must not be a dead one.
        """
        return UA(name, address, ADDRESS, port=5062, domain="localhost")

    def sipp_calls(self, count, rate):
        """A registration and calls, all by sipp; gives what the caller counted."""
        with Sipp(os.path.join(HERE, "register"), "127.0.0.20", ADDRESS, "-s", "callee", "-m", "1") as registering:
            true(registering.wait(20) == 0, f"sipp registers\n{registering.story()}")
        with Sipp("callee", "127.0.0.20", ADDRESS, listens=True):
            with Sipp("caller", "127.0.0.21", ADDRESS, "-s", "callee", "-m", str(count), "-r", str(rate)) as caller:
                caller.wait(60)
                return caller.counters()


def installed_version(service):
    return service.run("dpkg-query", "-W", "-f", "${Version}", "sipfork").stdout


def higher(deb, directory):
    """The same package with a higher version; gives its path."""
    tree, made = os.path.join(directory, "tree"), os.path.join(directory, "sipfork.deb")
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = os.path.join(tree, "DEBIAN", "control")
    with open(control) as file:
        text = re.sub(r"^(Version: .*)$", r"\1+next1", file.read(), flags=re.M)
    with open(control, "w") as file:
        file.write(text)
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, made]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return made


def files(service):
    """All files of the root, but what a running machine and dpkg write for themselves."""
    found = set()
    for top, directories, names in os.walk(service.container.root):
        path = top[len(service.container.root):]
        if path in ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache", "/var/lib/systemd",
                    "/var/lib/apt"):
            directories.clear()
            continue
        found.update(f"{path}/{name}" for name in names + directories)
    kept = re.compile(
        r"/root/sipfork(-new)?\.deb|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/\.pwd\.lock"
        r"|/var/lib/dpkg/.*-(old|new)")
    return {path for path in found if not kept.fullmatch(path)}
