"""What if the first server of a name fails (RFC 3263 §4.3), and which server is the first."""

from harness import DOMAIN, FAST_TIMERS
from internet import ANSWER, QUICK, Internet, received
from nameserver import host, srv
from peers import accept_cancel, hang_up, refuse
from testing import equal, test, true
from ua import Dialog
from waiting import eventually

SILENCE = 64 * FAST_TIMERS["t1"] / 1000  # until a request that nobody answers is given up
FAR = "sip:bob@example.test"
UDP, TCP, OTHER = "_sip._udp.example.test", "_sip._tcp.example.test", "_sip._udp.other.test"
A, B, C = host("a.example.test", 31), host("b.example.test", 32), host("c.example.test", 33)
FIRST, SECOND = srv(UDP, "a.example.test", 5071, 10), srv(UDP, "b.example.test", 5071, 20)


def two(**more):
    """A domain with two servers, the second for when the first fails."""
    return Internet(FIRST, SECOND, A, B, **more)


def pair(stage):
    return stage.peer("first", 31, 5071), stage.peer("second", 32, 5071)


def answered_by(stage, peer, invite, seen):
    """The peer takes the call; the caller sees nothing else than that (`answer_of` wants it so), to the BYE."""
    peer.answer(seen, 180, "Ringing")
    stage.alice.answer_of(invite, 180)
    response = peer.answer(seen, 200, "OK")
    stage.hang_up(peer, invite, seen, response)


# The first server fails

@test("SRV: the first server is silent: the second gets the INVITE with a branch of its own, and later calls")
def silent():
    with two() as stage:
        first, second = pair(stage)
        invite = stage.sends(FAR, "INVITE")
        at_first = first.expect("INVITE", ANSWER)
        at_second = second.expect("INVITE", ANSWER)
        true(at_second.branch != at_first.branch, "a branch of its own")
        equal(at_second.uri, FAR, "Request-URI at the second")
        answered_by(stage, second, invite, at_second)
        first.drain()
        for _ in range(3):
            stage.call(FAR, second)
        first.silent(0.1)


@test("SRV: a server that has said 100 or 180 is not silent, it may ring for longer")
def ringing():
    for status in (100, 180):
        with two() as stage:
            first, second = pair(stage)
            invite = stage.sends(FAR, "INVITE")
            seen = first.expect("INVITE", ANSWER)
            first.answer(seen, status)
            if status == 180:
                stage.alice.answer_of(invite, 180)
            second.silent(2 * QUICK["candidate-timeout"] / 1000)
            stage.hang_up(first, invite, seen, first.answer(seen, 200))


@test("SRV: nobody listens at the first server's port: the second gets INVITE and MESSAGE, then all at once")
def closed_port():
    for method in ("INVITE", "MESSAGE"):
        with two() as stage:
            second = stage.peer("second", 32, 5071)
            for _ in range(3):
                stage.call(FAR, second) if method == "INVITE" else stage.arrives(FAR, second)


@test("SRV: the first server refuses TCP: the second gets it; also where nothing else is said than the domain")
def refused_connection():
    records = srv(TCP, "a.example.test", 5071, 10), srv(TCP, "b.example.test", 5071, 20)
    with Internet(*records, A, B, tcp=True) as stage:
        second = stage.stream("second", 32, 5071)
        stage.call(f"{FAR};transport=tcp", second)
        stage.call(FAR, second)
        stage.arrives(FAR, second)


@test("SRV: a server that closes the connection instead of an answer has failed")
def closed_connection():
    records = srv(TCP, "a.example.test", 5071, 10), srv(TCP, "b.example.test", 5071, 20)
    with Internet(*records, A, B, tcp=True) as stage:
        first, second = stage.stream("first", 31, 5071), stage.stream("second", 32, 5071)
        invite = stage.sends(FAR, "INVITE")
        first.expect("INVITE", ANSWER)
        for connection in first.connections:
            connection.close()
        answered_by(stage, second, invite, second.expect("INVITE", ANSWER))


@test("SRV: 503 of the first server moves on at once, is acknowledged, and the caller sees nothing of it")
def unavailable():
    with two(resolver={"candidate-timeout": 30000}) as stage:
        first, second = pair(stage)
        invite = stage.sends(FAR, "INVITE")
        at_first = first.expect("INVITE", ANSWER)
        refuse(first, at_first, 503, headers=[("Retry-After", "60")])
        at_second = second.expect("INVITE", ANSWER)
        true(at_second.branch != at_first.branch, "a branch of its own")
        answered_by(stage, second, invite, at_second)
        stage.call(FAR, second)
        first.silent(0.1)


@test("SRV: the same for MESSAGE, with silence and with 503")
def not_invite():
    for status in (None, 503):
        with two() as stage:
            first, second = pair(stage)
            request = stage.sends(FAR)
            at_first = first.expect("MESSAGE", ANSWER)
            if status:
                first.answer(at_first, status)
            at_second = second.expect("MESSAGE", ANSWER)
            true(at_second.branch != at_first.branch, "a branch of its own")
            second.answer(at_second, 200)
            stage.alice.answer_of(request, 200)
            first.drain()
            stage.arrives(FAR, second)
            first.silent(0.1)


@test("SRV: every other answer of the first server is the answer")
def answered():
    with two() as stage:
        first, second = pair(stage)
        for status in (302, 404, 408, 480, 486, 500, 502, 504, 603):
            invite = stage.sends(FAR, "INVITE")
            refuse(first, first.expect("INVITE", ANSWER), status)
            stage.alice.ack_failure(invite, stage.alice.answer_of(invite, status))
        second.silent(0.1)


@test("all servers of a target fail before its next SRV record: addresses of one name follow each other")
def several_addresses():
    several = host("a.example.test", 41), host("a.example.test", 42), host("a.example.test", 31)
    with Internet(srv(UDP, "a.example.test", 5071), *several) as stage:
        last = stage.peer("bob", 31, 5071)
        for _ in range(3):
            stage.call(FAR, last)


@test("IPv6 and IPv4 addresses of one name: when nobody is at the first, the other is tried")
def both_families():
    with Internet(srv(UDP, "a.example.test", 5071), host("a.example.test", "::1"), A, six=True) as stage:
        stage.call(FAR, stage.peer("bob", 31, 5071))


@test("a fork of two contacts by names: each fails over by itself, one call comes out of it")
def forked():
    other = srv(OTHER, "a.example.test", 5072, 10), srv(OTHER, "c.example.test", 5072, 20)
    with Internet(FIRST, SECOND, *other, A, B, C) as stage:
        second, other = stage.peer("second", 32, 5071), stage.peer("other", 33, 5072)
        for uri in ("sip:bob@example.test", "sip:bob@other.test"):
            stage.alice.register(user="bob", contact=f"<{uri}>")
        invite = stage.sends(f"sip:bob@{DOMAIN}", "INVITE")
        seen, beside = second.expect("INVITE", ANSWER), other.expect("INVITE", ANSWER)
        other.answer(beside, 180)
        stage.alice.answer_of(invite, 180)
        response = second.answer(seen, 200)
        stage.hang_up(second, invite, seen, response)
        accept_cancel(other, beside)


# Which server is the first

@test("priorities: while the first server answers, the second hears nothing")
def priorities():
    with two() as stage:
        first, second = pair(stage)
        for number in range(10):
            stage.arrives(FAR, first) if number % 2 else stage.call(FAR, first)
        second.silent(0.1)


@test("weights 1 and 3: a quarter and three quarters of 200 requests, roughly; weight 0 next to none", limit=90)
def weights():
    for light, heavy, least, most in ((1, 3, 20, 85), (0, 100, 0, 20)):
        records = srv(UDP, "a.example.test", 5071, 10, light), srv(UDP, "b.example.test", 5071, 10, heavy)
        with Internet(*records, A, B) as stage:
            peers = pair(stage)
            took = [stage.tried(FAR, *peers) for _ in range(200)]
            counts = [took.count(peer) for peer in peers]
            true(least <= counts[0] <= most and sum(counts) == 200, f"requests for weights {light}, {heavy}: {counts}")


@test("a dead server is tried again after dead-time, and used again")
def dead_time():
    with two(resolver={"dead-time": 1}) as stage:
        second = stage.peer("second", 32, 5071)
        stage.call(FAR, second)
        first = stage.peer("first", 31, 5071)

        eventually(
            lambda: stage.tried(FAR, first, second) is first, "a request at the server that was dead", 10, 0.1)
        stage.call(FAR, first)


@test("a dead server that is the only one is tried all the same")
def dead_alone():
    with Internet(srv(UDP, "a.example.test", 5071), A) as stage:
        stage.fails(FAR, 408, 500)
        stage.call(FAR, stage.peer("bob", 31, 5071))


@test("a server that failed under one name is known as dead under another")
def dead_elsewhere():
    others = srv(OTHER, "a.example.test", 5071, 10), srv(OTHER, "b.example.test", 5071, 20)
    with Internet(FIRST, SECOND, *others, A, B) as stage:
        first, second = pair(stage)
        request = stage.sends(FAR)
        first.answer(first.expect("MESSAGE", ANSWER), 503)
        second.answer(second.expect("MESSAGE", ANSWER), 200)
        stage.alice.answer_of(request, 200)
        stage.arrives("sip:bob@other.test", second)
        first.silent(0.1)


# All fail

@test("all servers answer 503: 500, once all were asked (RFC 3261 §16.7 step 6)")
def all_unavailable():
    with Internet(FIRST, SECOND, srv(UDP, "c.example.test", 5071, 30), A, B, C) as stage:
        peers = [*pair(stage), stage.peer("third", 33, 5071)]
        invite = stage.sends(FAR, "INVITE")
        for peer in peers:
            refuse(peer, peer.expect("INVITE", ANSWER), 503)
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 500))
        # All are dead now: asked they are nevertheless, in whichever order.
        request = stage.sends(FAR)
        asked = []
        for _ in peers:
            peer, seen = received(*peers)
            asked.append(peer.name)
            peer.answer(seen, 503)
        equal(sorted(asked), sorted(peer.name for peer in peers), "servers that were asked")
        stage.alice.answer_of(request, 500)


@test("all servers are silent: 408, and not before the last of them was waited for; a MESSAGE gets nothing (RFC 4320)")
def all_silent():
    with two() as stage:
        first, second = pair(stage)
        invite = stage.sends(FAR, "INVITE")
        first.expect("INVITE", ANSWER)
        second.expect("INVITE", ANSWER)
        stage.alice.expect(100, ANSWER)
        final = stage.alice.answer_of(invite, 408, SILENCE + ANSWER)
        stage.alice.ack_failure(invite, final)
        request = stage.sends(FAR)
        for peer in (first, second):
            peer.expect("MESSAGE", ANSWER, ignore=("INVITE",))
        stage.proxy.idle()
        answers = [m for m in stage.alice.drain() if m.get("Call-ID") == request.get("Call-ID")]
        equal([m.start for m in answers if m.kind != 100], [], "final answers to a MESSAGE")


@test("no server listens at all: 500 or 408; with TCP 500")
def all_closed():
    records = srv(TCP, "a.example.test", 5071, 10), srv(TCP, "b.example.test", 5071, 20)
    with Internet(FIRST, SECOND, *records, A, B, tcp=True) as stage:
        stage.fails(f"{FAR};transport=udp", 408, 500)
        stage.fails(f"{FAR};transport=tcp", 500)
        stage.fails(f"{FAR};transport=tcp", 500, method="MESSAGE")


# CANCEL

@test("CANCEL while DNS is asked: 487 at once, and no INVITE leaves when the answer comes")
def cancel_while_resolving():
    with two(rogue=True, resolver={"timeout": 10000}) as stage:
        first, second = pair(stage)
        stage.server.hold()
        invite = stage.sends(FAR, "INVITE")
        stage.server.await_question()
        stage.alice.expect(100)
        stage.alice.cancel(invite)
        stage.alice.expect(200)
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 487))
        stage.server.release()
        first.silent(0.3)
        stage.call(FAR, first)
        second.silent(0.1)


@test("CANCEL while the first server is silent: the second is not tried, and the call ends")
def cancel_while_silent():
    with two(resolver={"candidate-timeout": 2500}) as stage:
        first, second = pair(stage)
        invite = stage.sends(FAR, "INVITE")
        first.expect("INVITE", ANSWER)
        stage.alice.expect(100)
        stage.alice.cancel(invite)
        final = stage.alice.expect_final(invite, SILENCE + ANSWER, passing=True)
        true(final.kind in (408, 487), f"the caller's final response: {final.start}")
        stage.alice.ack_failure(invite, final)
        stage.proxy.idle()
        second.silent(0.1)


@test("CANCEL when the second server rings: it is cancelled, 487; the first has no CANCEL to get")
def cancel_second():
    with two() as stage:
        first, second = pair(stage)
        invite = stage.sends(FAR, "INVITE")
        refuse(first, first.expect("INVITE", ANSWER), 503)
        seen = second.expect("INVITE", ANSWER)
        second.answer(seen, 180)
        stage.alice.answer_of(invite, 180)
        stage.alice.cancel(invite)
        stage.alice.expect(200)
        accept_cancel(second, seen)
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 487))
        first.silent(0.1)


@test("CANCEL, then 503 of the server that rang, or the end of its connection: the second is not tried")
def cancel_then_failure():
    records = srv(TCP, "a.example.test", 5071, 10), srv(TCP, "b.example.test", 5071, 20)
    for transport in ("udp", "tcp"):
        with Internet(FIRST, SECOND, *records, A, B, tcp=True) as stage:
            make = stage.stream if transport == "tcp" else stage.peer
            first, second = make("first", 31, 5071), make("second", 32, 5071)
            invite = stage.sends(f"{FAR};transport={transport}", "INVITE")
            seen = first.expect("INVITE", ANSWER)
            first.answer(seen, 180)
            stage.alice.answer_of(invite, 180)
            stage.alice.cancel(invite)
            stage.alice.expect(200)
            first.expect("CANCEL")
            if transport == "tcp":
                for connection in first.connections:
                    connection.close()
            else:
                first.answer(seen, 503)
            final = stage.alice.expect_final(invite, SILENCE + ANSWER)
            true(final.kind in (408, 487, 500), f"the caller's final response: {final.start}")
            stage.alice.ack_failure(invite, final)
            second.silent(0.2)


@test("the silent server wakes up late, rings and answers 200: the call with the second is none the worse")
def late():
    with two() as stage:
        first, second = pair(stage)
        invite = stage.sends(FAR, "INVITE")
        at_first = first.expect("INVITE", ANSWER)
        seen = second.expect("INVITE", ANSWER)
        second.answer(seen, 180)
        stage.alice.answer_of(invite, 180)
        first.answer(at_first, 503)
        first.answer(at_first, 486)
        second.silent(0.1)
        response = second.answer(seen, 200)
        first.answer(at_first, 200)
        # A 200 that no transaction of ours waits for may be dropped (RFC 6026) or passed on; the other one arrives.
        oks = [stage.alice.expect(200)]
        while oks[-1].tag() != second.name:
            oks.append(stage.alice.expect(200))
        outgoing = Dialog.of_caller(stage.alice, invite, oks[-1])
        stage.alice.send(outgoing.request("ACK"))
        equal(second.expect("ACK").cseq, invite.cseq, "CSeq of the ACK")
        stage.alice.drain()
        hang_up(outgoing, Dialog.of_callee(second, seen, response))
