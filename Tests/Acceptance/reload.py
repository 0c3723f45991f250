"""sipforkctl reload, and SIGHUP: what is read, what is said, and what happens to a file that cannot be used."""

import os
import signal
import socket

from commands import under_way
from harness import FAST_TIMERS, Sipfork, network, toml
from peers import establish, hang_up, one_callee
from reloadscene import (
    WAITING, harmless, is_ours, judged, names, processes, refused, renewed, replaced, untouched, waiting)
from testing import contains, equal, test, true
from ua import UA
from waiting import eventually

FAST = {"timers": FAST_TIMERS}
NOTICE, WARNING = "<5>", "<4>"


def log_lines(proxy, before, priority, *words):
    """Lines of this priority with all of these words that are in the log now, and were not `before`."""
    lines = proxy.log()[len(before):].splitlines()
    return [line for line in lines if line.startswith(priority) and all(word in line for word in words)]


def await_line(proxy, before, priority, *words):
    return eventually(
        lambda: log_lines(proxy, before, priority, *words), f"a log line {priority} with {words}, not {proxy.tail(8)}")


# A good file

@test("what has changed is named, every child is replaced and none counted, the same stands in the log as a notice")
def good():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        log = proxy.log()
        renewed(proxy, registrar={"max-expires": 7000, "min-expires": 61}, server={"record-route": False})
        for key in ("registrar.max-expires", "registrar.min-expires", "server.record-route"):
            await_line(proxy, log, NOTICE, key)
        equal(proxy.log().count("died"), 0, "deaths in the log")
        renewed(proxy, server={"domains": ["example.org", "new.example"], "record-route": None})
        equal([is_ours(proxy, name) for name in ("new.example", "other.example")], [True, False], "domains")
        hang_up(*establish(alice, bob))


@test("nothing has changed: it says so and replaces nobody; comments, order and written defaults are no change")
def nothing():
    with Sipfork(FAST) as proxy:
        before = processes(proxy)
        for settings in ({}, {"registrar": {"max-contacts": 10}, "log": {"level": "info"}}, {"tcp": {}}):
            equal(proxy.reload(**settings), ["nothing has changed"], f"what it prints with {settings}")
        with open(proxy.configuration_path, "w") as file:
            file.write("# the same, from the end\n" + toml(dict(reversed(proxy.settings.items()))))
        equal(proxy.control("reload").stdout, "nothing has changed\n", "with the sections in another order")
        untouched(proxy, before)


@test("what waits for stop and start is named, warned of in the log, and not done; the rest of the file is")
def waits():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        log, before = proxy.log(), processes(proxy)
        lines = proxy.reload(
            server={"workers": 3, "max-transactions": 5000, "max-bindings": 7000, "mode": "stateless",
                    "domains": ["example.org", "new.example"]},
            registrar={"store": "memory"})
        equal(waiting(lines), set(WAITING), f"what waits: {lines}")
        equal(names(lines), {"server.domains"}, f"what has changed: {lines}")
        replaced(proxy, before)
        equal(proxy.status()["mode"], "stateful", "mode")
        for key in WAITING:
            await_line(proxy, log, WARNING, key)
        await_line(proxy, log, NOTICE, "server.domains")
        true(is_ours(proxy, "new.example"), "the new domain is ours")
        hang_up(*establish(alice, bob))
        proxy.stop()
        with open(proxy.log_path, "w"):
            pass
        proxy.start()
        equal((proxy.status()["mode"], len(proxy.workers())), ("stateless", 3), "mode and workers after a new start")


@test("the old key again: what waited waits no more")
def waits_no_more():
    with Sipfork(FAST) as proxy:
        equal(waiting(proxy.reload(server={"workers": 3})), {"server.workers"}, "what waits")
        equal(waiting(proxy.reload(server={"workers": 2})), set(), "what waits when it is as before")
        equal(len(proxy.workers()), 2, "workers")


@test("what the command line says holds after a reload: --domain, --listen; all else is the file's")
def overrides():
    proxy = Sipfork(FAST)
    proxy.arguments = [
        "-c", os.path.relpath(proxy.configuration_path), "--domain", "flag.example", "--listen",
        f"udp:{proxy.prefix}1:5060"]
    proxy.change(server={"listen": [f"udp:{proxy.prefix}77:5060"]})
    with proxy:
        before = processes(proxy)
        lines = proxy.reload(server={"domains": ["new.example"], "listen": [f"udp:{proxy.prefix}78:5060"]})
        equal(lines, ["nothing has changed"], "what it prints when the command line hides the change")
        untouched(proxy, before)
        renewed(proxy, registrar={"min-expires": 120})
        equal(proxy.status()["listeners"], [f"udp:{proxy.prefix}1:5060"], "listeners")
        equal([is_ours(proxy, name) for name in ("flag.example", "new.example")], [True, False], "domains")
        with UA("bob", proxy.prefix + "10", proxy.address, domain="flag.example") as bob:
            bob.register(expires=119, want=423)


@test("without a file there is nothing to reload, and that is no failure")
def no_file():
    prefix = network()
    proxy = Sipfork(prefix=prefix, arguments=["--domain", "example.org", "--listen", f"udp:{prefix}1:5060"])
    with proxy:
        before = processes(proxy)
        contains(proxy.control("reload").stdout, "nothing to reload: no configuration file", "what it prints")
        log = proxy.log()
        proxy.process.send_signal(signal.SIGHUP)
        eventually(lambda: proxy.log() != log, "a line in the log after SIGHUP")
        untouched(proxy, before)


@test("a file with a warning is used, and the warning stands in the log with file, line and column")
def warning():
    with Sipfork(FAST) as proxy:
        log = proxy.log()
        renewed(proxy, timers={"c": 60000})
        (place,) = [line.removeprefix("warning: ").split(": ")[0] for line in judged(proxy)]
        contains(place, "sipfork.toml:", "where the warning is")
        await_line(proxy, log, WARNING, place)


@test("after a reload, a child that dies is replaced by one with the new configuration; only this is counted")
def successors():
    with Sipfork(FAST) as proxy:
        renewed(proxy, server={"domains": ["example.org", "new.example"]}, registrar={"min-expires": 100})
        for role, (pid, _) in processes(proxy).items():
            if role != "master":
                os.kill(pid, signal.SIGKILL)
                proxy.replaced(role, pid)
        equal({count for role, (_, count) in processes(proxy).items() if role != "master"}, {1}, "restarts")
        true(is_ours(proxy, "new.example"), "the new domain is ours")
        with UA("bob", proxy.prefix + "10", proxy.address) as bob:
            bob.register(expires=99, want=423)
        renewed(proxy)


# A bad file

BAD = """[server]
workres = 2
domains = ["new.example"]
listen = "here"
[registrar]
min-expires = -5
[log]
level = "loud"
"""


def unchanged(proxy):
    """The service goes by the configuration that it had."""
    true(not is_ours(proxy, "new.example"), "new.example has become ours")
    true(is_ours(proxy, "example.org"), "example.org is ours no more")


@test("a bad file: exit 1, every diagnostic as sipforkd -t has it, in the log too, and nothing changes")
def bad():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        sides = establish(alice, bob)
        with open(proxy.configuration_path, "w") as file:
            file.write(BAD)
        wanted = judged(proxy)
        equal(len(wanted), 4, f"diagnostics of sipforkd -t: {wanted}")
        log = proxy.log()
        said = refused(proxy)
        for line in wanted:
            contains(said, line, "what it says")
            contains(said, f"{proxy.configuration_path}:", "the file that it names")
            eventually(lambda line=line: line in proxy.log()[len(log):], f"a log line with {line}")
        unchanged(proxy)
        hang_up(*sides)
        os.kill(proxy.named("worker 0"), signal.SIGKILL)  # its successor must not read the bad file
        eventually(lambda: processes(proxy)["worker 0"][1] == 1, "the restart of worker 0")
        unchanged(proxy)
        renewed(proxy)


@test("no TOML, a file that is gone, a directory, hundreds of faults: exit 1 and a reason each time, nothing changes")
def unusable():
    with Sipfork(FAST) as proxy:
        path = proxy.configuration_path

        def written(data):
            with open(path, "wb") as file:
                file.write(data)

        for name, make, words in (
                ("no TOML", lambda: written(b"[server\n"), [f"{path}:1:"]),
                ("not even text", lambda: written(b"\xff\xfe\0\0" * 500), [path]),
                ("long", lambda: written(b"[server]\n" + b"x%d = 1\n" * 300 % tuple(range(300))), [f"{path}:2:1: "]),
                ("gone", lambda: os.unlink(path), [path]), ("a directory", lambda: os.mkdir(path), [path])):
            make()
            said = refused(proxy)
            for word in words:
                contains(said, word, f"what it says of a file that is {name}")
            unchanged(proxy)
        os.rmdir(path)
        renewed(proxy, server={"domains": ["example.org", "new.example"]})
        true(is_ours(proxy, "new.example"), "new.example is ours")


@test("a FIFO instead of a file, which nobody writes to, stops nothing: calls go on, the reload fails")
def fifo():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        os.unlink(proxy.configuration_path)
        os.mkfifo(proxy.configuration_path)
        with under_way(proxy, "reload") as running:
            for _ in range(20):
                hang_up(*establish(alice, bob))
            equal(running.wait(10), 1, "exit status")
        os.unlink(proxy.configuration_path)
        renewed(proxy)


# Signals, and two at once

@test("SIGHUP to the master: a good file is used, a bad one refused, with the outcome in the log")
def hangup():
    with Sipfork(FAST) as proxy:
        before, log = processes(proxy), proxy.log()
        proxy.change(server={"domains": ["example.org", "new.example"]})
        proxy.process.send_signal(signal.SIGHUP)
        await_line(proxy, log, NOTICE, "server.domains")
        replaced(proxy, before)
        true(is_ours(proxy, "new.example"), "new.example is ours")
        before, log = processes(proxy), proxy.log()
        with open(proxy.configuration_path, "w") as file:
            file.write(BAD)
        proxy.process.send_signal(signal.SIGHUP)
        for line in judged(proxy):
            eventually(lambda line=line: line in proxy.log()[len(log):], f"a log line with {line}")
        untouched(proxy, before)
        log = proxy.log()
        proxy.change()
        proxy.process.send_signal(signal.SIGHUP)
        await_line(proxy, log, "", "nothing has changed")
        untouched(proxy, before)


def asked(proxy):
    """A request for a reload that waits in the control socket until the master looks."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking.settimeout(20)
    asking.connect(proxy.socket_path)
    asking.send(b"reload\n")
    return asking


@test("two at once: one reloads, the other is told 503 A reload is under way; a third one later works")
def two_at_once():
    with Sipfork(FAST) as proxy:
        proxy.change(**harmless(proxy))
        before = processes(proxy)
        proxy.process.send_signal(signal.SIGSTOP)
        try:
            first, second = asked(proxy), asked(proxy)
        finally:
            proxy.process.send_signal(signal.SIGCONT)
        with first, second:
            answers = sorted(each.recv(8192).decode() for each in (first, second))
        contains(answers[0], "200 ", "one answer")
        contains(answers[0], "registrar.max-contacts", "one answer")
        contains(answers[1], "503 A reload is under way", "the other answer")
        replaced(proxy, before)
        renewed(proxy)


@test("who has asked for a reload and does not wait for the answer: it is done all the same, and the next one works")
def gone_away():
    with Sipfork(FAST) as proxy:
        before = processes(proxy)
        proxy.change(**harmless(proxy))
        asked(proxy).close()
        eventually(
            lambda: all(now[0] not in (0, then[0]) for role, now, then in (
                (role, now, before[role]) for role, now in processes(proxy).items()) if role != "master"),
            "all children to be replaced", 10)
        eventually(
            lambda: "under way" not in proxy.control("reload", check=False).stderr, "the end of that reload", 10)
        renewed(proxy)
