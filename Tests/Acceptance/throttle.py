"""Makes a process small: it gets a share of one processor and no more, whatever else the machine does."""

import contextlib
import os
import signal
import threading
import time

SLICE = 0.0005  # seconds that it runs at a time
IDLE = 0.002  # and that it is stopped for at least


class Throttle:
    """Stops a process (SIGSTOP) and lets it go on (SIGCONT) so that it uses `share` of a processor at most. What it has
    really used decides how long it is stopped: on a busy machine it gets the same share. Leave it to let it go.
    """

    def __init__(self, pid, share):
        self.pid, self.share = pid, share
        self.clock = (~pid << 3) | 2  # clock_getcpuclockid(3)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def used(self):
        """Seconds of a processor that it has used since its start."""
        return time.clock_gettime(self.clock)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(5)
        os.kill(self.pid, signal.SIGCONT)

    def run(self):
        with contextlib.suppress(OSError):  # not late on a busy machine, where we may
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        last = self.used()
        while not self.ended.is_set():
            os.kill(self.pid, signal.SIGCONT)
            time.sleep(SLICE)
            os.kill(self.pid, signal.SIGSTOP)
            total = self.used()  # it may run on for a moment, which the next slice has to pay for
            time.sleep(max((total - last) / self.share, IDLE))
            last = total
