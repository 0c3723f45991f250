"""A name server that lies, stalls and babbles: it can spoil its own names only, and the resolver takes no harm."""

import struct

from harness import memory
from internet import Internet
from nameserver import REFUSED, SERVFAIL, alias, encoded, entry, host, srv
from testing import equal, test, true
from waiting import eventually

FAR = "sip:bob@example.test"
UDP = "_sip._udp.example.test"
A = host("a.example.test", 31)
REASON = "Next hop cannot be resolved"


class Hostile:
    """A service whose name server lies about the domain; at the end the resolver is still the same process, has no
    more memory than before, and honest names work.
    """

    def __init__(self, *records, **more):
        honest = srv("_sip._udp.honest.test", "a.example.test", 5071)
        self.stage = Internet(honest, A, *records, rogue=True, **more)

    def __enter__(self):
        self.stage.__enter__()
        try:
            self.pid = self.stage.proxy.named("resolver")
            self.before = memory(self.pid)["RssAnon"]
            self.stage.bob = self.stage.peer("bob", 31, 5071)
        except BaseException:
            self.stage.__exit__(None, None, None)
            raise
        return self.stage

    def __exit__(self, *error):
        try:
            if error[0] is None:
                self.stage.call("sip:bob@honest.test", self.stage.bob)
                equal(self.stage.proxy.named("resolver"), self.pid, "pid of the resolver")
                after = memory(self.pid)["RssAnon"]
                true(after < self.before + 16384, f"memory of the resolver: {self.before} kB before, {after} kB after")
        except BaseException as failure:
            self.stage.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self.stage.__exit__(*error)


def looped(query):
    """CNAMEs in a circle, all in one answer."""
    names = [query.name, "b.loop.test", "c.loop.test"]
    return query.answer([(name, "CNAME", encoded(names[(i + 1) % 3])) for i, name in enumerate(names)])


def endless(query):
    return query.answer([(query.name, "CNAME", encoded(query.name))])


@test("CNAME loops, in one answer and over many: 500")
def alias_loops():
    loops = alias("x.loop.test", "y.loop.test"), alias("y.loop.test", "x.loop.test")
    with Hostile(*loops) as stage:
        stage.server.tricks["one.loop.test", None] = looped
        stage.server.tricks["endless.test", None] = endless
        for name in ("one.loop.test", "x.loop.test", "endless.test"):
            stage.fails(f"sip:bob@{name}", 500)
            stage.fails(f"sip:bob@{name}:5060", 500)


@test("SRV and NAPTR that lead to each other and to themselves: 500, in a bounded number of questions")
def rule_loops():
    with Hostile(srv(UDP, UDP), srv("_sip._udp.b.test", "_sip._udp.b.test")) as stage:
        for trick in ("example.test", "b.test"):
            rule = struct.pack("!2H", 10, 10) + b"\1s\7SIP+D2U\0" + encoded(trick)
            stage.server.tricks[trick, "NAPTR"] = lambda query, rule=rule: query.answer([(query.name, "NAPTR", rule)])
            stage.fails(f"sip:bob@{trick}", 500)
        true(len(stage.asked()) < 40, f"questions: {len(stage.asked())}")


@test("rubbish instead of answers: 500; where an honest one comes behind it, that may count", limit=120)
def rubbish():
    with Hostile(resolver={"timeout": 200}) as stage:
        fixed = struct.pack("!2HIH", 33, 1, 60, 60000)
        rubbishes = {
            "empty": lambda query: b"", "short": lambda query: query.id, "ones": lambda query: query.id + b"\xff" * 500,
            "header": lambda query: query.header(answers=9), "echo": lambda query: query.data,
            "counts": lambda query: query.header(answers=65535, authority=65535),
            "text": lambda query: b"SIP/2.0 200 OK\r\n\r\n" * 10,
            "cut": lambda query: query.answer([(query.name, "A", b"\x7f\0\0\1")])[:-2],
            "lengths": lambda query: query.header(answers=1) + b"\xc0\x0c" + fixed + b"x" * 10}
        for name, trick in rubbishes.items():
            stage.server.tricks[f"{name}.test", None] = trick
        stage.all_fail([f"sip:bob@{name}.test" for name in rubbishes])
        stage.server.tricks["behind.test", "A"] = lambda query: [
            query.id + b"\xff" * 500, query.answer([(query.name, "A", stage_address(stage))])]
        stage.tried("sip:bob@behind.test:5071", stage.bob, timeout=30)


def stage_address(stage, number=31):
    return bytes(int(part) for part in f"{stage.prefix}{number}".split("."))


@test("records that are too short, too long, of another type: 500")
def odd_records():
    odd = {
        ("short.test", "A"): ("A", b"\x7f\0\0"), ("long.test", "A"): ("A", b"\x7f\0\0\1\0"),
        ("none.test", "A"): ("A", b""),
        ("_sip._udp.srv.test", "SRV"): ("SRV", b"\0\1\0\1"), ("_sip._udp.no.test", "SRV"): ("SRV", b""),
        ("naptr.test", "NAPTR"): ("NAPTR", b"\0\1\0\1\xffs"), ("type.test", "A"): ("AAAA", b"\0" * 16)}
    with Hostile(resolver={"timeout": 200}) as stage:
        for place, (kind, data) in odd.items():
            stage.server.tricks[place] = lambda query, kind=kind, data=data: query.answer([(query.name, kind, data)])
        stage.all_fail([f"sip:bob@{name.removeprefix('_sip._udp.')}" for name, _ in odd])
        stage.bob.silent(0.1)


@test("compression pointers to themselves, forward, in a circle, out of the message: 500")
def pointer_loops():
    address = struct.pack("!2HIH", 1, 1, 60, 4) + b"\x7f\0\0\1"

    def pointing(query, *places):
        """An answer whose only record is named by pointers to these places, counted from its own."""
        end = 12 + len(query.section)
        return query.header(answers=1) + b"".join(struct.pack("!H", 0xc000 | end + at) for at in places) + address

    def target(query):
        """An SRV whose target is a pointer to itself."""
        end = 12 + len(query.section)
        record = struct.pack("!3HIH4H", 0xc00c, 33, 1, 60, 8, 1, 1, 5071, 0xc000 | end + 18)
        return query.header(answers=1) + record

    with Hostile(resolver={"timeout": 200}) as stage:
        for name, places in (("self", [0]), ("forward", [1]), ("outside", [9999]), ("circle", [2, 0])):
            stage.server.tricks[f"{name}.test", None] = lambda query, places=places: pointing(query, *places)
        stage.server.tricks["_sip._udp.target.test", "SRV"] = target
        stage.all_fail([f"sip:bob@{name}.test" for name in ("self", "forward", "outside", "circle", "target")])


def many(kind, data):
    """As many records as 64 kB take, by TCP; over UDP the answer is truncated."""

    def trick(query):
        if not query.by_tcp:
            return query.header(flags=0x8780)
        count = 65000 // len(entry(b"\xc0\x0c", kind, data(9999), 60))
        return query.header(answers=count) + b"".join(entry(b"\xc0\x0c", kind, data(i), 60) for i in range(count))

    return trick


@test("thousands of records, by TCP after a truncated answer: some are used, or 500; memory is bounded", limit=120)
def thousands():
    with Hostile() as stage:
        def target(name):
            return lambda i: struct.pack("!3H", i % 7, 1, 5071) + encoded(name.format(i))

        def rule(i):
            return struct.pack("!2H", 1, i) + b"\1s\7SIP+D2U\0" + encoded(f"r{i}.rules.test")

        stage.server.tricks.update({
            ("addresses.test", "A"): many("A", lambda _: stage_address(stage)),
            ("_sip._udp.targets.test", "SRV"): many("SRV", target("a.example.test")),
            ("_sip._udp.names.test", "SRV"): many("SRV", target("n{}.names.test")),
            ("rules.test", "NAPTR"): many("NAPTR", rule)})
        for uri in ("sip:bob@addresses.test:5071", "sip:bob@targets.test", "sip:bob@names.test", "sip:bob@rules.test"):
            stage.tried(uri, stage.bob, timeout=30)
        true(len(stage.asked()) < 1000, f"questions: {len(stage.asked())}")


@test("truncated answers without a server on TCP that answers: 500 in bounded time", limit=90)
def truncated():
    with Hostile() as stage:
        stage.server.tricks["cut.test", None] = lambda query: None if query.by_tcp else query.header(flags=0x8780)
        request = stage.sends("sip:bob@cut.test", "INVITE")
        stage.alice.ack_failure(request, stage.alice.answer_of(request, 500, 60))


@test("answers with a wrong id or for another question are passed over; the right one behind them counts")
def forged():
    with Hostile(resolver={"timeout": 5000}) as stage:
        def forged(query):
            lie = bytes((127, 0, 0, 66))
            other = question_of(query, "other.test")
            return [
                query.answer([(query.name, "A", lie)], identifier=bytes((query.id[0] ^ 1, query.id[1]))),
                other + entry("other.test", "A", lie, 60), query.answer([(query.name, "A", stage_address(stage))])]
        stage.server.tricks["forged.test", "A"] = forged
        stage.arrives("sip:bob@forged.test:5071", stage.bob)


def question_of(query, name):
    """The beginning of an answer with this query's id, to another question."""
    return query.id + struct.pack("!5H", 0x8580, 1, 1, 0, 0) + encoded(name) + struct.pack("!2H", 1, 1)


@test("SERVFAIL, REFUSED: 500, not kept for long; for one SRV target beside a good one: the good one", limit=90)
def server_failure():
    records = srv("_sip._udp.half.test", "bad.test", 5071, 10), srv("_sip._udp.half.test", "a.example.test", 5071, 20)
    with Hostile(*records, srv("_sip._udp.bad.test", "a.example.test", 5071)) as stage:
        stage.server.tricks["bad.test", None] = lambda query: query.answer(code=SERVFAIL)
        stage.server.tricks["_sip._udp.bad.test", None] = lambda query: query.answer(code=SERVFAIL)
        stage.server.tricks["_sip._tcp.bad.test", None] = lambda query: query.answer(code=SERVFAIL)
        stage.server.tricks["refused.test", None] = lambda query: query.answer(code=REFUSED)
        for name in ("bad.test", "refused.test"):
            final = stage.alice.expect_final(stage.sends(f"sip:bob@{name}"), 45)
            equal((final.kind, final.reason), (500, REASON), f"answer for {name}")
        equal(stage.tried("sip:bob@half.test", stage.bob, timeout=45), stage.bob, "who gets it")
        stage.server.tricks.clear()
        eventually(lambda: stage.tried("sip:bob@bad.test", stage.bob, timeout=45), "the name that is well now", 20, 0.2)


@test("SERVFAIL for NAPTR alone (some servers do not know it): SRV is asked all the same")
def naptr_failure():
    with Hostile(srv(UDP, "a.example.test", 5071)) as stage:
        stage.server.tricks[None, "NAPTR"] = lambda query: query.answer(code=SERVFAIL)
        equal(stage.tried(FAR, stage.bob, timeout=45), stage.bob, "who gets it")


@test("2,000 names that nobody has asked for before: bounded memory, honest names still work", limit=120)
def many_names():
    with Hostile() as stage:
        for start in range(0, 2000, 50):
            stage.all_fail([f"sip:bob@n{number}.test" for number in range(start, start + 50)])
