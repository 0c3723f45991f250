"""The load: pairs of sipp that call each other through the proxy, and phones that register."""

import contextlib
import os
import time
from dataclasses import dataclass

from accounting import Machine, Meter, children_time
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
    begin: float = 0.0  # of time.perf_counter
    seconds: float = 0.0
    meter: Meter | None = None
    generators: float = 0.0  # microseconds of CPU that the load itself took
    others: float = 0.0  # the part of all processors' time that went to neither, or that was stolen

    @property
    def cost(self):
        """Microseconds of CPU for each that was completed."""
        return self.meter.total / max(self.completed, 1)

    @property
    def is_lossless(self):
        return self.failed == 0 and self.retransmissions == 0

    def result(self):
        """What is kept of it."""
        done = max(self.completed, 1)
        return {
            "value": round(self.cost, 2), "user": round(self.meter.user / done, 2),
            "system": round(self.meter.system / done, 2), "completed": self.completed, "failed": self.failed,
            "retransmissions": self.retransmissions, "early": self.early, "seconds": round(self.seconds, 2),
            "generators": round(self.generators / done, 1), "others": round(self.others, 3),
            "processes": self.processes(done)}

    def processes(self, done):
        """What each process took; the small ones left out."""
        return [f"{os.path.basename(title.removeprefix('sipforkd: ').split(' -')[0])} {ran / done:.1f}"
                for (title, _), ran in self.meter.processes.items() if ran > 0.01 * self.meter.total]


def sipp(name, *arguments, **more):
    return Sipp(os.path.join(SCENARIOS, name), *arguments, **more)


def register(proxy, user, contacts):
    """Registers the contacts of a user, one REGISTER each."""
    with UA(user, proxy.prefix + "4", proxy.address) as registrant:
        for index, contact in enumerate(contacts):
            registrant.register(contact=f"<{contact}>", cseq=index + 1)


def calls(proxy, count, rate, pairs=1, transport="u1", contacts=None, evenly=False, patience=PATIENCE):
    """Plays `count` record-routed calls, `rate` a second, by as many pairs of sipp. Each callee is a user with one
    phone, or with those that `contacts` names: {"scenario": how many}, all on sipps of their own. Calls come in the
    bunches of sipp, one every ten milliseconds, or in smaller ones (`evenly`), which takes more of sipp's time.
    """
    sources, sinks = [], []
    finer = ("-timer_resol", "1") if evenly else ()
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
        sources.append(source(
            proxy, "caller", pair, pairs, count, rate, "-s", f"callee{pair}", *finer, transport=transport))
    return run(proxy, count, sources, sinks, count / rate + patience)


def registers(proxy, count, rate, senders=2):
    """Plays `count` REGISTERs, each of a new user."""
    sources = [source(proxy, "phone", sender, senders, count, rate) for sender in range(senders)]
    return run(proxy, count, sources, [], count / rate + PATIENCE)


def source(proxy, scenario, index, parts, count, rate, *arguments, **more):
    """What starts one of so many sipps that share the load."""
    count = count // parts + (1 if index < count % parts else 0)
    return lambda: sipp(
        scenario, f"{proxy.prefix}{20 + index}", proxy.address, "-m", str(count), "-r", str(round(rate / parts)),
        "-l", str(count), "-recv_timeout", "20000", *arguments, **more)


def run(proxy, count, sources, sinks, limit):
    """Starts the sinks, then the sources; counts the proxy's CPU time until all sources are done, or it is too late."""
    load = Load()
    before = children_time()
    with Machine() as machine, contextlib.ExitStack() as stack:
        receivers = [stack.enter_context(make()) for make in sinks]
        begin, load.begin = time.monotonic(), time.perf_counter()
        with Meter(proxy.process.pid) as load.meter:
            senders = [stack.enter_context(make()) for make in sources]
            for sender in senders:
                with contextlib.suppress(AssertionError):  # what is not done by then has failed
                    sender.wait(max(0.1, begin + limit - time.monotonic()))
            load.seconds = time.monotonic() - begin
        for sipps in (senders, receivers):
            for each in sipps:
                each.stop()
                load.retransmissions += each.counters()["Retransmissions"]
        for sender in senders:
            counters = sender.counters()
            load.completed += counters["SuccessfulCall"]
            load.early += counters.get("GenericCounter1", 0)  # a phone has none
    load.failed = count - load.completed
    load.generators = children_time() - before
    load.others = max(0.0, machine.busy - load.meter.total - load.generators) / machine.all
    return load
