"""sipforkctl metrics: the text obeys OpenMetrics 1.0, and says the same as status --json."""

import os
import re

from harness import FAST_TIMERS, Sipfork, memory
from peers import establish, hang_up, one_callee, refuse
from testing import contains, equal, test, true
from waiting import eventually

ALONE = True

FAST = {"timers": FAST_TIMERS}

# The ABNF of OpenMetrics 1.0, as far as it concerns counters, gauges and infos without timestamps and exemplars.
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|NaN|Inf)"
DESCRIPTOR = re.compile(rf"# (TYPE|UNIT|HELP) ({NAME}) (.*)")
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)\}})? ({NUMBER})")
SUFFIX = {"counter": "_total", "gauge": "", "info": "_info"}


class Family:
    """What stands between one "# TYPE" and the next: {TYPE, UNIT, HELP} and {labels: value}."""

    def __init__(self):
        self.descriptors, self.samples = {}, {}


def parse(text):
    """{name: Family}; fails where the text is no OpenMetrics."""
    true(text.endswith("\n# EOF\n"), f"the end of the text: {text[-40:]!r}")
    families, current = {}, None
    for line in text[:-len("# EOF\n")].splitlines():
        described = DESCRIPTOR.fullmatch(line)
        if described:
            what, name, value = described.groups()
            if name != current:
                true(name not in families, f"the lines of {name} stand together")
                current, families[name] = name, Family()
            true(what not in families[name].descriptors, f"one {what} of {name}")
            true(not families[name].samples, f"{what} of {name} stands before its samples")
            true(what != "HELP" or re.fullmatch(r"(?:[^\\\n]|\\[\\n\"])*", value), f"escapes in {line!r}")
            families[name].descriptors[what] = value
            continue
        sample = SAMPLE.fullmatch(line)
        true(sample, f"a line of OpenMetrics: {line!r}")
        name, labels, value = sample.groups()
        true(current is not None, f"a family before {line!r}")
        equal(name, current + SUFFIX[families[current].descriptors["TYPE"]], "name of a sample")
        labels = labels or ""
        true(labels not in families[current].samples, f"{line!r} is there once")
        families[current].samples[labels] = float(value)
    return families


def metrics(proxy):
    return parse(proxy.control("metrics").stdout)


def value(families, name, labels=""):
    return families["sipfork_" + name].samples[labels]


@test("the text obeys the grammar of OpenMetrics; every family has type and help, and its unit where it has one")
def grammar():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        hang_up(*establish(alice, bob))
        families = metrics(proxy)
        for name, family in families.items():
            true(name.startswith("sipfork_"), f"the prefix of {name}")
            true(family.descriptors["TYPE"] in SUFFIX, f"the type of {name}")
            true(len(family.descriptors["HELP"]) > 5, f"the help of {name}")
            unit = family.descriptors.get("UNIT")
            true(unit is None or name.endswith("_" + unit), f"the unit of {name}")
            equal("UNIT" in family.descriptors, name.endswith("_seconds"), f"a unit where the name has one: {name}")
            for number in family.samples.values():
                true(number >= 0, f"a value of {name}: {number}")
        equal(families["sipfork_build"].descriptors["TYPE"], "info", "type of sipfork_build")
        version = proxy.status()["version"]
        equal(families["sipfork_build"].samples, {f'version="{version}"': 1}, "version")
        equal(families["sipfork_messages_sent"].descriptors["TYPE"], "counter", "type of a counter")


@test("counters and gauges agree with status --json, after calls that were answered, refused and changed")
def agreement():
    settings = {"server": {"max-transactions": 5000, "max-bindings": 300}, "tcp": {"max-connections": 99}, **FAST}
    with Sipfork(settings) as proxy, one_callee(proxy) as (alice, (bob,)):
        first, second = establish(alice, bob)
        again = alice.send(first.request("INVITE"))
        bob.answer(bob.expect("INVITE"), 200, "OK")
        alice.answer_of(again, 200)
        alice.send(first.request("ACK"))
        bob.expect("ACK")
        hang_up(first, second)
        invite = alice.invite("bob")
        refuse(bob, bob.expect("INVITE"), 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        proxy.idle()
        status, families = proxy.status(), metrics(proxy)
        for name, count in status["counters"].items():
            equal(value(families, name), count, name)
        counters = {name[len("sipfork_"):] for name, family in families.items()
                    if family.descriptors["TYPE"] == "counter" and not name.startswith("sipfork_process_")}
        equal(counters, set(status["counters"]), "counters")
        for name in ("calls_started", "calls_answered", "calls_failed"):
            wanted = {"calls_started": 2, "calls_answered": 1, "calls_failed": 1}[name]
            equal(status["counters"][name], wanted, f"{name}: an INVITE within a dialog is none")
        for name in ("transactions", "bindings", "connections"):
            equal(value(families, name), status[name], name)
        equal((value(families, "records"), value(families, "slots"), value(families, "stored_messages")),
              tuple(status["arena"][name] for name in ("records", "slots", "stored")), "memory in use")
        equal(value(families, "calls_in_setup"), 0, "calls in setup")
        equal(value(families, "bindings_limit"), 300, "bindings_limit")
        equal(value(families, "connections_limit"), 99, "connections_limit")
        true(5000 <= value(families, "transactions_limit") <= 5002, "transactions_limit")
        since = value(families, "start_time_seconds")
        true(since > 1e9 and since == int(since), f"start_time_seconds: {since}")


@test("a ringing call is in setup; without dialog and transaction it is not")
def in_setup():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        equal(proxy.status()["calls"]["now"], 0, "calls of an idle proxy")
        invites = [alice.invite("bob") for _ in range(3)]
        seen = [bob.expect("INVITE") for _ in invites]
        for each in seen:
            bob.answer(each, 180, "Ringing")
        for invite in invites:
            alice.expect(180, ignore=(100,))
        equal(proxy.status()["calls"]["now"], 3, "calls while three ring")
        equal(value(metrics(proxy), "calls_in_setup"), 3, "calls_in_setup")
        contains(re.sub(r" +", " ", proxy.control("status").stdout), "\ncalls in setup 3 -", "status for people")
        for each in seen:
            refuse(bob, each, 603)
        for invite in invites:
            alice.expect(603, ignore=(100, 180))
        equal(proxy.status()["calls"]["now"], 0, "calls after the answers")


@test("of each process: ready, restarts, processor time that never goes back; a worker's death changes only its own")
def processes():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        names = {"master", "worker 0", "worker 1", "locator", "resolver", "logger"}
        labels = {f'process="{name}"' for name in names}

        def sampled():
            families = metrics(proxy)
            return families if families["sipfork_process_cpu_seconds"].samples else None

        before = eventually(sampled, "processor times")
        for name in ("ready", "restarts", "cpu_seconds", "mail_waiting"):
            equal(set(before["sipfork_process_" + name].samples), labels, f"processes of {name}")
        equal(set(before["sipfork_process_ready"].samples.values()), {1}, "ready")
        equal(set(before["sipfork_process_transactions"].samples),
              {'process="worker 0"', 'process="worker 1"'}, "processes with transactions")
        old = proxy.named("worker 1")
        os.kill(old, 9)
        proxy.replaced("worker 1", old)
        eventually(lambda: value(metrics(proxy), "process_ready", 'process="worker 1"') == 1, "a ready successor")
        for _ in range(20):
            hang_up(*establish(alice, bob))

        def grown():
            after = metrics(proxy)
            times = after["sipfork_process_cpu_seconds"].samples
            for label, seconds in before["sipfork_process_cpu_seconds"].samples.items():
                true(times[label] >= seconds, f"processor time of {label}: {times[label]} after {seconds}")
            return after if sum(times.values()) > sum(before["sipfork_process_cpu_seconds"].samples.values()) else None

        after = eventually(grown, "more processor time")
        for label in labels:
            wanted = 1 if label == 'process="worker 1"' else 0
            equal(after["sipfork_process_restarts"].samples[label], wanted, f"restarts of {label}")
        total = sum(after["sipfork_process_cpu_seconds"].samples.values())
        true(0 < total < 600, f"processor time of all: {total} s")


@test("what is asked of metrics wrongly: --json, an argument, a server that is not there")
def wrong_use():
    with Sipfork() as proxy:
        for arguments in (("--json", "metrics"), ("metrics", "all")):
            equal(proxy.control(*arguments, check=False).returncode, 64, f"exit status of {arguments}")
        proxy.socket_path += ".missing"
        done = proxy.control("metrics", check=False)
        equal((done.returncode, done.stdout), (1, ""), "without a server")
        contains(done.stderr, "control.sock.missing", "what it says")


@test("asked three hundred times, the master does not grow, and calls go on", limit=120)
def asked_often():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for _ in range(20):
            metrics(proxy)
        before = memory(proxy.process.pid)["RssAnon"]
        for number in range(300):
            parse(proxy.control("metrics").stdout)
            if number % 50 == 0:
                hang_up(*establish(alice, bob))
        grown = memory(proxy.process.pid)["RssAnon"] - before
        true(grown < 2000, f"the master has grown by {grown} kB")
