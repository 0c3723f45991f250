"""Slow leaks: many calls, with deaths in between, leave memory and descriptors where they were."""

import contextlib
import os
import time

from harness import Sipfork, children, memory, title
from storm import Storm, Trouble, killer
from testing import equal, test, true
from waiting import eventually

ALONE = True

CALLS = 200_000
RATE = 2000  # calls per second, of all pairs of sipp
PAIRS = 2
WARM_UP = 16  # seconds
ROLES = ("worker 0", "worker 1", "locator", "resolver", "logger")
TIMERS = {"t1": 200, "t2": 1600, "t4": 2000}  # a transaction lives for 12.8 s
GROWTH = 8 << 20  # bytes; a leak of 50 in each call would show


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def shared(pid):
    """Bytes that the shared memory has taken."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{number}"
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(path).startswith("/memfd:sipfork "):
                return os.stat(path).st_blocks * 512
    raise AssertionError("the master has no shared memory")


def measured(proxy):
    """What must not grow: counts of the arena, and by process its descriptors and its memory in bytes."""
    pids = {"master": proxy.process.pid, **{title(pid): pid for pid in children(proxy.process.pid)}}
    equal(len(pids), 1 + len(ROLES), f"processes: {pids}")
    return {
        "arena": proxy.idle(60)["arena"],
        "descriptors": {name: descriptors(pid) for name, pid in pids.items()},
        "private": {name: memory(pid)["RssAnon"] * 1024 for name, pid in pids.items()},
        "shared": shared(proxy.process.pid)}


def round_of_calls(proxy, rate, seconds):
    """Calls for so long from all pairs, with a death every half second; gives how many there were."""
    pairs = [Storm(proxy, rate // PAIRS, seconds, ringing=20, place=place) for place in range(PAIRS)]
    with contextlib.ExitStack() as stack:
        for pair in pairs:
            stack.enter_context(pair)
        with Trouble(killer(proxy, *ROLES), 0.5) as trouble:
            for pair in pairs:
                pair.finish()
    true(trouble.count >= seconds, f"{trouble.count} deaths in {seconds} s")
    return sum(pair.count for pair in pairs)


@test("200,000 calls with deaths of all children in between: none is lost, and nothing is left of them", limit=300)
def calls():
    with Sipfork({"timers": TIMERS}) as proxy:
        round_of_calls(proxy, RATE, WARM_UP)
        before = measured(proxy)
        begin = time.monotonic()
        count = round_of_calls(proxy, RATE, CALLS // RATE + 1)
        seconds = time.monotonic() - begin
        eventually(
            lambda: proxy.idle(60)["arena"] == before["arena"], f"the arena's counts back at {before['arena']}", 20)
        after = measured(proxy)
        print(f"          {count} calls, {count / seconds:.0f} a second; {before['shared'] >> 20} MiB of shared memory "
              f"after the warm-up, {after['shared'] >> 20} MiB after all; {after['private']} bytes by process")
        true(count >= CALLS, f"{count} calls")
        equal(after["descriptors"], before["descriptors"], "descriptors by process")
        true(after["shared"] <= before["shared"] + GROWTH, f"shared memory: {before['shared']}, then {after['shared']}")
        for name, size in before["private"].items():
            true(after["private"][name] <= size + GROWTH // 4, f"{name}: {size}, then {after['private'][name]} bytes")
