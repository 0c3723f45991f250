"""A SIP user agent over TCP: every byte under control, framing by Content-Length, no automatics."""

import contextlib
import fcntl
import socket
import struct
import termios
import time

from message import Message
from ua import UA
from waiting import eventually, in_proc, readable


class Connection:
    """One TCP connection, from whichever side it was opened. `messages` have arrived whole; `pongs` counts the CRLFs
    between them; `ended` tells how it has ended: None while it has not, "end" or "reset" by the other side.
    """

    def __init__(self, connected):
        self.socket = connected
        self.socket.settimeout(None)  # with one, Python would wait in spite of MSG_DONTWAIT
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.own, self.peer = self.socket.getsockname()[:2], self.socket.getpeername()[:2]
        self.buffer, self.messages, self.pongs, self.ended = b"", [], 0, None

    @staticmethod
    def to(address, source=None, timeout=5.0, receive_buffer=None):
        """Connects to an address, from `source` (an address, its port the system's choice)."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        ours = socket.socket(family, socket.SOCK_STREAM)
        try:
            if receive_buffer:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                ours.bind((source, 0))
            ours.settimeout(timeout)
            ours.connect(tuple(address))
            return Connection(ours)
        except BaseException:
            ours.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @property
    def is_open(self):
        return self.ended is None and self.socket.fileno() >= 0

    # Out

    def send(self, message):
        """Sends a message or raw bytes; gives it back."""
        self.socket.sendall(message if isinstance(message, bytes) else message.encode())
        return message

    def send_in_pieces(self, message, sizes):
        """Sends a message in pieces of these sizes (the last one is repeated), each when the one before was read."""
        data = message if isinstance(message, bytes) else message.encode()
        sizes = list(sizes)
        while data:
            size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
            self.send(data[:size])
            data = data[size:]
            self.taken()
        return message

    def taken(self, timeout=5.0):
        """Waits until the other side's program has read all that we sent; it must be on this machine."""
        eventually(lambda: self.unsent() == self.unread() == 0, "the server to read what was sent", timeout, 0.001)

    def unsent(self):
        """Bytes that the other side's kernel has not acknowledged."""
        return struct.unpack("i", fcntl.ioctl(self.socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]

    def unread(self):
        """Bytes in the receive queue of the other end; 0 when that is closed. IPv4 only."""
        if self.ended:
            return 0
        wanted = [in_proc(*self.peer), in_proc(*self.own)]
        with open("/proc/net/tcp") as file:
            for line in file:
                fields = line.split()
                if fields[1:3] == wanted:
                    return int(fields[4].partition(":")[2], 16)
        return 0

    def half_close(self):
        """Says that no more comes from us; we still listen."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Breaks the connection with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    # In

    def read(self):
        """Takes what is there now, without waiting, into `messages`."""
        if self.socket.fileno() < 0:
            self.ended = self.ended or "closed by us"
        with contextlib.suppress(BlockingIOError):
            while self.ended is None:
                try:
                    data = self.socket.recv(1 << 18, socket.MSG_DONTWAIT)
                except (ConnectionResetError, BrokenPipeError, TimeoutError):
                    self.ended = "reset"
                    break
                if not data:
                    self.ended = "end"
                    break
                self.buffer += data
                self.frame()

    def frame(self):
        """Cuts whole messages off the buffer (RFC 3261 §18.3): what the proxy sends must have a Content-Length."""
        while True:
            while self.buffer.startswith(b"\r\n"):
                self.buffer = self.buffer[2:]
                self.pongs += 1
            head, gap, rest = self.buffer.partition(b"\r\n\r\n")
            if not gap:
                return
            message = Message.parse(head + gap, self)
            lengths = message.values("Content-Length")
            assert len(lengths) == 1 and lengths[0].isdigit(), f"one Content-Length over TCP, not {lengths}: {head!r}"
            size = int(lengths[0])
            if len(rest) < size:
                return
            self.messages.append(Message.parse(head + gap + rest[:size], self))
            self.buffer = rest[size:]

    def receive(self, timeout=3.0):
        """The next message, or None when the time is over or the connection has ended."""
        deadline = time.monotonic() + timeout
        while True:
            self.read()
            if self.messages:
                return self.messages.pop(0)
            if self.ended or not readable([self.socket], deadline - time.monotonic()):
                return None

    def expect(self, wanted, timeout=3.0):
        """The next message must be `wanted`: a method, or a status."""
        message = self.receive(timeout)
        if message is None:
            how = f"but the connection ended ({self.ended})" if self.ended else f"waited {timeout:g} s in vain"
            raise AssertionError(f"wanted {wanted}, {how}; unframed: {self.buffer[:500]!r}")
        if message.kind != wanted:
            text = message.raw[:1500].decode(errors="replace")
            raise AssertionError(f"wanted {wanted}, received {message.kind}:\n{text}")
        return message

    def expect_pong(self, count=1, timeout=3.0):
        """Waits until this many CRLFs have come."""

        def came():
            self.read()
            return self.pongs >= count

        eventually(came, f"{count} CRLF from the server, {self.pongs} came", timeout)

    def expect_end(self, timeout=5.0):
        """The other side must close the connection, and say nothing more; a reset counts as well."""
        deadline = time.monotonic() + timeout
        while self.ended is None:
            left = deadline - time.monotonic()
            if left < 0:
                raise AssertionError(f"waited {timeout:g} s in vain for the end of the connection")
            readable([self.socket], left)
            self.read()
        if self.messages or self.buffer:
            seen = [message.start for message in self.messages] or self.buffer[:500]
            raise AssertionError(f"wanted the end of the connection, received {seen}")

    def stays(self, seconds=0.2):
        """Nothing comes within this time, and the connection is not closed."""
        message = self.receive(seconds)
        assert message is None, f"wanted silence, received {message.raw[:1500].decode(errors='replace')}"
        assert self.ended is None, f"the connection was closed ({self.ended})"


class TCPUA(UA):
    """A user agent over TCP. It listens on its address, accepts what comes, and opens one connection to the proxy when
    it has something to say. The `source` of a message is its Connection, so `answer` goes back on that.

    A message that comes again is not passed over, as one by UDP is: nobody may repeat anything here, unless `repeats`.
    """

    transport = "TCP"
    repeats = False
    parameters = ";transport=tcp"

    def bound(self, address, port):
        """Our listening socket. A port that was ours a moment ago can be had again, as on a phone that starts anew."""
        self.accepted, self.opened = [], []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((address, port))
            bound.listen(128)
        except OSError:
            bound.close()
            raise
        return bound

    def __exit__(self, *_):
        for connection in self.connections:
            connection.close()
        self.socket.close()

    @property
    def connections(self):
        return self.accepted + self.opened

    def connect(self, to=None):
        """Opens a connection, by default to the proxy: what we send without naming one goes there."""
        connection = Connection.to(to or self.proxy, self.address)
        self.opened.append(connection)
        return connection

    @property
    def way(self):
        """The connection for what we have to say: the one that we opened last, or a new one."""
        for connection in reversed(self.opened):
            connection.read()
            if connection.is_open and connection.peer == tuple(self.proxy[:2]):
                return connection
        return self.connect()

    def send(self, message, to=None):
        if to is None:
            to = self.way
        if not isinstance(to, Connection):
            to = self.connect(to)
        return to.send(message)

    def receive(self, timeout=3.0, again=True):
        """The next message of any connection, or None when the time is over."""
        deadline = time.monotonic() + timeout
        while True:
            for connection in self.connections:
                connection.read()
                while connection.messages:
                    message = connection.messages.pop(0)
                    repeated = message.raw in self.seen
                    self.seen.add(message.raw)
                    if again or not repeated or not self.repeats:
                        return message
            alive = [connection.socket for connection in self.connections if connection.is_open]
            listening = [self.socket] if self.socket.fileno() >= 0 else []
            ready = readable(listening + alive, deadline - time.monotonic())
            if not ready:
                return None
            if self.socket in ready:
                self.accept()

    def accept(self, timeout=3.0):
        """Takes the next connection that somebody opened to us."""
        assert readable([self.socket], timeout), f"{self.name}: nobody connected in {timeout:g} s"
        connection = Connection(self.socket.accept()[0])
        self.accepted.append(connection)
        return connection
