"""The delay that a proxy adds: OPTIONS of ours go through it while others load it, and as many go past it."""

import contextlib
import os
import select
import socket
import threading
import time

from ua import UA, token

INTERVAL = 0.005  # seconds; every second one goes past the proxy


class Prober:
    """A user agent that asks another one of ours, in a thread while this is entered. What it finds: `through` the proxy
    and `direct`, the seconds from sending a request to its arrival.
    """

    def __init__(self, proxy):
        self.proxy = proxy
        self.caller = UA("prober", proxy.prefix + "8", proxy.address)
        self.callee = UA("probed", proxy.prefix + "9", proxy.address)
        self.samples = []  # (when it was sent, whether through the proxy, how long it took)
        self.lost = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.callee.register()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(5)
        self.caller.socket.close()
        self.callee.socket.close()

    def delays(self, through, begin, end):
        """The delays of what was sent in this time, by time.perf_counter, in microseconds and in order of length."""
        return sorted(
            delay * 1_000_000 for sent, proxied, delay in self.samples if proxied == through and begin <= sent <= end)

    def run(self):
        with contextlib.suppress(OSError):  # so that we are not what is late
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        poll = select.poll()
        for agent in (self.caller, self.callee):
            agent.socket.setblocking(False)
            poll.register(agent.socket.fileno(), select.POLLIN)
        template = self.caller.request(
            "OPTIONS", f"sip:probed@{self.caller.domain}", call_id="@CALL@", branch="@BRANCH@").encode()
        waiting = {}  # by Call-ID: when it was sent, and whether through the proxy
        through = True
        due = time.perf_counter()
        while not self.ended.is_set():
            for number, _ in poll.poll(max(0.0, due - time.perf_counter()) * 1000):
                arrived = time.perf_counter()
                self.receive(number, arrived, waiting)
            if time.perf_counter() >= due:
                call_id = "probe" + token(16)
                data = template.replace(b"@CALL@", call_id.encode()).replace(b"@BRANCH@", b"z9hG4bK" + call_id.encode())
                to = self.proxy.address if through else (self.callee.address, self.callee.port)
                waiting[call_id] = (time.perf_counter(), through)
                self.caller.socket.sendto(data, to)
                due = max(due + INTERVAL, time.perf_counter())
                through = not through
        self.lost = sum(1 for sent, _ in waiting.values() if sent < time.perf_counter() - 1)

    def receive(self, number, arrived, waiting):
        """Takes one datagram: a request that we have sent, or what answers it."""
        if number == self.caller.socket.fileno():
            with contextlib.suppress(OSError):
                self.caller.socket.recv(65535)
            return
        try:
            data, source = self.callee.socket.recvfrom(65535)
        except (BlockingIOError, socket.error):
            return
        at = data.find(b"Call-ID: probe")
        if not data.startswith(b"OPTIONS ") or at < 0:
            return
        sent, through = waiting.pop(data[at + 9:at + 30].decode(), (None, False))
        if sent is not None:
            self.samples.append((sent, through, arrived - sent))
        self.callee.socket.sendto(answer(data), source)


def answer(request):
    """A 200 with what a response must repeat."""
    head = request.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    wanted = (b"via:", b"from:", b"call-id:", b"cseq:")
    lines = [line for line in head if line.lower().startswith(wanted)]
    lines += [line + b";tag=probed" for line in head if line.lower().startswith(b"to:")]
    return b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: 0", b"", b""])


def percentile(values, part):
    """Of values in order, the one below which this part of them lies; 0.0 where there are none."""
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0.0
