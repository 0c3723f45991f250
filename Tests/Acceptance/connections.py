"""Many TCP connections, refused ones, and peers that are dead: the limits of [tcp], see sipfork.toml(5)."""

import contextlib
import errno
import os
import resource
import select
import socket
import time

from calls import run_calls
from harness import FAST_TIMERS, memory
from message import uri_of
from peers import establish, hang_up
from scene import SLOW, Scene, passes, serves
from tcpua import Connection, TCPUA
from testing import equal, test, true
from ua import UA
from waiting import eventually


def room_for_descriptors(count):
    """Raises our soft limit, which the daemon inherits."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    true(hard == resource.RLIM_INFINITY or hard > count, f"ulimit -Hn is {hard}; this test needs more than {count}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Crowd:
    """Connections to the service by the hundred, opened a few at a time, which say nothing."""

    def __init__(self, address):
        self.address, self.sockets = address, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()

    def come(self, source, count, between=lambda: None):
        """Opens as many from this address; `between` is called after each hundred."""
        for start in range(0, count, 100):
            fresh = []
            for _ in range(min(100, count - start)):
                each = socket.socket()
                self.sockets.append(each)
                fresh.append(each)
                each.setblocking(False)
                each.bind((source, 0))
                code = each.connect_ex(self.address)
                true(code in (0, errno.EINPROGRESS), f"connect: {os.strerror(code)}")
            poll = select.poll()
            for each in fresh:
                poll.register(each, select.POLLOUT)
            left, deadline = len(fresh), time.monotonic() + 20
            while left:
                true(time.monotonic() < deadline, f"{left} connections could not be made")
                for number, _ in poll.poll(1000):
                    poll.unregister(number)
                    left -= 1
            between()

    def alive(self):
        """How many of them the service has not closed."""
        poll, count = select.poll(), len(self.sockets)
        for each in self.sockets:
            poll.register(each, select.POLLIN)
        for _, event in poll.poll(0):
            count -= 1 if event else 0
        return count

    def leave(self):
        for each in self.sockets:
            each.close()
        self.sockets.clear()


def lines_about_connections(proxy, before):
    return [line for line in proxy.log()[len(before):].splitlines() if "connection" in line.lower()]


# Limits

def at_the_limit(settings, same_peer, limit=5):
    """Opens connections up to the limit, and further ones; one of those already there leaves, and another may come."""
    with Scene({**SLOW, "tcp": settings}, alice=UA) as scene:
        bob = scene.phone("bob", UA)
        sources = [scene.prefix + ("100" if same_peer else str(100 + n)) for n in range(3 * limit)]
        with contextlib.ExitStack() as stack:
            def connect(number):
                return stack.enter_context(Connection.to(scene.proxy.address, sources[number]))

            served = [connect(number) for number in range(limit)]
            for connection in served:
                serves(connection, scene.alice)
            before, log = scene.counters(), scene.proxy.log()
            for number in range(limit, 2 * limit):
                connect(number).expect_end()
            scene.more("connections_refused", before, limit)
            equal(scene.proxy.status()["connections"], limit, "connections")
            for connection in served:
                serves(connection, scene.alice)
            passes(scene.alice, bob)
            # Once for an episode, not for each.
            eventually(lambda: lines_about_connections(scene.proxy, log), "a log line about the limit")
            lines = lines_about_connections(scene.proxy, log)
            equal(len(lines), 1, f"log lines about it: {lines}")
            if same_peer:
                with Connection.to(scene.proxy.address, scene.prefix + "99") as other:
                    serves(other, scene.alice)
            served.pop().close()
            eventually(lambda: scene.proxy.status()["connections"] == limit - 1, "the end of one connection")
            serves(connect(2 * limit), scene.alice)
            connect(2 * limit + 1).expect_end()


@test("max-connections: further ones are closed at once, counted, logged once; when one has ended another is served")
def all_connections():
    at_the_limit({"max-connections": 5}, False)


@test("max-connections-per-peer: the same for one address; others are served")
def of_one_peer():
    at_the_limit({"max-connections-per-peer": 5}, True)


@test("at max-connections a TCP contact cannot be called: 500 at once; a large request to one without transport: UDP")
def full():
    with Scene({**SLOW, "tcp": {"max-connections": 2}}, alice=UA) as scene:
        alice, bob, carol = scene.alice, scene.phone("bob"), scene.phone("carol", UA)
        with Connection.to(scene.proxy.address, scene.prefix + "100") as connection:
            serves(connection, alice)
            alice.answer_of(alice.send(alice.request("MESSAGE", bob.aor)), 500)
            bob.silent(0.1)
            passes(alice, carol, body=b"x" * 3000)
        eventually(lambda: scene.proxy.status()["connections"] == 1, "the end of one connection")
        passes(alice, bob)


@test("accepted, opened and failed connections are counted, and status says how many there are")
def counted():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        before = scene.counters()
        passes(alice, bob)
        scene.more("connections_opened", before)
        scene.more("connections_accepted", before)
        scene.settled()
        alice.register(user="gone", contact=f"<sip:gone@{alice.host}:1;transport=tcp>")
        alice.answer_of(alice.send(alice.request("MESSAGE", "sip:gone@example.org")), 500)
        scene.more("connections_failed", before)
        scene.more("connections_refused", before, 0)


@test("10,000 connections of one peer: 1,024 are kept, the others closed; calls of others go on", limit=120)
def ten_thousand():
    room_for_descriptors(12000)
    with Scene(SLOW) as scene:
        bob = scene.phone("bob")
        carol, dave = scene.phone("carol", UA), scene.phone("dave", UA)
        before, log = scene.counters(), scene.proxy.log()
        with Crowd(scene.proxy.address) as crowd:
            def others():
                passes(scene.alice, bob)
                passes(carol, dave)

            crowd.come(scene.prefix + "200", 10000, others)
            scene.more("connections_refused", before, 10000 - 1024, 20)
            eventually(lambda: crowd.alive() == 1024, f"1,024 that are left; there are {crowd.alive()}")
            lines = lines_about_connections(scene.proxy, log)
            true(1 <= len(lines) <= 3, f"log lines about it: {lines[:5]}")
            hang_up(*establish(scene.alice, bob))
            hang_up(*establish(carol, dave, "dave"))
        scene.settled()
        with Connection.to(scene.proxy.address, scene.prefix + "200") as connection:
            serves(connection, scene.alice)


@test("5,000 idle connections while sipp calls over UDP and TCP: no call fails, memory is bounded", limit=150)
def idle_crowd():
    room_for_descriptors(7000)
    with Scene({"timers": FAST_TIMERS}) as scene:
        master = scene.proxy.process.pid
        before = memory(master)["RssAnon"]
        with Crowd(scene.proxy.address) as crowd:
            for number in range(10):
                crowd.come(f"{scene.prefix}{200 + number}", 500)
            eventually(lambda: scene.proxy.status()["connections"] >= 5000, "5,000 connections in status")
            run_calls(scene.proxy, 200, 100, 40)
            run_calls(scene.proxy, 200, 100, 40, "t1", "t1")
            grown = memory(master)["RssAnon"] - before
            print(f"          the master took {grown} kB more")
            true(grown < 5000 * 16, f"memory of the master: {grown} kB more for 5,000 connections")
            equal(crowd.alive(), 5000, "connections that are left")
            for each in crowd.sockets[::500]:
                each.setblocking(True)
                serves(Connection(each), scene.alice)
        scene.settled()


# Peers that cannot be reached

@contextlib.contextmanager
def dead_host(address):
    """A port whose SYNs are not answered: a listener with a full backlog. Gives its number."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, 0))
        listener.listen(0)
        for _ in range(20):
            each = stack.enter_context(socket.socket())
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
            poll = select.poll()
            poll.register(each, select.POLLOUT)
            if not poll.poll(300):
                yield listener.getsockname()[1]
                return
        raise AssertionError("the backlog does not get full")


IMPATIENT = {**SLOW, "tcp": {"connect-timeout": 1000}, "forking": {"order": "q-value"}}


@test("a host that answers no SYN: 500 after connect-timeout; others are served meanwhile")
def dead():
    with Scene(IMPATIENT) as scene, dead_host(scene.prefix + "90") as port:
        alice, bob = scene.alice, scene.phone("bob")
        carol, dave = scene.phone("carol", UA), scene.phone("dave", UA)
        alice.register(user="dead", contact=f"<sip:dead@{scene.prefix}90:{port};transport=tcp>")
        for method in ("INVITE", "MESSAGE"):
            caller = scene.phone("caller", UA, register=False)
            request = caller.send(caller.request(method, "sip:dead@example.org"))
            start = time.monotonic()
            for _ in range(20):
                passes(carol, dave)
                passes(alice, bob)
            response = caller.answer_of(request, 500, 10)
            true(time.monotonic() - start > 0.8, "not before connect-timeout")
            if method == "INVITE":
                caller.ack_failure(request, response)


@test("a dead host: the next contact gets the call after connect-timeout; one that is asked beside it, at once")
def dead_and_others():
    with Scene(IMPATIENT) as scene, dead_host(scene.prefix + "90") as port:
        contact = f"<sip:bob@{scene.prefix}90:{port};transport=tcp>"
        alice, bob = scene.alice, scene.phone("bob", register=False)
        bob.register(contact=f"<{bob.uri}>;q=0.1")
        alice.register(user="bob", contact=contact + ";q=0.9")
        invite = alice.invite("bob")
        hang_up(*establish(alice, bob, invite=invite))
        for user, other in (("carol", UA), ("dave", TCPUA)):
            phone = scene.phone(user, other)
            alice.register(user=user, contact=contact)
            sides = establish(alice, phone, user)
            hang_up(*sides)


@test("the caller gives up while the connection to a dead host is being made")
def cancelled_while_connecting():
    with Scene(IMPATIENT) as scene, dead_host(scene.prefix + "90") as port:
        alice = scene.alice
        alice.register(user="dead", contact=f"<sip:dead@{scene.prefix}90:{port};transport=tcp>")
        invite = alice.invite("dead")
        alice.expect(100)
        alice.cancel(invite)
        alice.expect(200)
        final = alice.expect_final(invite, 10)
        true(final.kind in (487, 500), f"final response: {final.start}")
        alice.ack_failure(invite, final)
        alice.silent(0.2)


@test("200 requests to a dead host: each fails, none twice; the service is as it was")
def many_dead():
    with Scene(IMPATIENT) as scene, dead_host(scene.prefix + "90") as port:
        alice, bob = scene.alice, scene.phone("bob")
        alice.register(user="dead", contact=f"<sip:dead@{scene.prefix}90:{port};transport=tcp>")
        requests = [alice.send(alice.request("MESSAGE", "sip:dead@example.org")) for _ in range(200)]
        branches = [alice.expect(500, 10, ignore=(100,)).branch for _ in requests]
        equal(sorted(branches), sorted(request.branch for request in requests), "branches of the answers")
        passes(alice, bob)
        scene.settled()


@test("a port that nobody listens on: 500 at once, or the next contact; a fork beside it is not disturbed")
def refused():
    with Scene({**SLOW, "forking": {"order": "q-value"}}) as scene:
        alice = scene.alice
        closed = f"<sip:bob@{scene.prefix}90:5060;transport=tcp>"
        alice.register(user="closed", contact=closed)
        for method in ("INVITE", "MESSAGE"):
            request = alice.send(alice.request(method, "sip:closed@example.org"))
            response = alice.answer_of(request, 500)
            if method == "INVITE":
                alice.ack_failure(request, response)
        bob = scene.phone("bob", register=False)
        bob.register(contact=f"<{bob.uri}>;q=0.1")
        alice.register(user="bob", contact=closed + ";q=0.9")
        hang_up(*establish(alice, bob))
        carol = scene.phone("carol")
        alice.register(user="carol", contact=closed)
        hang_up(*establish(alice, carol, "carol"))


@test("a phone that was closed and listens again is called again at once")
def back_again():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        for _ in range(3):
            passes(alice, bob)
            for connection in bob.connections:
                connection.close()
            bob.accepted.clear()
            bob.opened.clear()
            bob.socket.close()
            scene.settled()
            alice.answer_of(alice.send(alice.request("MESSAGE", bob.aor)), 500)
            bob.socket = bob.bound(bob.address, bob.port)


@test("the service stops cleanly with connections open, and has its TCP port again at once")
def restarted():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        for _ in range(3):
            passes(alice, bob)
            ends = [alice.way, *bob.connections]
            scene.proxy.stop()
            for connection in ends:
                connection.expect_end()
            scene.proxy.start()
            serves(alice.way, alice)
        equal(uri_of(bob.register(cseq=2).values("Contact")[0]), bob.uri, "bob's contact after the restarts")
