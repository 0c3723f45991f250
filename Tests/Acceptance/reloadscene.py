"""Reloads for the tests: the change, what `sipforkctl reload` says of it, and which processes are others afterwards."""

import contextlib
import os
import subprocess

from commands import under_way
from harness import DAEMON, children
from testing import equal, true
from ua import UA
from waiting import eventually

WAITING = ("server.workers", "server.max-transactions", "server.max-bindings", "server.mode", "registrar.store")
PATIENT = {"timers": {"t1": 4000, "t2": 4000}}  # above what `expect` waits: what arrives was not sent again


def processes(proxy):
    """{role: (pid, restarts)} of all children, as status has them."""
    status = proxy.status()
    rows = {name: (row["pid"], row["restarts"]) for name, row in status["processes"].items()}
    rows.update({f"worker {row['index']}": (row["pid"], row["restarts"]) for row in status["workers"]})
    return {"master": (status["pid"], 0), **rows}


def replaced(proxy, before):
    """Every child is another process, which is there and not counted as a restart; the master is the same."""
    after = processes(proxy)
    equal(set(after), set(before), "processes")
    equal(after["master"], before["master"], "the master")
    for role in set(before) - {"master"}:
        true(after[role][0] not in (0, before[role][0]), f"{role} has not been replaced: {before[role]}, {after[role]}")
        equal(after[role][1], before[role][1], f"restarts of {role}")
        equal(proxy.named(role), after[role][0], f"the process that is titled {role}")


def untouched(proxy, before):
    """The processes are those of before."""
    equal(processes(proxy), before, "processes")


def names(lines):
    """The keys that the command says it has applied."""
    found = [line.removeprefix("reloaded: ").split(", ") for line in lines if line.startswith("reloaded: ")]
    true(len(found) <= 1, f"at most one line 'reloaded: …': {lines}")
    return set(found[0]) if found else set()


def waiting(lines):
    """The keys that the command says wait for stop and start."""
    return {line.split()[0] for line in lines if line.endswith(" waits for stop and start")}


def harmless(proxy):
    """A change that no call and no phone of a test can see, another one each time."""
    return {"registrar": {"max-contacts": proxy.settings.get("registrar", {}).get("max-contacts", 10) % 200 + 1}}


def renewed(proxy, **settings):
    """A reload with these changes (or a harmless one), that must name just these keys and replace all children."""
    settings = settings or harmless(proxy)
    before = processes(proxy)
    lines = proxy.reload(**settings)
    replaced(proxy, before)
    keys = {f"{name}.{key}" for name, keys in settings.items() if isinstance(keys, dict) for key in keys}
    applied = names(lines)
    routes = {key for key in applied if key.split(".")[0] == "route"}
    equal(bool(routes), "route" in settings, f"routes among what has changed: {lines}")
    equal(applied - routes, keys, "keys that have changed")


def refused(proxy, *arguments):
    """A reload that must fail and change no process; gives what it says on stderr."""
    before = processes(proxy)
    done = proxy.control("reload", *arguments, check=False)
    equal(done.returncode, 1, f"exit status: {done.stdout}{done.stderr}")
    equal(done.stdout, "", "stdout")
    untouched(proxy, before)
    return done.stderr


def judged(proxy):
    """What `sipforkd -t` says of the configuration file as it is, line by line."""
    done = subprocess.run([DAEMON, "-t", "-c", proxy.configuration_path], capture_output=True, text=True, timeout=10)
    return (done.stdout + done.stderr).splitlines()


def is_ours(proxy, domain, number=40):
    """Whether the proxy is the registrar of this domain: it takes a REGISTER for it, or answers 404."""
    with UA("eve", f"{proxy.prefix}{number}", proxy.address, domain=domain) as eve:
        request = eve.request(
            "REGISTER", f"sip:{proxy.address[0]}", to=f"<{eve.aor}>", contact=False,
            headers=[("Contact", f"<{eve.uri}>")])
        status = eve.expect_final(eve.send(request)).kind
        true(status in (200, 404), f"answer to a REGISTER for {domain}: {status}")
        return status == 200


@contextlib.contextmanager
def reloading(proxy, status=0, **settings):
    """Inside, a reload has begun to replace children (and may be over, where it was quick); at the end the command
    must have ended with this status. None: whatever it is.
    """
    proxy.change(**(settings or harmless(proxy)))
    before = set(children(proxy.process.pid))
    with under_way(proxy, "reload") as running:
        eventually(
            lambda: running.poll() is not None or not before <= set(children(proxy.process.pid)),
            "the first child to be replaced", 10, 0.001)
        true(running.poll() in (None, 0), "the reload has begun, or is over already")
        yield running
        output = running.communicate(timeout=30)
        if status is not None:
            equal(running.returncode, status, f"exit status of the reload, which said {output}")


def descriptors(pid):
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def same_descriptors(pid, count):
    """A process has this many files and sockets open, or comes down to it when it has closed what it closes late."""
    eventually(lambda: descriptors(pid) <= count, f"{count} descriptors, {descriptors(pid)} are open", 3)
