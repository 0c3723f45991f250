"""Keeps a proxy to a share of one processor, by a control group (it takes root); or its load off its processor."""

import contextlib
import os
import time

from accounting import tree

ROOT = "/sys/fs/cgroup"
NAME = f"sipfork-benchmark-{os.getpid()}"
PERIOD = 10_000  # microseconds


class Confined:
    """A control group of its own for whoever it takes; `is_there` is false where the system has none for us, and then
    nobody is confined. Leave it when those it took have ended.
    """

    def __init__(self, share):
        self.share = share
        self.path = None

    def __enter__(self):
        with contextlib.suppress(OSError):
            quota = int(self.share * PERIOD)
            if os.path.exists(f"{ROOT}/cgroup.controllers"):
                self.write(f"{ROOT}/cgroup.subtree_control", "+cpu")
                self.make(ROOT)
                self.write(f"{self.path}/cpu.max", f"{quota} {PERIOD}")
            else:
                self.make(f"{ROOT}/cpu")
                self.write(f"{self.path}/cpu.cfs_period_us", PERIOD)
                self.write(f"{self.path}/cpu.cfs_quota_us", quota)
            return self
        self.remove()
        return self

    def __exit__(self, *_):
        self.remove()

    @property
    def is_there(self):
        return self.path is not None

    def take(self, pid):
        """Takes a process and all below it."""
        if self.is_there:
            for process in tree(pid):
                self.write(f"{self.path}/cgroup.procs", process)

    def make(self, folder):
        os.mkdir(f"{folder}/{NAME}")
        self.path = f"{folder}/{NAME}"

    def remove(self):
        for _ in range(50):  # a process that has just ended may still be in it
            if self.path is None:
                return
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
                self.path = None
                return
            time.sleep(0.1)

    def write(self, path, value):
        with open(path, "w") as file:
            file.write(str(value))


@contextlib.contextmanager
def apart(pid):
    """While this is entered, a tree of processes has one processor, and we and whom we start have the others; where
    there is but one, all stays as it is.
    """
    before = os.sched_getaffinity(0)
    first, *others = sorted(before)
    if others:
        for process in tree(pid):
            os.sched_setaffinity(process, {first})
        os.sched_setaffinity(0, set(others))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
