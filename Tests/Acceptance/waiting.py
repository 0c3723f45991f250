"""Waiting with a deadline: for a condition, for the end of a process, for a busy port."""

import os
import select
import socket
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


def readable(sockets, timeout):
    """Those of the sockets that have something to read or have ended, as soon as there is one; unlike select(2), this
    knows no bound for descriptors.
    """
    poll = select.poll()
    by_number = {each.fileno(): each for each in sockets}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(max(0.0, timeout) * 1000)]


def process_exists(pid):
    """Whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def in_proc(address, port):
    """An address and port as /proc/net/udp, tcp, udp6 and tcp6 write them."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    words = [packed[i:i + 4][::-1].hex().upper() for i in range(0, len(packed), 4)]
    return f"{''.join(words)}:{port:04X}"


def await_listener(address, port, transport="udp", timeout=5.0):
    """Waits until somebody has bound this address, as /proc/net shows it."""
    wanted = {in_proc(address, port), in_proc("::" if ":" in address else "0.0.0.0", port)}
    table = f"/proc/thread-self/net/{transport}{'6' if ':' in address else ''}"
    state = "0A" if transport == "tcp" else "07"  # TCP_LISTEN; TCP_CLOSE is a bound UDP socket

    def bound():
        with open(table) as file:
            rows = [line.split() for line in file.readlines()[1:]]
        return any(row[1] in wanted and row[3] == state for row in rows)

    eventually(bound, f"a listener on {transport}:{address}:{port}", timeout)


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
