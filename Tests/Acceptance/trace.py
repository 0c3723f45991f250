"""sipforkctl trace: the messages of the calls that an operator follows, as they came and went, and no others."""

import os
import re
import signal

from harness import DOMAIN, FAST_TIMERS, Sipfork, network
from message import Message
from peers import Cast, establish, hang_up, one_callee, refuse, rings, three_contacts
from tcpua import TCPUA
from testing import contains, equal, test, true
from ua import UA, token
from waiting import eventually

HEAD = re.compile(r"<6>(in|out) (.*) (?:from|to) ((?:udp|tcp):\S+?)(?: (?:to|by) ([a-z]+(?: \d+)?))?(: .*)? \[(.*)\]$")
SECRET = "6629fae49393a05397450978507c4ef1"


class Traced:
    """An entry in the log: `way` in or out, `what` such as "INVITE sip:…" or "180 Ringing", the peer, the process
    that has it, the rest of the line, and the message.
    """

    def __init__(self, line):
        self.way, self.what, self.peer, self.handler, self.fate, rest = HEAD.match(line).groups()
        self.fields = dict(part.split("=", 1) for part in rest.split(" ") if "=" in part)
        self.lines = []

    @property
    def raw(self):
        return "\r\n".join(self.lines).encode()

    @property
    def call_id(self):
        return self.fields.get("call-id")


def traced(proxy):
    """What was traced up to now, in the order of the log; but no 100, which leaves only where a machine is busy."""
    entries = []
    within = False
    for line in proxy.log().splitlines():
        if HEAD.match(line):
            entries.append(Traced(line))
            within = True
        elif within and line.startswith("<6>    "):
            entries[-1].lines.append(line[7:])
        else:
            within = False
    return [entry for entry in entries if entry.what != "100 Trying"]


def await_traced(proxy, condition, what):
    """Waits until the entries are such; gives them."""
    return eventually(lambda: (found := traced(proxy)) and condition(found) and found, what)


def same(entry, message, what):
    """The entry has this message, byte for byte."""
    raw = message.raw or message.encode()
    equal(entry.raw.rstrip(), raw.rstrip(), what)


def find(entries, way, what):
    """The one entry with this beginning."""
    found = [entry for entry in entries if entry.way == way and entry.what.startswith(what)]
    true(len(found) == 1, f"one '{way} {what}', not {len(found)} in {[(e.way, e.what) for e in entries]}")
    return found[0]


def count(proxy, call_id):
    return sum(entry.call_id == call_id for entry in traced(proxy))


def both_transports():
    """A proxy that listens on UDP and TCP."""
    prefix = network()
    return Sipfork({"server": {"listen": [f"udp:{prefix}1:5060", f"tcp:{prefix}1:5060"]}}, prefix)


def quiet_call(caller, callee, user="bob"):
    """INVITE, 180, 200, ACK and BYE; gives its Call-ID."""
    outgoing, incoming = establish(caller, callee, user)
    hang_up(outgoing, incoming)
    return outgoing.call_id


# What is written

@test("each message of a call, in and out, with all its bytes and who has it; nothing before and after")
def whole_call():
    with Sipfork() as proxy, one_callee(proxy) as (alice, (bob,)):
        before = quiet_call(alice, bob)
        equal(proxy.ctl("trace"), {"filter": None, "since": None, "calls": 0}, "trace before")
        equal(proxy.control("trace").stdout, "tracing is off\n", "trace before")
        contains(proxy.control("trace", "on", "user=bob").stdout, "tracing user=bob since ", "trace on")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        ringing = bob.answer(seen, 180, "Ringing")
        response = alice.answer_of(invite, 180)
        refuse(bob, seen, 486, "Busy Here")
        refused = alice.answer_of(invite, 486)
        alice.ack_failure(invite, refused)
        entries = await_traced(proxy, lambda found: len(found) == 8, "eight messages of the call")
        true({entry.call_id for entry in entries} == {invite.get("Call-ID")}, "all of this call, none of the others")
        phones = {"alice": f"udp:{alice.host}:{alice.port}", "bob": f"udp:{bob.host}:{bob.port}"}
        wanted = [
            ("in", f"INVITE {invite.uri}", "alice"),
            ("out", f"INVITE {seen.uri}", "bob"), ("in", "180 Ringing", "bob"), ("out", "180 Ringing", "alice"),
            ("in", "486 Busy Here", "bob"), ("out", f"ACK {seen.uri}", "bob"), ("out", "486 Busy Here", "alice"),
            ("in", f"ACK {invite.uri}", "alice")]
        equal(
            sorted((entry.way, entry.what, entry.peer) for entry in entries),
            sorted((way, what, phones[name]) for way, what, name in wanted), "entries")
        same(find(entries, "in", "INVITE"), invite, "the INVITE that came")
        same(find(entries, "out", "INVITE"), seen, "the INVITE that left")
        same(find(entries, "in", "180"), ringing, "the 180 that came")
        same(find(entries, "out", "180"), response, "the 180 that left")
        same(find(entries, "out", "486"), refused, "the 486 that left")
        true({entry.handler for entry in entries} <= {"worker 0", "worker 1"}, "each is a worker's")
        # All of the server transaction is one worker's.
        equal(len({e.handler for e in entries if e.peer == phones["alice"]}), 1, "workers of the caller's side")
        equal(find(entries, "in", "486").fields["method"], "INVITE", "method of a response")
        equal(find(entries, "in", "486").fields["status"], "486", "status of a response")
        equal(proxy.ctl("trace")["calls"], 1, "calls")
        equal(proxy.control("trace", "off").stdout, "tracing is off\n", "trace off")
        after = quiet_call(alice, bob)
        # What would have been written of that stands in front of this.
        proxy.control("trace", "on", "bob")
        last = quiet_call(alice, bob)
        eventually(lambda: count(proxy, last) == 12, "twelve messages of another call")
        equal([count(proxy, call_id) for call_id in (before, invite.get("Call-ID"), after)], [0, 8, 0], "entries")


@test("a retransmission is an entry of its own, as is each answer to it")
def retransmissions():
    with Sipfork({"timers": FAST_TIMERS}) as proxy, one_callee(proxy) as (alice, (bob,)):
        proxy.control("trace", "on", "alice")
        invite = alice.invite("bob")
        for _ in range(3):
            bob.expect("INVITE", again=True)
        await_traced(
            proxy, lambda found: sum(e.way == "out" and e.what.startswith("INVITE") for e in found) >= 3,
            "three INVITEs to bob")
        alice.send(invite)
        entries = await_traced(
            proxy, lambda found: sum(e.way == "in" and e.what.startswith("INVITE") for e in found) == 2,
            "two INVITEs of alice")
        equal(len({e.raw for e in entries if e.what.startswith("INVITE")}), 2, "different INVITEs")


@test("all forks of a call, though the filter fits its caller alone")
def forks():
    with Sipfork() as proxy, three_contacts(proxy) as (alice, callees):
        proxy.control("trace", "on", f"source={alice.host}")
        invite = alice.invite("bob")
        seen = rings(callees, alice, invite)
        entries = await_traced(proxy, lambda found: len(found) == 10, "ten messages")
        out = [entry for entry in entries if entry.way == "out" and entry.what.startswith("INVITE")]
        equal(
            sorted(entry.raw.rstrip() for entry in out), sorted(message.raw.rstrip() for message in seen),
            "INVITEs to the phones")
        equal({entry.handler for entry in out}, {"worker 0", "worker 1"}, "processes that have the forks")
        for phone, message in zip(callees, seen):
            refuse(phone, message, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))


@test("credentials are not written, also folded; what is forwarded keeps them")
def credentials():
    digest = f'Digest username="bob", realm="{DOMAIN}", response="{SECRET}"'
    with Sipfork() as proxy, one_callee(proxy) as (alice, (bob,)):
        proxy.control("trace", "on", "bob")
        bob.register(headers=[("authorization", digest)])
        invite = alice.request(
            "INVITE", bob.aor, headers=[("PROXY-AUTHORIZATION", digest.replace(" realm", "\r\n realm")), ("X-A", "b")])
        alice.send(invite)
        seen = bob.expect("INVITE")
        contains(seen.get("Proxy-Authorization"), SECRET, "what bob receives")
        entries = await_traced(
            proxy, lambda found: any((e.way, e.what[:6]) == ("out", "INVITE") for e in found), "the INVITE to bob")
        true(SECRET not in proxy.log(), "no credentials in the log")
        register = Message.parse(find(entries, "in", "REGISTER").raw)
        equal(register.get("Authorization"), "***", "Authorization in the log")
        for way in ("in", "out"):
            parsed = Message.parse(find(entries, way, "INVITE").raw)
            equal((parsed.get("Proxy-Authorization"), parsed.get("X-A")), ("***", "b"), "header fields in the log")
        refuse(bob, seen, 486)


@test("by TCP as by UDP: the connections' addresses, and the worker whose message it is")
def tcp():
    with both_transports() as proxy:
        prefix = proxy.prefix
        with TCPUA("alice", prefix + "2", proxy.address) as alice, UA("bob", prefix + "3", proxy.address) as bob:
            bob.register()
            proxy.control("trace", "on", f"alice@{DOMAIN}")
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            refuse(bob, seen, 486, "Busy Here")
            refused = alice.answer_of(invite, 486)
            alice.ack_failure(invite, refused)
            entries = await_traced(proxy, lambda found: len(found) == 6, "six messages")
            own = alice.opened[0].own
            name = f"tcp:{own[0]}:{own[1]}"
            equal({entry.peer for entry in entries}, {name, f"udp:{bob.host}:{bob.port}"}, "peers")
            same(find(entries, "in", "INVITE"), invite, "the INVITE that came")
            same(find(entries, "out", "486"), refused, "the 486 that left")
            handlers = {entry.handler for entry in entries if entry.peer == name}
            true(handlers in ({"worker 0"}, {"worker 1"}), f"one worker has the caller's side: {handlers}")


@test("messages as long as they can be, by UDP and by TCP")
def long_messages():
    with both_transports() as proxy:
        prefix = proxy.prefix
        with TCPUA("alice", prefix + "2", proxy.address) as alice, TCPUA("bob", prefix + "3", proxy.address) as bob:
            with UA("carol", prefix + "4", proxy.address) as carol:
                proxy.control("trace", "on", "bob")
                bob.register()
                for phone in (alice, carol):
                    body = "".join(f"a={number}\r\n" for number in range(8000)).encode()[:62_000]
                    message = phone.request("MESSAGE", bob.aor, body=body)
                    phone.send(message)
                    seen = bob.expect("MESSAGE", 5)
                    bob.answer(seen, 200, "OK")
                    phone.answer_of(message, 200)
                    call_id = message.get("Call-ID")
                    eventually(lambda: count(proxy, call_id) == 4, "four messages")
                    entries = [entry for entry in traced(proxy) if entry.call_id == call_id]
                    same(find(entries, "in", "MESSAGE"), message, "the MESSAGE that came")
                    same(find(entries, "out", "MESSAGE"), seen, "the MESSAGE that left")
                equal(proxy.status()["counters"]["log_entries_dropped"], 0, "entries dropped")


@test("the stateless mode: what the master forwards by itself is its own")
def stateless():
    with Sipfork({"server": {"mode": "stateless"}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        proxy.control("trace", "on", f"bob@{DOMAIN}")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 486, "Busy Here")
        refused = alice.answer_of(invite, 486)
        alice.ack_failure(invite, refused)
        ack = bob.expect("ACK")
        entries = await_traced(proxy, lambda found: len(found) == 6, "six messages")
        equal({entry.handler for entry in entries}, {"master"}, "who has them")
        equal(
            [(entry.way, entry.what.split()[0]) for entry in entries],
            [("in", "INVITE"), ("out", "INVITE"), ("in", "486"), ("out", "486"), ("in", "ACK"), ("out", "ACK")],
            "their order")
        same(find(entries, "out", "INVITE"), seen, "the INVITE that left")
        same(find(entries, "out", "ACK"), ack, "the ACK that left")


@test("what is dropped is written, with the reason")
def dropped():
    with Sipfork() as proxy, one_callee(proxy) as (_, (bob,)):
        proxy.control("trace", "on", f"source={bob.host}")
        call_id = token()
        stray = (
            f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {proxy.prefix}1;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=1\r\n"
            f"To: <sip:b@h>;tag=2\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\r\n").encode()
        bob.send(stray)
        bob.send(stray.replace(b"CSeq: 1", b"CSeq: x"))
        entries = await_traced(proxy, lambda found: len(found) == 2, "two stray responses")
        equal(
            [(entry.handler, entry.fate) for entry in entries],
            [(None, ": dropped, it answers nothing of ours"), (None, ": dropped, it is malformed")],
            "what became of them")


# Which calls

@test("filters: Call-ID, user, user and host, source, network, and the short forms")
def filters():
    with Sipfork() as proxy, Cast(proxy, ["bob", "dave"]) as (alice, (bob, dave)):
        with UA("carol", proxy.prefix + "3", proxy.address) as carol:
            for filter_, hits in (
                    ("call-id={0}", "0"), ("{0}", "0"), ("user=alice", "02"), ("alice", "02"), ("bob", "01"),
                    (f"user=dave@{DOMAIN}", "2"), (f"carol@{DOMAIN}", "1"), ("user=bob@example.com", ""),
                    (f"source={carol.host}", "1"), (alice.host, "02"), (f"{proxy.prefix}2/31", "012"), ("nobody", ""),
                    ("2001:db8::/32", "")):
                ids = [f"{token()}@{DOMAIN}" for _ in range(3)]
                proxy.control("trace", "on", filter_.format(*ids))
                for call_id, caller, callee in zip(ids, (alice, carol, alice), (bob, bob, dave)):
                    invite = caller.invite(callee.name, call_id=call_id)
                    refuse(callee, callee.expect("INVITE"), 486)
                    caller.ack_failure(invite, caller.answer_of(invite, 486))
                met = [call_id for number, call_id in enumerate(ids) if str(number) in hits]
                equal(proxy.ctl("trace")["calls"], len(met), f"calls that {filter_} meets")
                # INVITE, 486 and ACK, in and out.
                eventually(
                    lambda: all(count(proxy, call_id) == 6 for call_id in met), f"six messages of each for {filter_}")
                for call_id in set(ids) - set(met):
                    equal(count(proxy, call_id), 0, f"messages of another call with {filter_}")


@test("a filter that is none is refused, and what is on stays")
def bad_filters():
    with Sipfork() as proxy:
        proxy.control("trace", "on", "alice")
        for text, code, words in (
                ("source=alice", 1, "trace: 400 That is no address"), ("user=@", 1, "trace: 400 That is no user"),
                ("call-id=", 1, "trace: 400 The filter is empty"), ("x" * 257, 64, "longer than 256 bytes"),
                ("a b", 64, "blank"), ("", 64, "empty")):
            done = proxy.control("trace", "on", text, check=False)
            equal(done.returncode, code, f"exit status of {text!r}")
            contains(done.stderr, words, f"stderr of {text!r}")
        equal(proxy.ctl("trace")["filter"], "alice", "what is on")
        proxy.control("trace", "on", "x" * 256)
        equal(proxy.ctl("trace")["filter"], "x" * 256, "the longest filter")
        proxy.control("trace", "off")
        proxy.control("trace", "off")


# Trouble

@test("a worker, the locator and the logger killed in the middle of a traced call: it is traced on")
def deaths():
    with Sipfork({"timers": {"t1": 2000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        proxy.control("trace", "on", "alice")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        for role in ("worker 0", "worker 1", "locator", "logger"):
            old = proxy.named(role)
            os.kill(old, signal.SIGKILL)
            proxy.replaced(role, old)
        bob.answer(seen, 180, "Ringing")
        alice.answer_of(invite, 180)
        refuse(bob, seen, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        entries = await_traced(proxy, lambda found: len(found) >= 8, "eight messages")
        equal(len({(entry.way, entry.what) for entry in entries}), 8, "different messages")
        equal(proxy.ctl("trace"), {**proxy.ctl("trace"), "filter": "alice", "calls": 1}, "what is on")


@test("a reload in the middle of a traced call: it is traced on")
def reloaded():
    with Sipfork({"timers": {"t1": 2000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        proxy.control("trace", "on", "alice")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        path = os.path.join(proxy.directory, "sipfork.toml")
        with open(path, "a") as file:
            file.write('[log]\nlevel = "error"\n')
        contains(proxy.control("reload").stdout, "reloaded: log.level", "reload")
        refuse(bob, seen, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        call_id = invite.get("Call-ID")
        # Whatever the level of the log is.
        eventually(lambda: count(proxy, call_id) == 6, "six messages")
        second = alice.invite("bob")
        refuse(bob, bob.expect("INVITE"), 486)
        alice.ack_failure(second, alice.answer_of(second, 486))
        eventually(lambda: count(proxy, second.get("Call-ID")) == 6, "six messages of a call after that")
        equal(proxy.ctl("trace")["calls"], 2, "calls")


@test("calls in plenty with a logger that stands still: they go on, what has no room is counted and told")
def flood():
    body = b"x" * 30_000
    with Sipfork() as proxy, one_callee(proxy) as (alice, (bob,)):
        proxy.control("trace", "on", "alice")
        logger = proxy.named("logger")
        os.kill(logger, signal.SIGSTOP)
        try:
            for _ in range(60):
                message = alice.send(alice.request("MESSAGE", bob.aor, body=body))
                bob.answer(bob.expect("MESSAGE"), 200, "OK")
                alice.answer_of(message, 200)
            dropped = proxy.status()["counters"]["log_entries_dropped"]
            true(dropped > 20, f"entries are dropped: {dropped}")
        finally:
            os.kill(logger, signal.SIGCONT)
        proxy.await_log("log entries of master dropped: the journal takes too long")
        message = alice.send(alice.request("MESSAGE", bob.aor))
        bob.answer(bob.expect("MESSAGE"), 200, "OK")
        alice.answer_of(message, 200)
        eventually(lambda: count(proxy, message.get("Call-ID")) == 4, "the message after that")


@test("ladder without a message in the journal says how to get one")
def empty_ladder():
    with Sipfork() as proxy:
        done = proxy.control("ladder", f"{token()}@nowhere", check=False)
        equal(done.returncode, 1, "exit status")
        contains(done.stderr, "sipforkctl trace on", "stderr")
        equal(done.stdout, "", "stdout")
