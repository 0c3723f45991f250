"""Bad input: what is no SIP is dropped and counted, what is wrong SIP gets 400 with the fault's name, nothing dies."""

from harness import FAST_TIMERS, Sipfork
from peers import establish, hang_up, one_callee
from testing import contains, equal, test, true
from ua import UA
from waiting import eventually

FAST = {"timers": FAST_TIMERS}


def counters(proxy):
    """The counters of status as {"name.name": number}."""
    flat = {}

    def walk(prefix, value):
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(f"{prefix}.{name}" if prefix else name, inner)
        elif isinstance(value, (int, float)):
            flat[prefix] = value

    walk("", proxy.status()["counters"])
    return flat


def rejected(proxy):
    """The sum of the counters that speak of refused input."""
    words = ("bad", "dropped", "stray")
    return sum(value for name, value in counters(proxy).items() if any(word in name.lower() for word in words))


def still_well(proxy, pids, alice, bob):
    """The same processes run, and a call goes through."""
    equal(sorted(proxy.descendants()), pids, "pids of the children")
    hang_up(*establish(alice, bob))


def raw(request, old=None, new=None):
    """A request's bytes with one thing replaced."""
    data = request.encode()
    if old is not None:
        assert data.count(old) >= 1, f"{old} is not in the request"
        data = data.replace(old, new, 1)
    return data


def without(request, name):
    lines = [line for line in request.encode().split(b"\r\n") if not line.startswith(name.encode() + b":")]
    return b"\r\n".join(lines)


@test("datagrams that are no SIP: no answer, counted, nobody dies")
def no_sip():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        before = rejected(proxy)
        garbage = [
            b"\0", b"x", b"hello", b"\0" * 1000, b"\0" * 60000, b"\xff" * 1500, bytes(range(256)) * 4,
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SIP", b"SIP/2.0", b"INVITE", b"INVITE ", b"INVITE sip:a@b",
            b"\r\n" * 400 + b"x", b"SIP/2.0 200", b"INVITE sip:bob@example.org SIP/3.0\r\n", b":" * 3000,
            b" " * 5000, b"INVITE sip:bob@example.org SIP/2.0" + b"A" * 60000]
        for data in garbage:
            alice.send(data)
        alice.silent(0.3)
        eventually(lambda: rejected(proxy) - before >= len(garbage), f"{len(garbage)} more in the counters", 3)
        for data in (b"", b"\r\n\r\n", b"\r\n", b"\0\0\0\0"):  # keep-alives in the wild: silently ignored
            alice.send(data)
        alice.silent(0.2, ignore=())
        still_well(proxy, pids, alice, bob)


@test("a request without Call-ID, CSeq, From, To: 400, and the reason names the header", limit=90)
def missing_headers():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        for method in ("MESSAGE", "INVITE", "REGISTER", "OPTIONS", "BYE"):
            uri = "sip:example.org" if method == "REGISTER" else bob.aor
            for name in ("Call-ID", "CSeq", "From", "To"):
                alice.send(without(alice.request(method, uri), name))
                response = alice.expect(400)
                contains(response.reason.lower(), name.lower(), f"reason for {method} without {name}")
                alice.drain()
        before = rejected(proxy)
        alice.send(without(alice.request("MESSAGE", bob.aor), "Via"))
        alice.silent(0.3, ignore=(400,))  # without Via there is no RFC way back: nothing, or 400 to the source
        eventually(lambda: rejected(proxy) > before, "a counter for the request without Via", 3)
        bob.silent(0.1)
        still_well(proxy, pids, alice, bob)


@test("wrong values: 400 with the fault's name", limit=90)
def wrong_values():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        length, cseq, forwards = b"Content-Length: 5", b"CSeq: 1 MESSAGE", b"Max-Forwards: 70"
        for old, new, name in (
                (length, b"Content-Length: -5", "Content-Length"), (length, b"Content-Length: x", "Content-Length"),
                (length, b"Content-Length: 99999999999999999999999", "Content-Length"),
                (length, b"Content-Length: 6", "Content-Length"),
                (length, b"Content-Length: 5\r\nContent-Length: 4", "Content-Length"),
                (cseq, b"CSeq: -1 MESSAGE", "CSeq"), (cseq, b"CSeq: 4294967296 MESSAGE", "CSeq"),
                (cseq, b"CSeq: 99999999999999999999999 MESSAGE", "CSeq"), (cseq, b"CSeq: 1 INVITE", "CSeq"),
                (cseq, b"CSeq: MESSAGE", "CSeq"), (cseq, b"CSeq: 1", "CSeq"), (cseq, b"CSeq:", "CSeq"),
                (forwards, b"Max-Forwards: -1", "Max-Forwards"), (forwards, b"Max-Forwards: x", "Max-Forwards"),
                (forwards, b"Max-Forwards: 4294967366", "Max-Forwards"),
                (forwards, b"Max-Forwards: 99999999999999999999999", "Max-Forwards")):
            alice.send(raw(alice.request("MESSAGE", bob.aor, body=b"hello"), old, new))
            response = alice.expect(400)
            contains(response.reason.lower(), name.lower(), f"reason for {new.decode()}")
        bob.silent(0.2)
        still_well(proxy, pids, alice, bob)


@test("broken From, To, Via and Request-URI: 400 or dropped, never forwarded")
def broken_addresses():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        for header, value in (
                ("From", b'"unclosed <sip:a@b>;tag=1'), ("From", b"<sip:a@b"), ("From", b""), ("To", b"<"),
                ("To", b"<sip:a@b;tag=1"), ("To", b'"" "'), ("To", b"\0")):
            request = alice.request("MESSAGE", bob.aor)
            alice.send(raw(request, f"{header}: {request.get(header)}".encode(), header.encode() + b": " + value))
            contains(alice.expect(400).reason.lower(), header.lower(), f"reason for {header}: {value}")
        for uri in ("", "sip:", "sip:@", "sip:bob@", "sip:bob@example.org:99999999", "<sip:bob@example.org>", "sip:%zz@[::"):
            alice.send(alice.request("MESSAGE", uri, to="<sip:bob@example.org>"))
            alice.silent(0.1, ignore=(400, 404, 416, 480))
        for via in ("", "SIP/2.0/UDP", "SIP/2.0/UDP ;branch=z9hG4bKx", "x", "SIP/2.0/UDP a:999999;branch=z9hG4bKy",
                    "SIP/2.0/UDP [::;branch=z9hG4bKz", ",,,,"):
            alice.send(alice.request("MESSAGE", bob.aor, via=via or " "))
            alice.silent(0.1, ignore=(400,))
        bob.silent(0.2)
        still_well(proxy, pids, alice, bob)


@test("a wrong ACK is never answered; a wrong response is dropped and counted")
def silent_faults():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        ack = alice.request("ACK", bob.aor)
        for name in ("Call-ID", "CSeq", "From", "To", "Max-Forwards"):
            alice.send(without(ack, name))
        alice.send(raw(ack, b"Content-Length: 0", b"Content-Length: -1"))
        alice.send(raw(ack, b"CSeq: 1 ACK", b"CSeq: 99999999999 ACK"))
        alice.send(raw(ack, b"Max-Forwards: 70", b"Max-Forwards: 0"))
        alice.silent(0.3)
        bob.drain()  # an ACK without Max-Forwards may be passed on
        before = rejected(proxy)
        invite = alice.invite("bob")
        good = bob.expect("INVITE")
        faults = 0
        via = "\r\n".join(f"Via: {value}" for value in good.values("Via"))
        head = f"{via}\r\nFrom: {good.get('From')}\r\nTo: {good.get('To')};tag=x\r\n"
        for start, rest in (
                ("SIP/2.0 999999 Bad", ""), ("SIP/2.0 -1 Bad", ""), ("SIP/2.0 20 Bad", ""), ("SIP/2.0  200 OK", ""),
                ("SIP/2.0 200 OK", "CSeq: 1 MESSAGE\r\n"), ("SIP/2.0 200 OK", "CSeq: -1 INVITE\r\n"),
                ("SIP/2.0 200 OK", f"CSeq: {good.get('CSeq')}\r\nContent-Length: 70000\r\n")):
            if "CSeq" not in rest:
                rest += f"CSeq: {good.get('CSeq')}\r\n"
            bob.send(f"{start}\r\n{head}Call-ID: {good.get('Call-ID')}\r\n{rest}\r\n".encode(), good.source)
            faults += 1
        bob.send(f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {proxy.address[0]};branch=z9hG4bKnone\r\n\r\n".encode())
        alice.silent(0.4, ignore=(100,))
        eventually(lambda: rejected(proxy) - before >= faults, f"{faults} responses in the counters", 3)
        bob.answer(good, 200)
        alice.answer_of(invite, 200)
        still_well(proxy, pids, alice, bob)


@test("a response with a branch that is not ours, or altered, is dropped")
def forged_responses():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        branch = seen.branch
        last = "0" if branch[-1] != "0" else "1"
        for forged in (branch[:-1] + last, branch[:-1], branch + "0", branch[:8] + branch[9:], "z9hG4bK", branch.upper()):
            via = [("Via", seen.values("Via")[0].replace(branch, forged)), ("Via", seen.values("Via")[1])]
            response = bob.request("X", "sip:x")
            response.start = "SIP/2.0 200 Forged"
            response.fields = via + [
                (name, seen.get(name)) for name in ("From", "To", "Call-ID", "CSeq")] + [("Content-Length", "0")]
            bob.send(response, seen.source)
        alice.silent(0.4, ignore=(100,))
        bob.answer(seen, 200)
        alice.answer_of(invite, 200)
        still_well(proxy, pids, alice, bob)


@test("a good INVITE cut off at every place is never forwarded")
def truncated():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        data = alice.request("INVITE", bob.aor, body=b"v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\n").encode()
        for length in range(len(data)):
            alice.send(data[:length])
            if length % 50 == 49:
                probe(alice, proxy)
        bob.silent(0.3)
        alice.drain()
        still_well(proxy, pids, alice, bob)


def probe(alice, proxy):
    """An OPTIONS that comes back: everything sent before has been received. Answers to it are forgotten."""
    request = alice.send(alice.request("OPTIONS", f"sip:{proxy.address[0]}:{proxy.address[1]}"))
    alice.expect_final(request, 5, passing=True)


@test("full transaction tables answer 503 with Retry-After, and are free again after the timers")
def full_table():
    settings = {"server": {"max-transactions": 100}, "timers": FAST_TIMERS}
    with Sipfork(settings) as proxy, one_callee(proxy) as (alice, (bob,)):
        pids = sorted(proxy.descendants())
        refused = []
        for _ in range(300):
            alice.invite("bob")
        eventually(lambda: refused.extend(m for m in alice.drain() if m.kind == 503) or refused, "a 503", 5)
        for response in refused:
            true(int(response.get("Retry-After").split()[0]) >= 1, f"Retry-After: {response.get('Retry-After')}")
        true(proxy.status()["transactions"] <= 100, "not more transactions than max-transactions")
        with UA("late", proxy.prefix + "40", proxy.address) as late:
            equal(late.expect_final(late.invite("bob"), 3).kind, 503, "one more while the tables are full")
        proxy.await_log("no room for another transaction")
        for message in {m.get("Call-ID"): m for m in bob.drain() if m.kind == "INVITE"}.values():
            bob.answer(message, 486)
        proxy.idle(30)
        alice.drain()
        bob.drain()
        still_well(proxy, pids, alice, bob)


@test("a full location table refuses the next binding with 503 or 500 and keeps the others")
def full_bindings():
    settings = {"server": {"max-bindings": 64}, "timers": FAST_TIMERS}
    with Sipfork(settings) as proxy, UA("bob", proxy.prefix + "10", proxy.address) as bob:
        for number in range(64):
            bob.register(user=f"user{number}")
        request = bob.request(
            "REGISTER", "sip:example.org", to="<sip:one-more@example.org>", contact=False,
            headers=[("Contact", f"<{bob.uri}>")])
        response = bob.expect_final(bob.send(request))
        true(response.kind in (500, 503), f"refused: {response.start}")
        equal(proxy.status()["bindings"], 64, "bindings")
        bob.register(user="user3")
