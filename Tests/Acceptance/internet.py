"""A proxy that asks a name server of the test, with alice inside and peers in other domains."""

import contextlib
import select
import socket
import time

from harness import FAST_TIMERS, Sipfork, network
from nameserver import Dnsmasq, Rogue
from peers import hang_up
from tcpua import TCPUA
from testing import equal, true
from ua import UA, Dialog

ANSWER = 10  # seconds that a request may take which first must be resolved, on a busy machine
QUICK = {"timeout": 300, "candidate-timeout": 400}


class Internet:
    """The name server (`server`: dnsmasq, or with `rogue` one that can misbehave) knows `records`. The proxy listens
    on UDP, with `tcp` on TCP as well, with `six` on ::1 too; all else in `sections` is its configuration. Other name
    servers are asked before ours.
    """

    def __init__(self, *records, rogue=False, ttl=300, tcp=False, six=False, other_servers=(), **sections):
        self.prefix = network()
        self.server = (Rogue if rogue else Dnsmasq)(self.prefix, records, ttl)
        self.tcp, self.six, self.sections = tcp, six, sections
        self.servers = [f"{host}:{port}" for host, port in (*other_servers, self.server.address)]
        self.stack = contextlib.ExitStack()

    def settings(self):
        transports = ["udp", "tcp"] if self.tcp else ["udp"]
        hosts = [f"{self.prefix}1:5060"] + ([f"[::1]:{free_port()}"] if self.six else [])
        sections = dict(self.sections)
        server = {"listen": [f"{name}:{host}" for host in hosts for name in transports], **sections.pop("server", {})}
        resolver = {"servers": self.servers, **QUICK, **sections.pop("resolver", {})}
        return {"timers": FAST_TIMERS, "server": server, "resolver": resolver, **sections}

    def __enter__(self):
        try:
            self.stack.enter_context(self.server)
            self.proxy = self.stack.enter_context(Sipfork(self.settings(), self.prefix))
            self.alice = self.peer("alice", 2, 0)
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def peer(self, name, number, port=5060, kind=UA):
        """A user agent on an address of the block, or on `number` where that is one itself."""
        address = number if isinstance(number, str) else f"{self.prefix}{number}"
        return self.stack.enter_context(kind(name, address, self.proxy.address, port))

    def stream(self, name, number, port=5060):
        return self.peer(name, number, port, TCPUA)

    def asked(self, name=None, kind=None):
        return self.server.asked(name, kind)

    # Requests of alice's

    def sends(self, uri, method="MESSAGE", ua=None, **more):
        ua = ua or self.alice
        return ua.send(ua.request(method, uri, **more))

    def arrives(self, uri, peer, method="MESSAGE", **more):
        """A request that this peer gets and answers; gives what it got."""
        request = self.sends(uri, method, **more)
        seen = peer.expect(method, ANSWER)
        equal(seen.get("Call-ID"), request.get("Call-ID"), f"Call-ID of what {peer.name} got")
        peer.answer(seen, 200)
        self.alice.answer_of(request, 200)
        return seen

    def call(self, uri, peer):
        """A whole call, from INVITE to BYE; gives the INVITE that the peer got."""
        invite = self.sends(uri, "INVITE")
        seen = peer.expect("INVITE", ANSWER)
        peer.answer(seen, 180, "Ringing")
        self.alice.answer_of(invite, 180)
        response = peer.answer(seen, 200, "OK")
        self.hang_up(peer, invite, seen, response)
        return seen

    def hang_up(self, peer, invite, seen, response):
        """The rest of a call whose 200 the peer has just sent."""
        ok = self.alice.answer_of(invite, 200)
        outgoing = Dialog.of_caller(self.alice, invite, ok)
        self.alice.send(outgoing.request("ACK"))
        equal(peer.expect("ACK", ANSWER).cseq, invite.cseq, "CSeq of the ACK")
        hang_up(outgoing, Dialog.of_callee(peer, seen, response))

    def tried(self, uri, *peers, timeout=ANSWER):
        """A MESSAGE that one of these peers may get and answer: which one; None where the proxy answers 500."""
        request = self.sends(uri)
        agent, message = received(self.alice, *peers, timeout=timeout)
        if agent is self.alice:
            equal((message.kind, message.get("Call-ID")), (500, request.get("Call-ID")), "answer of the proxy")
            return None
        agent.answer(message, 200)
        self.alice.answer_of(request, 200)
        return agent

    def all_fail(self, uris, timeout=60):
        """A MESSAGE to each of these, sent at once; every one is answered 500 by the proxy."""
        missing = {self.sends(uri).get("Call-ID"): uri for uri in uris}
        while missing:
            message = received(self.alice, timeout=timeout)[1]
            uri = missing.pop(message.get("Call-ID"))
            equal(message.kind, 500, f"answer for {uri}")

    def fails(self, uri, *statuses, method="INVITE", **more):
        """A request that the proxy itself refuses, with one of these; gives the answer."""
        request = self.sends(uri, method, **more)
        final = self.alice.expect_final(request, ANSWER)
        true(final.kind in statuses, f"{method} {uri}: wanted one of {statuses}, received {final.start}")
        if method == "INVITE":
            self.alice.ack_failure(request, final)
        return final


def received(*agents, timeout=ANSWER, ignore=(100,)):
    """Which of these user agents (UDP) receives something first, and what; retransmissions are passed over."""
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        ready = select.select([agent.socket for agent in agents], [], [], left)[0]
        for agent in (agent for agent in agents if agent.socket in ready):
            message = agent.receive(0, again=False)
            if message is not None and message.kind not in ignore:
                return agent, message
    raise AssertionError(f"waited {timeout:g} s in vain for a message at one of {[agent.name for agent in agents]}")


def free_port():
    """A port of ::1 that nobody has, for UDP and TCP."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as claim:
        claim.bind(("::1", 0))
        return claim.getsockname()[1]
