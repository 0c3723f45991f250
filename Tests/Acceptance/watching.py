"""What status shows of the moment: rates, load, the last errors; and --watch, which shows it again and again."""

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

from harness import CONTROL, FAST_TIMERS, Sipfork, network
from peers import establish, hang_up, one_callee, refuse
from testing import contains, equal, test, true
from waiting import eventually

ALONE = True

FAST = {"timers": FAST_TIMERS}


@contextlib.contextmanager
def watching(proxy, *arguments, stdout=subprocess.PIPE):
    """sipforkctl as it goes on, its stdout a pipe that is read without waiting."""
    command = [CONTROL, "--socket", proxy.socket_path, *arguments]
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE) as running:
        for stream in (running.stdout, running.stderr):
            if stream:
                os.set_blocking(stream.fileno(), False)
        try:
            yield running
        finally:
            running.kill()


class Lines:
    """What comes out of a stream, so far."""

    def __init__(self, number):
        self.number, self.text = number, ""

    def read(self):
        with contextlib.suppress(BlockingIOError):
            # A terminal whose other side is closed gives EIO.
            with contextlib.suppress(OSError):
                while data := os.read(self.number, 65536):
                    self.text += data.decode()
        return self.text


@test("calls a second and load: null at first, then what was done in the last ten seconds, then nothing again")
def rates():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):

        def known():
            status = proxy.status()
            return status if status["calls"]["started_per_second"] is not None else None

        status = eventually(known, "rates")
        for name in ("started", "answered", "failed"):
            equal(status["calls"][f"{name}_per_second"], 0, f"{name} a second of an idle proxy")
        for _ in range(6):
            hang_up(*establish(alice, bob))
        for _ in range(3):
            invite = alice.invite("bob")
            refuse(bob, bob.expect("INVITE"), 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))

        def counted():
            calls = proxy.status()["calls"]
            started, answered, failed = (calls[f"{name}_per_second"] for name in ("started", "answered", "failed"))
            # Nine calls within ten seconds, six of them answered, however the samples fell.
            return calls if started > 0 and abs(started - 3 * failed) < 0.01 and abs(
                started - 1.5 * answered) < 0.01 else None

        calls = eventually(counted, "the rates of nine calls")
        true(0.5 <= calls["started_per_second"] <= 9, f"calls started a second: {calls}")
        status = proxy.status()
        loads = [status["load"], *(worker["load"] for worker in status["workers"])]
        loads += [process["load"] for process in status["processes"].values()]
        for load in loads:
            true(load is not None and 0 <= load <= 1.2, f"loads: {loads}")
        text = re.sub(r" +", " ", proxy.control("status").stdout)
        true(re.search(r"calls started \d\.\d\n", text), f"calls started for people: {text}")
        true(re.search(r"\nworker 0 \d+ \d+\.\d% \d+ 0 0 ready\n", text), f"a process for people: {text}")
        eventually(
            lambda: proxy.status()["calls"]["started_per_second"] == 0, "no calls in the last ten seconds", 20)


@test("load: a worker's share of a processor under calls is more than that of an idle one")
def load():
    with Sipfork({"server": {"workers": 1}, **FAST}) as proxy, one_callee(proxy) as (alice, (bob,)):

        def busy():
            for _ in range(20):
                hang_up(*establish(alice, bob))
            status = proxy.status()
            return (status["workers"][0]["load"] or 0) > 0.001 and (status["load"] or 0) > 0.001

        eventually(busy, "load of worker and master", 20)


@test("last errors: none, then those of priority warning or worse, the newest first, with time and process")
def last_errors():
    with Sipfork(FAST) as proxy:
        equal(proxy.status()["last_errors"], [], "last errors after the start")
        contains(proxy.control("status").stdout, "LAST WARNINGS AND ERRORS: none", "status for people")
        began = int(time.time())
        for _ in range(2):
            old = proxy.named("worker 0")
            os.kill(old, signal.SIGKILL)
            proxy.replaced("worker 0", old)
        errors = eventually(lambda: len(seen := proxy.status()["last_errors"]) == 2 and seen, "two errors")
        contains(errors[0]["message"], f"(pid {old}) died: killed by signal 9", "the newest error")
        for error in errors:
            equal(set(error), {"time", "process", "event", "message"}, "keys")
            equal((error["process"], error["event"]), ("master", "child-died"), "process and event")
            true(began - 1 <= error["time"] <= time.time() + 1, f"time {error['time']}, now {time.time()}")
        text = proxy.control("status").stdout
        contains(text, "\nLAST WARNINGS AND ERRORS\n", "status for people")
        contains(text, f"worker 0 (pid {old}) died", "status for people")
        # They survive the logger, whose they are, and its successor goes on.
        logger = proxy.named("logger")
        os.kill(logger, signal.SIGKILL)
        proxy.replaced("logger", logger)
        errors = eventually(lambda: len(seen := proxy.status()["last_errors"]) == 3 and seen, "three errors")
        contains(errors[0]["message"], "logger", "the newest error")


@test("last errors: eight at most, the newest of more")
def eight_errors():
    with Sipfork(FAST) as proxy:
        for _ in range(10):
            old = proxy.replaced("resolver", None)
            os.kill(old, signal.SIGKILL)
            proxy.replaced("resolver", old)

        def newest():
            errors = proxy.status()["last_errors"]
            return errors if errors and f"(pid {old})" in errors[0]["message"] else None

        equal(len(eventually(newest, "the newest error")), 8, "last errors")


@test("the screen has no control character of a stranger, and no line over a hundred columns")
def harmless():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        alice.send(b"INVITE sip:\x1b[2J\x9b@x SIP/2.0\r\n\r\n")
        hang_up(*establish(alice, bob))
        os.kill(proxy.named("locator"), signal.SIGKILL)
        eventually(lambda: proxy.status()["last_errors"], "an error")
        text = proxy.control("status").stdout
        true(not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), f"control characters in {text!r}")
        true(max(len(line) for line in text.splitlines()) <= 100, f"the longest line of {text}")


@test("--watch into a pipe: one screen behind the other, JSON one object a line; workers and transactions too")
def into_a_pipe():
    with Sipfork(FAST) as proxy:
        with watching(proxy, "status", "--watch", "1") as running:
            lines = Lines(running.stdout.fileno())
            eventually(lambda: lines.read().count("\nPROCESS ") >= 3, "three screens", 10)
            true("\x1b" not in lines.text, "nothing for terminals")
            running.send_signal(signal.SIGINT)
            equal(running.wait(5), -signal.SIGINT, "exit status after Ctrl-C")
        for command in ("status", "workers", "transactions"):
            with watching(proxy, "--json", command, "--watch=1") as running:
                lines = Lines(running.stdout.fileno())
                eventually(lambda: lines.read().count("\n") >= 2, f"two lines of {command}", 10)
                for line in lines.text.splitlines():
                    json.loads(line)


@test("--watch survives a restart of the service: says that it is away, once, and goes on with the next one")
def restarts():
    prefix, directory = network(), tempfile.mkdtemp(prefix="sipfork-")
    try:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(Sipfork(FAST, prefix, directory))
            with watching(first, "status", "--json", "--watch", "1") as running:
                lines, complaints = Lines(running.stdout.fileno()), Lines(running.stderr.fileno())

                def pids():
                    lines.read()
                    return [json.loads(line)["pid"] for line in lines.text.split("\n")[:-1]]

                eventually(lambda: first.process.pid in pids(), "the first service", 10)
                stack.close()
                eventually(lambda: "trying again every 1 s" in complaints.read(), "the word that it is away", 10)
                contains(complaints.text, "control.sock", "what it says")
                with Sipfork(FAST, prefix, directory) as second:
                    eventually(lambda: second.process.pid in pids(), "the second service", 10)
                    equal(running.poll(), None, "exit status")
                    # The memory of the first is given back: nothing of it is mapped or open.
                    for held in (maps(running.pid), descriptors(running.pid)):
                        true(sum("memfd:sipfork" in each for each in held) <= 1, f"memory of both services: {held}")
                told = complaints.read().splitlines()
                equal(len(told), len(set(told)), f"complaints, each once: {told}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def maps(pid):
    with open(f"/proc/{pid}/maps") as file:
        return file.read().splitlines()


def descriptors(pid):
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


@test("--watch on a terminal: draws in place, as many lines as there are, and says when the service is away")
def on_a_terminal():
    with Sipfork(FAST) as proxy:
        ours, theirs = pty.openpty()
        try:
            subprocess.run(["stty", "rows", "10", "columns", "80"], stdin=theirs, check=True)
            with watching(proxy, "status", "--watch", "1", stdout=theirs) as running:
                os.set_blocking(ours, False)
                screen = Lines(ours)

                def drawn():
                    return screen.read().split("\x1b[H")[1:]

                eventually(lambda: len(drawn()) >= 3, "three screens", 10)
                true(screen.text.startswith("\x1b[2J"), "the terminal is cleared first")
                lines = drawn()[1].split("\x1b[K\r\n")
                equal(len(lines), 10, f"lines of a screen of ten, the last being the cursor's: {lines}")
                equal(lines[-1], "\x1b[J", "the rest is cleared")
                contains(lines[0], f"pid {proxy.process.pid}", "the first line")
                proxy.stop()
                proxy.checks_stop = False
                eventually(lambda: "trying again every 1 s" in drawn()[-1], "the word that it is away", 10)
                true(select.select([running.stderr], [], [], 0)[0] == [], "nothing on stderr")
        finally:
            os.close(ours)
            os.close(theirs)


@test("--watch: what may not be asked, or is not there, fails at once; so do wrong seconds")
def refused():
    with Sipfork() as proxy:
        for seconds in ("0", "-1", "soon", "1.5", "100000"):
            done = proxy.control("status", f"--watch={seconds}", check=False)
            equal((done.returncode, done.stdout), (64, ""), f"--watch={seconds}")
        equal(proxy.control("registrations", "--watch", check=False).returncode, 64, "registrations --watch")
        proxy.socket_path += ".missing"
        done = proxy.control("status", "--watch", check=False)
        equal((done.returncode, done.stdout), (1, ""), "without a service")
        contains(done.stderr, "control.sock.missing", "what it says")
