"""Bad input by the thousand: endless headers, thousands of Vias, random damage; no death, no growing memory."""

import random

from harness import FAST_TIMERS, Sipfork, memory
from malformed import probe, rejected, still_well, without
from peers import one_callee
from testing import test, true
from ua import token

FAST = {"timers": FAST_TIMERS}
LARGEST = 65507  # an IPv4 datagram's payload


@test("oversized: endless header lines, thousands of headers, Vias, Routes, Contacts up to 65,507 bytes")
def oversized():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        base = alice.request("MESSAGE", bob.aor).encode()
        start, rest = base.split(b"\r\n", 1)
        fillers = [
            b"X: " + b"x" * 60000 + b"\r\n", b"X: x\r\n" * 10000, b"x" * 60000 + b": x\r\n", b"X:\r\n" + b" x\r\n" * 15000,
            b"v:a\r\n" * 10000, b"Via: SIP/2.0/UDP a;branch=z9hG4bKa\r\n" * 1800,
            b"v:" + b",".join([b"SIP/2.0/UDP a"] * 4000) + b"\r\n", b"v:" + b"," * 60000 + b"\r\n",
            b"Route: <sip:a;lr>\r\n" * 3000, b"Route: " + b"<sip:a;lr>," * 5000 + b"<sip:a;lr>\r\n",
            b"Record-Route: <sip:a;lr>\r\n" * 2500, b"m: " + b"<sip:a@b>," * 6000 + b"*\r\n",
            b"To: " + b"<" * 60000 + b"\r\n", b'To: "' + b"\\" * 60001 + b'" <sip:a@b>\r\n',
            b"From: <sip:a@b>" + b";a=b" * 15000 + b"\r\n", b"CSeq: " + b"9" * 60000 + b" MESSAGE\r\n",
            b"Content-Length: " + b"0" * 60000 + b"\r\n", b"Call-ID: " + b"c" * 60000 + b"\r\n",
            b"Max-Forwards: " + b"0" * 60000 + b"70\r\n", b"Proxy-Require: " + b"a," * 30000 + b"a\r\n"]
        for filler in fillers:
            for data in (start + b"\r\n" + filler + rest, start + b"\r\n" + rest[:-2] + filler + b"\r\n"):
                alice.send(data[:LARGEST])
                probe(alice, proxy)
        for uri in ("sip:" + "a" * 60000, "sip:bob@" + "a" * 60000, "sip:bob@example.org" + ";a" * 30000,
                    "sip:bob@example.org?" + "a=b&" * 15000):
            alice.send(alice.request("MESSAGE", uri, to="<sip:bob@example.org>").encode()[:LARGEST])
            probe(alice, proxy)
        alice.send(alice.request("A" * 60000, bob.aor, headers=[]).encode()[:LARGEST])
        probe(alice, proxy)
        body = alice.request("MESSAGE", bob.aor, body=b"b" * 60000)
        alice.send(body)
        probe(alice, proxy)
        while bob.receive(0.2, again=False) is not None:  # some are fit to be forwarded
            pass
        alice.drain()
        still_well(proxy, pids, alice, bob)


@test("a REGISTER with thousands of contacts is refused whole")
def many_contacts():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        contact = ",".join(f"<sip:a@127.0.0.1:{10000 + n}>" for n in range(2200))
        request = alice.request(
            "REGISTER", "sip:example.org", to=f"<{alice.aor}>", contact=False, headers=[("Contact", contact)])
        response = alice.expect_final(alice.send(request), 5)
        true(400 <= response.kind < 700, f"refused: {response.start}")
        true(proxy.status()["bindings"] == 1, "only bob's binding is there")
        still_well(proxy, pids, alice, bob)


def damaged(chance, request):
    """A good request with random damage: bytes changed, cut out, doubled, or the end cut off."""
    data = bytearray(request)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data))
        kind = chance.randrange(5)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at:at + chance.randint(1, 40)]
        elif kind == 2:
            data[at:at] = data[at:at + chance.randint(1, 200)]
        elif kind == 3:
            data[at:at] = chance.choice([b"\r\n", b"\0", b",", b"\"", b"<", b">", b";", b":", b"\r\n\r\n", b"\r\n ", b"%"])
        else:
            del data[max(at, 20):]
        if not data:
            data = bytearray(b"x")
    return bytes(data[:LARGEST])


def flood(proxy, alice, bob, chance, count):
    """Sends bad datagrams in batches that the receive buffer holds, each confirmed by an OPTIONS."""
    for number in range(count):
        kind = number % 5
        if kind == 0:
            data = chance.randbytes(chance.randint(1, 1400))
        elif kind == 1:
            data = b"\0" * chance.randint(1, 1400)
        elif kind == 2:
            data = without(alice.request("MESSAGE", bob.aor), chance.choice(["Call-ID", "CSeq", "From", "To"]))
        elif kind == 3:
            data = f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {proxy.address[0]};branch=z9hG4bK{token()}\r\nX: {token()}\r\n\r\n".encode()
        else:
            data = damaged(chance, alice.request("MESSAGE", "sip:nobody@example.org", body=b"hello").encode())
        alice.send(data)
        if number % 50 == 49:
            probe(alice, proxy)
            bob.drain()


@test("40,000 bad datagrams: same processes, same memory, counters rise, a good call works", limit=240)
def flooded():
    chance = random.Random(20261122)
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        flood(proxy, alice, bob, chance, 20000)  # shared memory is taken as used: what a flood needs is touched now
        proxy.idle(30)
        counted = rejected(proxy)
        watched = [proxy.process.pid, *pids]
        before = {pid: memory(pid) for pid in watched}
        flood(proxy, alice, bob, chance, 20000)
        after = {pid: memory(pid) for pid in watched}
        grown = {pid: after[pid]["VmRSS"] - before[pid]["VmRSS"] for pid in watched}
        own = {pid: after[pid]["RssAnon"] - before[pid]["RssAnon"] for pid in watched}
        print(f"          growth in kB: resident {list(grown.values())}, of that private {list(own.values())}")
        true(max(own.values()) <= 1024, f"private memory does not grow: {own} kB")
        true(max(grown.values()) <= 6 * 1024, f"resident memory grows by a few MB at most: {grown} kB")
        true(rejected(proxy) - counted >= 12000, f"the counters rise: {rejected(proxy) - counted}")
        alice.drain()
        bob.drain()
        still_well(proxy, pids, alice, bob)
        lines = proxy.log().count("\n")
        true(lines < 2000, f"the log of malformed messages is rate-limited: {lines} lines for 40,000 datagrams")


@test("damaged messages from many users at once, at full speed: drops are allowed, deaths are not", limit=120)
def full_speed():
    chance = random.Random(7)
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        good = [
            alice.request(method, uri, body=b"hello", routes=routes).encode() for method in
            ("INVITE", "MESSAGE", "REGISTER", "OPTIONS", "ACK", "CANCEL", "BYE") for uri in
            (bob.aor, "sip:nobody@example.org", f"sip:x@{proxy.address[0]}") for routes in
            ((), [f"<sip:{proxy.address[0]};lr>"], [f"<sip:{proxy.address[0]};lr>", f"<{bob.uri};lr>"])]
        for number in range(20000):
            alice.send(damaged(chance, chance.choice(good)))
            if number % 500 == 499:
                alice.drain()
                bob.drain()
        bob.drain()
        proxy.idle(30)
        alice.drain()
        bob.drain()
        bob.register(contact="*", expires=0)
        bob.register()
        still_well(proxy, pids, alice, bob)
