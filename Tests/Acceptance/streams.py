"""SIP in a stream of bytes: where messages begin and end (RFC 3261 §18.3), and keep-alives (RFC 5626 §4.4.1)."""

import os

from message import reply_to
from peers import accept_cancel, establish, hang_up
from scene import Streams, options, serves, with_length
from testing import equal, test, true


# Where a message ends

@test("several messages in one segment, and one that ends in the next")
def pipelined():
    with Streams() as scene:
        with scene.connect() as connection:
            requests = [options(scene.alice, body=body) for body in (b"", b"hello", b"\r\n\r\n", b"", b"x" * 3000)]
            data = b"".join(request.encode() for request in requests)
            connection.send(data[:-1500])
            for request in requests[:-1]:
                connection.expect(200)
            connection.stays(0.1)
            connection.send(data[-1500:] + requests[0].encode().replace(requests[0].branch.encode(), b"z9hG4bKlast"))
            branches = {connection.expect(200).branch for _ in range(2)}
            equal(branches, {requests[-1].branch, "z9hG4bKlast"}, "branches of the last answers")


@test("answers to pipelined requests: each once, each to its own")
def pipelined_answers():
    with Streams() as scene:
        with scene.connect() as connection:
            requests = [options(scene.alice) for _ in range(50)]
            connection.send(b"".join(request.encode() for request in requests))
            branches = [connection.expect(200).branch for _ in requests]
            equal(sorted(branches), sorted(request.branch for request in requests), "branches of the answers")
            connection.stays(0.1)


@test("a message that comes byte by byte", limit=90)
def byte_by_byte():
    with Streams() as scene:
        with scene.connect() as connection:
            request = scene.message(b"hello\r\n\r\n")
            connection.send_in_pieces(request, [1])
            scene.arrives(connection, request, b"hello\r\n\r\n")
            serves(connection, scene.alice)


@test("a message cut in two at every place around its lines, its length and its body")
def cut_anywhere():
    with Streams() as scene:
        with scene.connect() as connection:
            size = len(options(scene.alice, body=b"\r\n\r\nabc").encode())
            for place in [1, 3, 7, *range(20, 60, 7), *range(size - 40, size)]:
                request = options(scene.alice, body=b"\r\n\r\nabc")
                connection.send_in_pieces(request.encode()[:place], [place])
                connection.send(request.encode()[place:])
                equal(connection.expect(200).branch, request.branch, f"branch, cut at {place}")


@test("Content-Length in all its forms: compact, folded, odd case and blanks, zeros in front, in the first line")
def forms():
    with Streams() as scene:
        with scene.connect() as connection:
            for lines in (
                    [b"l: 11"], [b"L:11"], [b"CONTENT-LENGTH:   11  "], [b"content-length \t: 11"],
                    [b"Content-Length:\r\n 11"], [b"l:\r\n\t11"], [b"Content-Length: 0011"],
                    [b"X: 1", b"l: 11", b"Y: 2"],
                    [b"X: Content-Length: 3", b"l: 11"], [b"X: a\r\n Content-Length: 3", b"l: 11"]):
                request = scene.message(b"hi\r\n\r\nthere")
                connection.send(with_length(request, *lines))
                scene.arrives(connection, request, b"hi\r\n\r\nthere")
            request = scene.message()
            data = request.encode()
            first = data.index(b"\r\n") + 2
            connection.send(data[:first] + b"l: 4\r\n" + with_length(request)[first:] + b"abcd")
            scene.arrives(connection, request, b"abcd")


@test("bodies: none, empty lines, a whole other message, bytes of all kinds, 60,000 bytes")
def bodies():
    with Streams() as scene:
        with scene.connect() as connection:
            inner = options(scene.alice).encode()
            for body in (
                    b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n", inner, b"\r\n\r\n" + inner * 3,
                    bytes(range(256)) * 8, b"\0", b"SIP/2.0 200 OK\r\n\r\n", os.urandom(60000)):
                request = scene.message(body)
                connection.send(request)
                scene.arrives(connection, request, body)
            equal(connection.pongs, 0, "CRLFs sent for what is in a body")
            connection.stays(0.1)


@test("what comes from a callee is framed as well: 180 and 200 in one segment, a 200 in pieces, CRLFs between them")
def callee():
    with Streams() as scene:
        alice, bob = scene.alice, scene.bob
        for pieces in (None, [50], [7, 1, 300, 1, 1]):
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            ringing = reply_to(seen, 180, tag="b", contact=f"<{bob.uri}>")
            refusal = reply_to(seen, 486, tag="b", body=b"\r\n\r\nno")
            data = b"\r\n" + ringing.encode() + b"\r\n\r\n" + refusal.encode()
            if pieces:
                seen.source.send_in_pieces(data, pieces)
            else:
                seen.source.send(data)
            alice.answer_of(invite, 180)
            response = alice.answer_of(invite, 486)
            equal(response.body, b"\r\n\r\nno", "body of the 486")
            bob.expect("ACK")
            alice.ack_failure(invite, response)
        equal(len(bob.accepted), 1, "connections to bob")
        seen.source.expect_pong(3)
        equal(seen.source.pongs, 3, "CRLFs that bob got for his")
        hang_up(*establish(alice, bob))


# Keep-alives

@test("CRLFCRLF between messages is answered with CRLF; a single CRLF with nothing")
def keep_alive():
    with Streams() as scene:
        with scene.connect() as connection:
            connection.send(b"\r\n\r\n")
            connection.expect_pong(1)
            connection.send(b"\r\n")
            serves(connection, scene.alice)
            connection.stays(0.2)
            equal(connection.pongs, 1, "CRLFs, after a single one of ours")
            for number in (2, 3, 4):
                connection.send(b"\r\n\r\n")
                connection.expect_pong(number)
            connection.send(b"\r\n\r\n\r\n\r\n")
            connection.expect_pong(6)
            connection.send_in_pieces(b"\r\n\r\n", [1])
            connection.expect_pong(7)
            connection.send(b"\r\n\r\n" + options(scene.alice).encode() + b"\r\n\r\n")
            connection.expect(200)
            connection.expect_pong(9)
            connection.send(b"\r\n" + options(scene.alice).encode() + b"\r\n" + options(scene.alice).encode())
            for _ in range(2):
                connection.expect(200)
            connection.stays(0.1)
            equal(connection.pongs, 9, "CRLFs in all")
            equal(connection.buffer, b"", "what else came")


@test("1,000 keep-alives, each answered before the next; 10,000 at once harm nobody, a message behind them is served")
def many_keep_alives():
    with Streams() as scene:
        with scene.connect() as connection:
            for number in range(1, 1001):
                connection.send(b"\r\n\r\n")
                connection.expect_pong(number)
        with scene.connect() as connection:
            connection.send(b"\r\n\r\n" * 10000)
            connection.expect_pong(1)
            serves(connection, scene.alice)


# Many

@test("5,000 requests through one connection, 32 at a time: each is answered once", limit=90)
def many():
    with Streams() as scene:
        with scene.connect() as connection:
            waiting = set()
            for number in range(5000):
                request = options(scene.alice, call_id=f"{number}@many")
                waiting.add(request.branch)
                connection.send(request)
                while len(waiting) >= 32:
                    waiting.remove(connection.expect(200).branch)
            while waiting:
                waiting.remove(connection.expect(200).branch)
            connection.stays(0.1)


@test("2,000 MESSAGEs from one connection through another, all sent before the first is answered", limit=90)
def burst():
    with Streams() as scene:
        alice, bob = scene.alice, scene.bob
        alice.connect()
        requests, seen = {}, []
        for number in range(2000):
            request = alice.send(scene.message(b"x" * (number % 700), call_id=f"{number}@burst"))
            requests[request.get("Call-ID")] = request
            while (message := bob.receive(0)) is not None:
                seen.append(message)
        seen += [bob.expect("MESSAGE", 10) for _ in range(len(requests) - len(seen))]
        equal(len({message.get("Call-ID") for message in seen}), len(requests), "requests that came through")
        for message in seen:
            equal(message.body, requests[message.get("Call-ID")].body, "body")
            bob.answer(message, 200)
        answers = [alice.expect(200, 10, ignore=(100,)) for _ in requests]
        equal(len({answer.get("Call-ID") for answer in answers}), len(requests), "answers")
        equal(len(bob.accepted), 1, "connections to bob")


# The end of a stream

@test("a connection that ends or breaks in the middle of a message: nothing of it goes anywhere")
def cut_off():
    with Streams() as scene:
        data = scene.message(b"hello").encode()
        for place in (1, 30, len(data) - 30, len(data) - 1):
            for end in ("close", "reset", "half_close"):
                with scene.connect() as connection:
                    connection.send_in_pieces(data[:place], [place])
                    getattr(connection, end)()
        scene.bob.silent(0.2)
        scene.settled()


@test("who says no more, and is owed nothing, is not kept: the other half is closed as well")
def half_closed():
    with Streams() as scene:
        for before in (None, b"\r\n\r\n", options(scene.alice)):
            with scene.connect() as connection:
                if before:
                    connection.send(before)
                    connection.expect(200) if before != b"\r\n\r\n" else connection.expect_pong(1)
                connection.half_close()
                connection.expect_end()
        scene.settled()


@test("a message and the end of the stream together: it is served")
def last_words():
    with Streams() as scene:
        for _ in range(10):
            connection = scene.alice.connect()
            request = scene.alice.send(scene.message(b"last"), connection)
            connection.close()
            seen = scene.bob.expect("MESSAGE")
            equal(seen.get("Call-ID"), request.get("Call-ID"), "Call-ID")
            scene.bob.answer(seen, 200)
            scene.alice.answer_of(request, 200)  # to the sent-by of her Via


@test("a CANCEL by another connection than its INVITE's is taken, and 487 comes on the INVITE's")
def cancel_elsewhere():
    with Streams() as scene:
        alice, bob = scene.alice, scene.bob
        first = alice.connect()
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        true(alice.answer_of(invite, 180).source is first, "the 180 on the INVITE's connection")
        second = alice.connect()
        alice.cancel(invite)
        true(alice.expect(200).source is second, "the 200 on the CANCEL's connection")
        accept_cancel(bob, seen)
        response = alice.answer_of(invite, 487)
        true(response.source is first, "the 487 on the INVITE's connection")
        alice.ack_failure(invite, response)
