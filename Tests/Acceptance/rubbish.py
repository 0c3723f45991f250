"""Peers on TCP that lie about their messages, say something else than SIP, say it slowly, or never listen: they harm
nobody but themselves (RFC 3261 §18.3, and the limits of [tcp]).
"""

import contextlib
import random
import socket
import ssl
import time

from harness import memory
from malformed import rejected
from message import reply_to
from peers import establish, hang_up
from scene import SLOW, Streams, options, passes, serves, with_length
from testing import equal, test, true
from waiting import eventually, readable

SMALL = {**SLOW, "tcp": {"max-header": 4096, "max-message": 8192}}


# Lies

LIES = {
    "none": [], "not a number": [b"Content-Length: abc"], "negative": [b"Content-Length: -1"],
    "a number and more": [b"l: 5x"], "empty": [b"l:"], "two numbers": [b"l: 5 5"], "a list": [b"l: 5, 5"],
    "two that differ": [b"Content-Length: 0", b"Content-Length: 5"],
    "compact and long that differ": [b"l: 5", b"Content-Length: 0"],
    "a fraction": [b"l: 5.0"], "hexadecimal": [b"l: 0x5"], "with a sign": [b"l: +5"]}


@test("Content-Length that cannot be told gets 400, and the connection is closed; nothing behind it is served")
def no_length():
    with Streams() as scene:
        for what, lines in LIES.items():
            with scene.connect() as connection:
                request = scene.message(b"hello")
                connection.send(with_length(request, *lines) + options(scene.alice).encode())
                try:
                    equal(connection.expect(400).branch, request.branch, "branch of the answer")
                    connection.expect_end()
                except AssertionError as error:
                    raise AssertionError(f"{what}: {error}") from None
        scene.bob.silent(0.1)


@test("a request that is too large gets 513, and the connection is closed")
def too_large():
    with Streams(SMALL) as scene:
        for length in (b"9000", b"65536", b"4294967296", b"4294967301", b"18446744073709551616", b"9" * 100):
            with scene.connect() as connection:
                request = scene.message()
                connection.send(with_length(request, b"Content-Length: " + length) + b"x" * 100)
                response = connection.receive()
                true(response is not None, f"an answer to Content-Length {length!r}, {connection.ended}")
                true(response.kind in ((513,) if len(length) < 6 else (400, 513)), f"{length!r}: {response.start}")
                equal(response.branch, request.branch, "branch of the answer")
                connection.expect_end()
        with scene.connect() as connection:
            request = scene.message(b"x" * 7000)
            connection.send(request)
            scene.arrives(connection, request, request.body)


@test("a header beyond max-header, with its end or without, gets 513; one that fits is served")
def large_header():
    with Streams(SMALL) as scene:
        endless = scene.message(headers=[("X", "x" * 100000)]).encode()
        for data in (
                scene.message(headers=[("X", "x" * 5000)]).encode(),
                scene.message(headers=[("X", "y")] * 1000).encode(), endless[:9000],
                endless.replace(b"x" * 100, b"x" * 98 + b"\r\n ")[:90000]):
            with scene.connect() as connection:
                with contextlib.suppress(ConnectionError):
                    connection.send(data)
                connection.expect(513)
                connection.expect_end()
        with scene.connect() as connection:
            request = scene.message(headers=[("X", "x" * 3000)])
            connection.send(request)
            scene.arrives(connection, request, b"")


@test("a start line that never ends, or a first header field that never does: closed")
def endless_line():
    with Streams(SMALL) as scene:
        for data in (b"INVITE sip:" + b"x" * 50000, b"x" * 50000, b"SIP/2.0 200 " + b"x" * 50000,
                     b"INVITE sip:bob@example.org SIP/2.0\r\nX: " + b"x" * 50000):
            with scene.connect() as connection:
                with contextlib.suppress(ConnectionError):
                    connection.send(data)
                connection.expect_end()


@test("responses and ACKs that lie are not answered; their connection is closed, and the call behind it gets 500")
def lying_callee():
    with Streams() as scene:
        alice, bob = scene.alice, scene.bob
        for change in ((b"Content-Length: 0", b"X: 0"), (b"Content-Length: 0", b"Content-Length: x"),
                       (b"SIP/2.0 180", b"HTTP/1.1 180"), (b"Content-Length: 0", b"Content-Length: 1000000")):
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            seen.source.send(reply_to(seen, 180, tag="b").encode().replace(*change))
            seen.source.expect_end()
            alice.ack_failure(invite, alice.answer_of(invite, 500, 5))
        with scene.connect() as connection:
            ack = alice.request("ACK", bob.aor, to=f"<{bob.aor}>;tag=x", drop=("Content-Length",))
            connection.send(ack)
            connection.expect_end()
        hang_up(*establish(alice, bob))


# Other things than SIP

@test("a good message and rubbish behind it: the good one is served, then the connection is closed")
def rubbish_behind():
    with Streams() as scene:
        alice, bob = scene.alice, scene.bob
        for rubbish in (
                b"\0\1\2\3", b"hello world\r\n\r\n", b"\xff" * 500, b"GET / HTTP/1.1\r\n\r\n", b" blank\r\n\r\n"):
            connection = alice.connect()
            requests = [scene.message(b"good"), options(alice)]
            connection.send(requests[0].encode() + requests[1].encode() + rubbish)
            seen = bob.expect("MESSAGE")
            equal(seen.body, b"good", "body")
            bob.answer(seen, 200)
            # Where the connection is closed first, the answers come to the sent-by of her Via.
            branches = {alice.expect(200).branch for _ in requests}
            equal(branches, {request.branch for request in requests}, "branches of the answers")
            connection.expect_end()
        bob.silent(0.1)


def client_hello():
    """What a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="example.org")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@test("TLS, HTTP, SSH, SMTP, zeros, random bytes by the megabyte: closed without an answer, and counted")
def other_protocols():
    with Streams({**SLOW, "tcp": {"message-timeout": 1}}) as scene:
        chance, before = random.Random(1), rejected(scene.proxy)
        for data in (
                client_hello(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n",
                b"EHLO example.org\r\n", b"\0" * 100000, b"\r\n" * 10 + b"\0", b"{}\n",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xff\xfe",
                b"INVITE sip:bob@example.org SIP/2.0", b"A", b"<?xml version='1.0'?>\r\n\r\n", b"OPTIONS\r\n\r\n",
                b"OPTIONS sip:x RTSP/1.0\r\nCSeq: 1\r\n\r\n", chance.randbytes(1 << 20)):
            with scene.connect() as connection:
                with contextlib.suppress(ConnectionError):
                    connection.send(data)
                end = time.monotonic() + 10
                while connection.ended is None:
                    true(time.monotonic() < end, f"{data[:40]!r}: the connection is closed")
                    readable([connection.socket], 0.5)
                    connection.read()
                equal(connection.messages, [], f"answers to {data[:40]!r}")
        scene.bob.silent(0.1)
        true(rejected(scene.proxy) - before >= 8, f"what was refused is counted: {scene.counters()}")


@test("changed in random places, good messages do no harm: 300 connections with a mangled request each")
def mangled():
    with Streams({**SLOW, "tcp": {"message-timeout": 1}}) as scene:
        chance = random.Random(2)
        connections = []
        for _ in range(300):
            data = bytearray(options(scene.alice, body=b"\r\n\r\nhello").encode())
            for _ in range(chance.randrange(1, 6)):
                place = chance.randrange(len(data))
                if chance.random() < 0.5:
                    data[place:place + chance.randrange(9)] = b""
                else:
                    junk = [b"\r\n", b"\0", b":", b" ", b"\r\n\r\n", b"9", b"\xff", b"l: 7\r\n"]
                    data[place:place] = chance.choice(junk)
            connection = scene.connect()
            connections.append(connection)
            with contextlib.suppress(ConnectionError):
                connection.send(bytes(data))
        scene.still_well()
        for connection in connections:
            connection.close()
        scene.bob.drain()


# Time

@test("one byte at a time: after message-timeout the connection is closed; others that are just silent are not")
def dribble():
    with Streams({**SLOW, "tcp": {"message-timeout": 1}}) as scene:
        quiet = [scene.connect() for _ in range(3)]
        quiet[1].send(b"\r\n\r\n")
        quiet[1].expect_pong(1)
        quiet[2].send(options(scene.alice))
        quiet[2].expect(200)
        for data in (options(scene.alice).encode(), b"A" * 1000):
            with scene.connect() as connection:
                start, sent = time.monotonic(), 0
                while connection.ended is None:
                    true(time.monotonic() - start < 15, f"closed after message-timeout; {sent} bytes were taken")
                    with contextlib.suppress(ConnectionError):
                        connection.send(data[sent:sent + 1])
                        sent += 1
                    readable([connection.socket], 0.1)
                    connection.read()
                true(time.monotonic() - start > 0.8, "not before the second was over")
                true(sent < len(data), "before all was sent")
        for connection in quiet:
            serves(connection, scene.alice)


@test("message-timeout counts for each message by itself: many, each in three pieces, in all for longer than it")
def slow_but_steady():
    with Streams({**SLOW, "tcp": {"message-timeout": 2}}) as scene:
        with scene.connect() as connection:
            for _ in range(5):
                data = options(scene.alice, body=b"x" * 20).encode()
                for piece in (data[:50], data[50:-10]):
                    connection.send(piece)
                    connection.stays(0.3)
                connection.send(data[-10:])
                connection.expect(200)


@test("idle-timeout closes a connection that says nothing; one that pings stays")
def idle():
    with Streams({**SLOW, "tcp": {"idle-timeout": 2}}) as scene:
        with scene.connect() as silent, scene.connect() as spoke, scene.connect() as pings:
            serves(spoke, scene.alice)
            end, sent = time.monotonic() + 10, 0
            while silent.ended is None or spoke.ended is None:
                true(time.monotonic() < end, "the idle connections are closed")
                pings.send(b"\r\n\r\n")
                sent += 1
                pings.expect_pong(sent)
                readable([silent.socket], 0.2)
                silent.read()
                spoke.read()
            serves(pings, scene.alice)
        eventually(lambda: scene.proxy.status()["connections"] == 0, "no connection", 10)
        # Phones that were closed are called on a new connection.
        passes(scene.alice, scene.bob)


# Those that do not read

@test("a peer that sends requests and never reads an answer: bounded memory, and others are served", limit=90)
def never_reads():
    with Streams() as scene:
        master = scene.proxy.process.pid
        before = memory(master)["RssAnon"]
        head, branch, tail = options(scene.alice, headers=[("X", "x" * 300)]).encode().partition(b"z9hG4bK")
        with scene.connect(receive_buffer=4096) as connection:
            connection.socket.setblocking(False)
            left, sent, stuck = b"", 0, 0
            while sent < 30000 and stuck < 10:
                left = left or b"".join(b"%s%s%d-%s" % (head, branch, sent + i, tail) for i in range(10))
                try:
                    left = left[connection.socket.send(left):]
                    sent += 0 if left else 10
                    stuck = 0
                except BlockingIOError:
                    stuck += 1
                    passes(*scene.bystanders)
                except ConnectionError:
                    break
                if sent % 5000 == 0:
                    passes(*scene.bystanders)
            grown = memory(master)["RssAnon"] - before
            true(grown < 16384, f"memory of the master: {grown} kB more after {sent} requests")
            passes(scene.alice, scene.bob)


@test("a callee that reads nothing: calls to it fail by themselves, calls to others go on")
def deaf_callee():
    with Streams() as scene:
        alice = scene.alice
        deaf = scene.phone("deaf", register=False)
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.register()
        before = memory(scene.proxy.process.pid)["RssAnon"]
        requests = [alice.request("MESSAGE", deaf.aor, body=b"x" * 20000) for _ in range(400)]
        for number, request in enumerate(requests):
            alice.send(request)
            if number % 100 == 0:
                passes(*scene.bystanders)
        passes(*scene.bystanders)
        # 8 MB do not fit: what the queue could not take has failed by now, the rest waits.
        response = alice.expect(500, 5, ignore=(100,))
        true(response.get("Call-ID") in {request.get("Call-ID") for request in requests}, "Call-ID")
        grown = memory(scene.proxy.process.pid)["RssAnon"] - before
        true(grown < 32768, f"memory of the master: {grown} kB more")
