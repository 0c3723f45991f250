"""The rows of the table: what each measures of one proxy. A measurement gives {row: result}; a result's `value` is what
the table compares, the rest is beside it.
"""

import os
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor

import bindings
from accounting import memory
from confine import Confined, apart
from contenders import contender
from load import calls, registers
from probe import Prober, percentile

WORKERS = 2  # of both
SHARE = 0.25  # of one processor, for the highest lossless rate: so sipp is never what ends first
STEP = 5  # seconds at each rate that is tried
SLICES = 8  # of growth, half of them in either order


class Plan:
    """How much is measured: all, or a third of it (`--quick`), or what the command line says."""

    def __init__(self, quick=False, count=None, rate=None, pairs=None):
        self.quick = quick
        self.given = {"count": count, "rate": rate, "pairs": pairs}

    def load(self, count, rate, pairs):
        """Arguments for the load: how many, how many a second, by how many sipps."""
        usual = {"count": self.count(count), "rate": rate, "pairs": pairs}
        return {name: self.given[name] or value for name, value in usual.items()}

    def count(self, usual):
        return usual // 3 if self.quick else usual


def play(name, plan, count, rate, pairs, settings, **more):
    """The cost of a call."""
    with contender(name, WORKERS, **settings) as proxy:
        load = calls(proxy, **plan.load(count, rate, pairs), **more)
    return load.result()


def call(name, plan):
    return {"call": play(name, plan, 15_000, 1000, 2, {})}


def stateless(name, plan):
    return {"stateless": play(name, plan, 15_000, 1000, 2, {"stateless": True})}


def fork4(name, plan):
    contacts = {"answering": 1, "cancelled": 3}
    return {"fork4": play(name, plan, 6000, 400, 1, {}, contacts=contacts)}


def tcp(name, plan):
    return {"tcp": play(name, plan, 8000, 500, 1, {"tcp": True}, transport="t1")}


def register(name, plan):
    arguments = plan.load(30_000, 2000, 2)
    with contender(name, WORKERS) as proxy:
        load = registers(proxy, arguments["count"], arguments["rate"], arguments["pairs"])
    return {"register": load.result()}


# The highest rate that loses nothing


def peak(name, plan):
    """Tries rates on fresh, confined proxies until the highest lossless one and the lowest lossy one are near."""
    best, lossless, lossy, is_late = None, 0.0, None, False
    with Confined(SHARE) as group:
        rate = 0.9 * SHARE * 1_000_000 / attempt(name, group, 100, 2).cost
        for _ in range(6 if plan.quick else 9):
            load = attempt(name, group, rate, STEP)
            if not load.is_lossless:
                load = attempt(name, group, rate, STEP)  # once more: it may have been somebody else
            if load.is_lossless:
                best, lossless = load, rate
                is_late = load.seconds > 1.2 * STEP + 1  # sipp could not call as often
            else:
                lossy = rate
            if is_late or lossy and lossless > 0.94 * lossy:
                break
            if lossy and lossless:
                rate = (lossless * lossy) ** 0.5
            else:
                rate = rate / 1.5 if lossy else rate * 1.5
        is_confined = group.is_there
    if best is None:
        raise AssertionError(f"{name} lost calls at all rates that were tried, the lowest {lossy:.0f} a second")
    used = best.meter.total / 1_000_000 / best.seconds
    # Sipp's peak, where it was late or the proxy had something left.
    is_ours = is_late or (used < 0.8 * SHARE if is_confined else lossy is None)
    result = {"rate": round(lossless), "share": SHARE if is_confined else None, "used": round(used, 3),
              "generators_were_the_limit": is_ours}
    return {"peak": {**best.result(), **result, "value": round(1_000_000 / best.cost, 1)}}


def attempt(name, group, rate, seconds):
    with contender(name, WORKERS) as proxy:
        group.take(proxy.process.pid)
        return calls(proxy, round(rate * seconds), rate, pairs=1 + int(rate / 800), patience=4)


# Memory


def transactions(name, plan):
    """Bytes for each server transaction that is completed and kept by its timers: two a call, INVITE and BYE."""
    with contender(name, WORKERS, remembers=True) as proxy:
        calls(proxy, 500, 250)
        before, known = memory(proxy.process.pid), live(proxy)
        load = calls(proxy, **plan.load(15_000, 1000, 2))
        grown = memory(proxy.process.pid) - before
        kept = live(proxy) - known if name == "sipfork" else 2 * load.completed
    return {"transactions": {**load.result(), "value": round(grown / kept, 1), "kept": kept}}


def live(proxy):
    """The server transactions of a sipfork; Kamailio is not asked."""
    return proxy.status()["transactions"] if proxy.name == "sipfork" else 0


def bound(name, plan):
    """Bytes for each binding. sipfork reads them from its database; Kamailio, which has none here, hears REGISTERs."""
    if name == "kamailio":
        with contender(name, WORKERS) as proxy:
            registers(proxy, 1000, 1000)
            before = memory(proxy.process.pid)
            load = registers(proxy, plan.count(60_000), 3000)
            grown = memory(proxy.process.pid) - before
        return {"bound": {"value": round(grown / load.completed, 1), "bindings": load.completed}}
    count = plan.count(1_000_000)
    with contender(name, WORKERS) as proxy:
        empty = bindings.shared(proxy.process.pid), memory(proxy.process.pid)
    with tempfile.TemporaryDirectory(prefix="sipfork-") as directory:
        bindings.fill(os.path.join(directory, "state", "location.db"), count)
        with contender(name, WORKERS, directory=directory) as proxy:
            full = bindings.shared(proxy.process.pid), memory(proxy.process.pid)
            known = proxy.status()["bindings"]
    if known != count:
        raise AssertionError(f"sipfork knows {known} of {count} bindings")
    shared, all_ = ((after - before) / count for after, before in zip(full, empty))
    return {"bound": {"value": round(shared, 1), "with_private_memory": round(all_, 1), "bindings": count}}


# Growth


def growth(name, plan):
    """What a call and a REGISTER cost a server with a million bindings and 200,000 live transactions, against one with
    none. T1 is so long that no transaction ends meanwhile.
    """
    if name == "kamailio":
        return {}
    count = plan.count(1_000_000)
    settings = {"t1": 4000, "bindings": 2_000_000}
    with tempfile.TemporaryDirectory(prefix="sipfork-") as directory:
        bindings.fill(os.path.join(directory, "state", "location.db"), count)
        with contender(name, WORKERS, directory=directory, **settings) as full:
            filled = calls(full, plan.count(100_000), 2000, pairs=3)
            beside = {"bindings": count, "transactions": live(full), "completed": filled.completed,
                      "failed": filled.failed}
            of_calls = compared(full, settings, 4000, lambda each, count: calls(each, count, 1000, pairs=2))
            of_registers = compared(full, settings, 6000, lambda each, count: registers(each, count, 2000))
    return {"growth_call": {**of_calls, **beside}, "growth_register": {**of_registers, **beside}}


def compared(full, settings, count, load):
    """The full server and an empty one side by side: what a call costs on one machine differs by a tenth and more from
    one second to the next, and that meets both alike. Each slice has an empty server of its own, warm but not for
    long, for it fills as well; and they take turns at being called first, which may matter by a hundredth.
    """
    slices = []
    for number in range(SLICES):
        with contender(full.name, WORKERS, **settings) as empty, ThreadPoolExecutor() as both:
            order = -1 if number % 2 else 1
            for part in (count // 8, count):
                loads = list(both.map(load, (full, empty)[::order], (part, part)))
            slices.append(loads[::order])
    costs = [[each.cost for each in loads] for loads in slices]
    ratios = [full / empty for full, empty in costs]
    full, empty = (statistics.median(each) for each in zip(*costs))
    return {"value": round(statistics.median(ratios), 3), "full": round(full, 1), "empty": round(empty, 1),
            "slices": [round(each, 3) for each in ratios],
            "lost": sum(each.failed for loads in slices for each in loads)}


# Delay


def delay(name, plan):
    """How long a request is on its way through the proxy, longer than past it, while calls take half of what it can do
    with one processor, which it has for itself; in microseconds, the median and the longest but one in a hundred.
    """
    with contender(name, WORKERS) as proxy, apart(proxy.process.pid):
        rate = 500
        for _ in range(2):  # what a call costs depends on the rate
            rate = min(500_000 / calls(proxy, round(3 * rate), rate, pairs=2).cost, 2000)
        with Prober(proxy) as prober:
            load = calls(proxy, round(rate * plan.count(15)), rate, pairs=2, evenly=True)
        begin, end = load.begin + 1, load.begin + load.seconds - 1
        through, direct = (prober.delays(proxied, begin, end) for proxied in (True, False))
    used = load.meter.total / 1_000_000 / load.seconds
    beside = {"rate": round(rate), "used": round(used, 3), "probes": len(through), "lost": prober.lost}
    found = {}
    for part in (50, 99):
        there, past = percentile(through, part / 100), percentile(direct, part / 100)
        found[f"delay{part}"] = {**load.result(), **beside, "value": round(there - past, 1), "through": round(there, 1),
                                 "direct": round(past, 1)}
    return found


MEASUREMENTS = {each.__name__: each for each in (
    call, peak, register, stateless, fork4, tcp, transactions, bound, growth, delay)}
