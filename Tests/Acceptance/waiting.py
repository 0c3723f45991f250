"""Waiting with a deadline: for a condition, for the end of a process, for a busy port."""

import os
import select
import time


def eventually(condition, what, timeout=5.0, interval=0.02):
    """Asks `condition` until it gives something true, and gives that; fails with `what` when the time is over."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(interval)


def await_exit(handle, timeout):
    """Waits for the end of the process behind a pidfd; true when it came in time."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def process_exists(pid):
    """Whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_udp_listener(address, port, timeout=5.0):
    """Waits until somebody has bound this UDP address, as /proc/net/udp shows it."""
    number = "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
    wanted = {f"{number}:{port:04X}", f"00000000:{port:04X}"}

    def bound():
        with open("/proc/net/udp") as file:
            return any(line.split()[1] in wanted for line in file.readlines()[1:])

    eventually(bound, f"a listener on {address}:{port}", timeout)


def listens_on_udp(pid, port):
    """Whether this process itself holds a UDP socket with this port."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    with open("/proc/net/udp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[9] in inodes for row in rows)
