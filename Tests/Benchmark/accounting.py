"""What a tree of processes has used: CPU time and memory, from /proc; and what the rest of the machine did then."""

import os
import time

from harness import children, title

TICK = 1_000_000 // os.sysconf("SC_CLK_TCK")  # microseconds


def tree(pid):
    """A process and all below it."""
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def run_time(pid):
    """Microseconds that the threads of a process ran; exact, as the scheduler counts it in nanoseconds."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1000


def user_system(pid):
    """Microseconds in user mode and in the kernel; in ticks of a hundredth of a second."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return tuple(int(fields[index]) * TICK for index in (11, 12))


def memory(pid):
    """Bytes that a tree of processes holds; pages that they share are counted once."""
    total = 0
    for process in tree(pid):
        with open(f"/proc/{process}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total * 1024


class Meter:
    """The CPU time that a tree of processes uses while this is entered: `total` in microseconds, which `user` and
    `system` share, and the same for each process.
    """

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        self.before = self.read()
        return self

    def __exit__(self, *_):
        after = self.read()
        self.total = self.user = self.system = 0
        self.processes = {}
        for pid, (ran, user, system, name) in after.items():
            ran0, user0, system0, _ = self.before.get(pid, (0, 0, 0, ""))
            self.processes[name, pid] = ran - ran0
            self.total += ran - ran0
            self.user += user - user0
            self.system += system - system0
        ticks = max(self.user + self.system, 1)  # the split is known in ticks only
        self.user, self.system = self.user / ticks * self.total, self.system / ticks * self.total

    def read(self):
        return {pid: (run_time(pid), *user_system(pid), title(pid)) for pid in tree(self.pid)}


class Machine:
    """The processors while this is entered: `busy`, microseconds that somebody used or that a hypervisor gave away, of
    `all`. It is counted in ticks, and rough.
    """

    def __enter__(self):
        self.before, self.begin = self.read(), time.monotonic()
        return self

    def __exit__(self, *_):
        self.busy = self.read() - self.before
        self.all = (time.monotonic() - self.begin) * os.cpu_count() * 1_000_000

    def read(self):
        with open("/proc/stat") as file:
            user, nice, system, _, _, hard, soft, stolen = map(int, file.readline().split()[1:9])
        return (user + nice + system + hard + soft + stolen) * TICK


def children_time():
    """Microseconds of CPU that our own children have used that are gone by now."""
    times = os.times()
    return (times.children_user + times.children_system) * 1_000_000
