"""The load: pairs of sipp that call each other through the proxy, and phones that register."""

import contextlib
import os
import time
from dataclasses import dataclass

from accounting import Meter
from sipp import PORT, Sipp
from ua import UA

SCENARIOS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios")
PATIENCE = 40  # seconds from the last call to the end: a request is given up after 32


@dataclass
class Load:
    """What became of the calls, or REGISTERs, and what they cost the proxy."""

    completed: int = 0
    failed: int = 0
    retransmissions: int = 0
    early: int = 0  # 200s that were there before any 180
    seconds: float = 0.0
    meter: Meter | None = None
    generators: float = 0.0  # microseconds of CPU that the load itself took

    @property
    def cost(self):
        """Microseconds of CPU for each that was completed."""
        return self.meter.total / max(self.completed, 1)

    def __str__(self):
        done = max(self.completed, 1)
        return (f"{self.cost:.0f} µs ({self.meter.user / done:.0f} user, {self.meter.system / done:.0f} system); "
                f"{self.completed} completed in {self.seconds:.1f} s, {self.failed} failed, "
                f"{self.retransmissions} sent again, {self.early} answered before they rang; "
                f"the load itself {self.generators / done:.0f} µs")


def sipp(name, *arguments, **more):
    return Sipp(os.path.join(SCENARIOS, name), *arguments, **more)


def register(proxy, user, contacts):
    """Registers the contacts of a user, one REGISTER each."""
    with UA(user, proxy.prefix + "4", proxy.address) as registrant:
        for index, contact in enumerate(contacts):
            registrant.register(contact=f"<{contact}>", cseq=index + 1)


def calls(proxy, count, rate, pairs=1, transport="u1", contacts=None):
    """Plays `count` record-routed calls, `rate` a second, by as many pairs of sipp. Each callee is a user with one phone,
    or with those that `contacts` names: {"scenario": how many}, all on sipps of their own.
    """
    sources, sinks = [], []
    limit = count // rate + PATIENCE
    suffix = ";transport=tcp" if transport[0] == "t" else ""
    for pair in range(pairs):
        phones = []
        for scenario, number in (contacts or {"callee": 1}).items():
            for _ in range(number):
                host, port = f"{proxy.prefix}{30 + pair}", PORT + len(phones)
                phones.append(f"sip:phone@{host}:{port}{suffix}")
                sinks.append(lambda scenario=scenario, host=host, port=port: sipp(
                    scenario, host, (host, 9), listens=True, port=port, transport=transport))
        register(proxy, f"callee{pair}", phones)
        share = share_of(count, pairs, pair)
        sources.append((lambda pair=pair, share=share: sipp(
            "caller", f"{proxy.prefix}{20 + pair}", proxy.address, "-s", f"callee{pair}", "-m", str(share),
            "-r", str(max(1, rate // pairs)), "-l", str(share), "-timeout", f"{limit}s", "-recv_timeout", "20000", transport=transport),
            limit))
    return run(proxy, sources, sinks)


def registers(proxy, count, rate, senders=2):
    """Plays `count` REGISTERs, each of a new user."""
    limit = count // rate + PATIENCE
    sources = []
    for sender in range(senders):
        share = share_of(count, senders, sender)
        sources.append((lambda sender=sender, share=share: sipp(
            "phone", f"{proxy.prefix}{20 + sender}", proxy.address, "-m", str(share), "-r", str(rate // senders),
            "-l", str(share), "-timeout", f"{limit}s", "-recv_timeout", "20000"), limit))
    return run(proxy, sources, [])


def share_of(count, parts, index):
    """`count` in so many parts, as even as they can be."""
    return count // parts + (1 if index < count % parts else 0)


def run(proxy, sources, sinks):
    """Starts the sinks, then the sources; counts the proxy's CPU time until all sources are done."""
    load = Load()
    before = children_time()
    with contextlib.ExitStack() as stack:
        receivers = [stack.enter_context(make()) for make in sinks]
        begin = time.monotonic()
        with Meter(proxy.process.pid) as load.meter:
            senders = [stack.enter_context(make()) for make, _ in sources]
            for sender, (_, limit) in zip(senders, sources):
                sender.wait(limit + 10)
            load.seconds = time.monotonic() - begin
        for receiver in receivers:
            receiver.stop()
            load.retransmissions += receiver.counters()["Retransmissions"]
        for sender in senders:
            counters = sender.counters()
            load.completed += counters["SuccessfulCall"]
            load.failed += counters["FailedCall"]
            load.retransmissions += counters["Retransmissions"]
            load.early += counters.get("GenericCounter1", 0)
    load.generators = children_time() - before
    return load


def children_time():
    """Microseconds of CPU that our own children have used that are gone: the sipps, for the proxy still runs."""
    times = os.times()
    return (times.children_user + times.children_system) * 1_000_000
