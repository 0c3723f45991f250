"""The installed service, seen as an operator sees it: systemctl, journalctl, sipforkctl."""

import json
import re

from sipp import Sipp
from testing import true
from ua import UA
from waiting import eventually

ADDRESS = ("127.0.0.1", 5060)
CONFIGURATION = "/etc/sipfork/sipfork.toml"
UNIT = "sipfork.service"


class Service:
    """The package and its service in a container."""

    def __init__(self, container, deb):
        self.container = container
        self.deb = deb
        self.run = container.run
        # What steps leave for the ones behind them.
        self.files_before = None
        self.bob_uri = None

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

    # peers

    def phone(self, name, address):
        """A phone of the domain that the package is installed for. Its port is always the same: a contact that an
        earlier step registered must not be a dead one.
        """
        return UA(name, address, ADDRESS, port=5062, domain="localhost")

    def sipp_calls(self, count, rate):
        """Calls of sipp to a registered callee; gives what the caller counted."""
        with UA("callee", "127.0.0.20", ADDRESS) as phone:
            phone.register(contact="<sip:callee@127.0.0.20:5070>")
        with Sipp("callee", "127.0.0.20", ADDRESS):
            with Sipp("caller", "127.0.0.21", ADDRESS, "-s", "callee", "-m", str(count), "-r", str(rate)) as caller:
                caller.wait(60)
                return caller.counters()
