"""Name servers for tests: a real one, dnsmasq, and a rogue that answers what the test tells it.

Both serve the same records on port 5300 of an address of the test's block (53), and nothing but these.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

from harness import die_with_us
from waiting import eventually

PORT = 5300
SO_RCVBUFFORCE = 33
TYPES = {"A": 1, "CNAME": 5, "SOA": 6, "AAAA": 28, "SRV": 33, "NAPTR": 35, "ANY": 255}
NAMES = {number: name for name, number in TYPES.items()}
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5


def encoded(name):
    """A domain name as DNS writes it, without compression."""
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def text(value):
    return bytes([len(value)]) + value.encode()


class Record:
    """A resource record. An address is text, or a number in the test's block."""

    def __init__(self, name, kind, *values):
        self.name, self.kind, self.values = name, kind, values

    def address(self, prefix):
        value = self.values[0]
        return f"{prefix}{value}" if isinstance(value, int) else value

    def option(self, prefix):
        """The argument of dnsmasq that makes this record."""
        if self.kind in ("A", "AAAA"):
            return f"--host-record={self.name},{self.address(prefix)}"
        if self.kind == "CNAME":
            return f"--cname={self.name},{self.values[0]}"
        if self.kind == "SRV":
            priority, weight, port, target = self.values
            return f"--srv-host={self.name},{target},{port},{priority},{weight}"
        order, preference, service, replacement = self.values
        return f"--naptr-record={self.name},{order},{preference},s,{service},,{replacement}"

    def data(self, prefix):
        """What stands in it, in the form of an answer."""
        if self.kind == "A":
            return socket.inet_pton(socket.AF_INET, self.address(prefix))
        if self.kind == "AAAA":
            return socket.inet_pton(socket.AF_INET6, self.address(prefix))
        if self.kind == "CNAME":
            return encoded(self.values[0])
        if self.kind == "SRV":
            return struct.pack("!3H", *self.values[:3]) + encoded(self.values[3])
        order, preference, service, replacement = self.values
        return struct.pack("!2H", order, preference) + text("s") + text(service) + text("") + encoded(replacement)


def host(name, address):
    """An address of a name: A, or AAAA where it has a colon."""
    return Record(name, "AAAA" if isinstance(address, str) and ":" in address else "A", address)


def srv(name, target, port=5060, priority=10, weight=0):
    return Record(name, "SRV", priority, weight, port, target)


def naptr(name, service, replacement, order=10, preference=10):
    return Record(name, "NAPTR", order, preference, service, replacement)


def alias(name, target):
    return Record(name, "CNAME", target)


def question(name, kind, identifier=1):
    return struct.pack("!6H", identifier, 0x0100, 1, 0, 0, 0) + encoded(name) + struct.pack("!2H", TYPES[kind], 1)


class Dnsmasq:
    """A dnsmasq with these records, each of which may be kept for `ttl` seconds; it is there once entered."""

    def __init__(self, prefix, records, ttl=300):
        self.prefix, self.records, self.ttl = prefix, list(records), ttl
        self.address = (prefix + "53", PORT)
        self.directory = tempfile.mkdtemp(prefix="sipfork-dns-")
        self.log_path = os.path.join(self.directory, "queries")
        self.process = None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, records=None):
        """Starts it, with other records where they are given, and waits for its first answer."""
        self.records = self.records if records is None else list(records)
        command = [
            shutil.which("dnsmasq") or "/usr/sbin/dnsmasq", "--no-daemon", "--keep-in-foreground", "--no-resolv",
            "--no-hosts", "--conf-file=/dev/null", "--pid-file=", f"--port={PORT}",
            f"--listen-address={self.address[0]}", "--bind-interfaces", "--local=/test/",
            f"--local-ttl={self.ttl}", "--log-queries", f"--log-facility={self.log_path}",
            *(record.option(self.prefix) for record in self.records)]
        command += ["--user=root"] if os.getuid() == 0 else []
        with open(os.path.join(self.directory, "output"), "ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=die_with_us)
        eventually(self.answers, "an answer of dnsmasq", 10)
        return self

    def answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.directory, "output"), errors="replace") as file:
                raise AssertionError(f"dnsmasq exited with {self.process.returncode}: {file.read()}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
            asking.settimeout(0.2)
            asking.sendto(question("ready.test", "A"), self.address)
            return bool(asking.recv(512))
        return False

    def stop(self):
        """Ends it at once; its port is closed then."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def restart(self, records):
        self.stop()
        self.start(records)

    def freeze(self):
        """It hears no more, but its port is still there. Its pid is ours: nobody else can have been given it."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def asked(self, name=None, kind=None):
        """The questions so far, as (name in lower case, type), or those for a name, of a type."""
        with open(self.log_path, errors="replace") as file:
            found = re.findall(r"query\[(\w+)\] (\S+) from", file.read())
        return [
            (asked.lower(), of) for of, asked in found
            if asked != "ready.test" and name in (None, asked.lower()) and kind in (None, of)]


class Query:
    """A question as the rogue received it."""

    def __init__(self, data, reply, by_tcp):
        self.data, self.send, self.by_tcp = data, reply, by_tcp
        self.id = data[:2]
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
            at += 1 + data[at]
        self.name = ".".join(labels).lower()
        number = struct.unpack_from("!H", data, at + 1)[0]
        self.kind = NAMES.get(number, str(number))
        self.section = data[12:at + 5]

    def header(self, code=0, answers=0, authority=0, additional=0, flags=0x8580, identifier=None):
        counts = struct.pack("!5H", flags | code, 1, answers, authority, additional)
        return (identifier or self.id) + counts + self.section

    def answer(self, entries=(), code=0, ttl=300, negative=None, **more):
        """A well-formed answer: `entries` are (name, type, data); `negative` is the minimum of an SOA in the authority
        section, as a negative answer has it (RFC 2308).
        """
        body = b"".join(entry(name, kind, data, ttl) for name, kind, data in entries)
        authority = 0
        if negative is not None:
            authority = 1
            numbers = struct.pack("!5I", 1, 3600, 600, 86400, negative)
            names = encoded("ns.example.test") + encoded("root.example.test")
            body += entry("example.test", "SOA", names + numbers, negative)
        return self.header(code, len(entries), authority, **more) + body


def entry(name, kind, data, ttl):
    """A resource record, its name as text or as bytes (a compression pointer, say)."""
    name = name if isinstance(name, bytes) else encoded(name)
    return name + struct.pack("!2HIH", TYPES[kind], 1, ttl, len(data)) + data


class Rogue:
    """A name server over UDP and TCP that answers from `records`, but where `tricks` has something for the name and
    type of a question: there it sends what the trick returns (bytes, a list of them, or None for silence).

    A trick is looked up by (name, type), by (name, None), by (None, type), and last by (None, None).
    """

    def __init__(self, prefix, records=(), ttl=300):
        self.prefix, self.records, self.ttl = prefix, list(records), ttl
        self.address = (prefix + "53", PORT)
        self.tricks = {}
        self.questions = []
        self.held = None
        self.faults = []
        self.lock = threading.RLock()
        self.ending = threading.Event()
        self.sockets = []

    def __enter__(self):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            opened = socket.socket(socket.AF_INET, kind)
            self.sockets.append(opened)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(self.address)
        # Questions come in hundreds where a test lets them wait.
        with contextlib.suppress(PermissionError):
            self.sockets[0].setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        self.sockets[1].listen(16)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.ending.set()
        self.thread.join(5)
        for opened in self.sockets:
            opened.close()
        if error is None and self.faults:
            raise AssertionError(f"the rogue name server itself failed: {self.faults}")
        return False

    def serve(self):
        datagrams, listener = self.sockets[:2]
        while not self.ending.is_set():
            for ready in select.select(self.sockets, [], [], 0.05)[0]:
                try:
                    if ready is datagrams:
                        data, source = ready.recvfrom(4096)
                        self.take(Query(data, lambda answer, to=source: datagrams.sendto(answer, to), False))
                    elif ready is listener:
                        self.sockets.append(ready.accept()[0])
                    else:
                        self.take_stream(ready)
                except Exception as fault:  # the test must hear of it, whatever it is
                    if not isinstance(fault, ConnectionError):
                        self.faults.append(repr(fault))

    def take_stream(self, stream):
        """A question over TCP; a peer that sends its length apart from it is waited for."""
        stream.settimeout(2)
        size = stream.recv(2, socket.MSG_WAITALL)
        if len(size) < 2:
            self.sockets.remove(stream)
            stream.close()
            return
        data = stream.recv(struct.unpack("!H", size)[0], socket.MSG_WAITALL)
        self.take(Query(data, lambda answer: stream.sendall(struct.pack("!H", len(answer)) + answer), True))

    def take(self, query):
        with self.lock:
            self.questions.append((query.name, query.kind))
            if self.held is not None:
                self.held.append(query)
                return
        self.reply(query)

    def reply(self, query):
        places = [(query.name, query.kind), (query.name, None), (None, query.kind), (None, None)]
        trick = next((self.tricks[place] for place in places if place in self.tricks), self.proper)
        answers = trick(query)
        for answer in answers if isinstance(answers, list) else [answers]:
            if answer is not None:
                query.send(answer)

    def proper(self, query):
        """The answer that an honest server gives from these records."""
        name, entries = query.name, []
        exists = any(f".{record.name}".endswith(f".{name}") for record in self.records)
        while True:
            here = [record for record in self.records if record.name == name]
            entries += [(name, record.kind, record.data(self.prefix)) for record in here if record.kind == query.kind]
            aliases = [record for record in here if record.kind == "CNAME"]
            if query.kind == "CNAME" or not aliases or len(entries) > 16:
                break
            entries.append((name, "CNAME", aliases[0].data(self.prefix)))
            name = aliases[0].values[0]
        if entries:
            return query.answer(entries, ttl=self.ttl)
        return query.answer(code=0 if exists else NXDOMAIN, negative=self.ttl)

    def hold(self):
        """From now on questions are taken, but answered only at `release`."""
        with self.lock:
            self.held = self.held or []

    def release(self):
        """Answers all that waits, and what comes from now on."""
        with self.lock:
            waiting, self.held = self.held or [], None
        for query in waiting:
            with contextlib.suppress(OSError):
                self.reply(query)

    def asked(self, name=None, kind=None):
        with self.lock:
            return [(of, type) for of, type in self.questions if name in (None, of) and kind in (None, type)]

    def await_question(self, name=None, kind=None, count=1, timeout=5):
        eventually(lambda: len(self.asked(name, kind)) >= count, f"question {count} for {name} {kind}", timeout)
