"""Next hops that are names: NAPTR, SRV, A and AAAA lead to them, as RFC 3263 §4 says, wherever a name can stand."""

from internet import ANSWER, Internet
from message import parameter
from nameserver import alias, host, naptr, srv
from peers import is_hop_by_hop
from testing import equal, test, true
from ua import Dialog

FAR = "sip:bob@example.test"
UDP, TCP = "_sip._udp.example.test", "_sip._tcp.example.test"
AT_31 = host("a.example.test", 31)


def top_transport(seen):
    return seen.values("Via")[0].split()[0]


# What is asked for, and in which order

@test("NAPTR, SRV, A: a whole call to a user of another domain, its Request-URI untouched")
def naptr_srv_address():
    records = naptr("example.test", "SIP+D2U", UDP), srv(UDP, "a.example.test", 5071)
    with Internet(*records, AT_31) as stage:
        bob = stage.peer("bob", 31, 5071)
        seen = stage.call(FAR, bob)
        equal((seen.uri, seen.values("Route")), (FAR, []), "Request-URI and Route")
        equal(top_transport(seen), "SIP/2.0/UDP", "transport")
        equal(stage.asked(TCP), [], "questions for a transport that NAPTR did not name")
        for question in (("example.test", "NAPTR"), (UDP, "SRV"), ("a.example.test", "A")):
            true(question in stage.asked(), f"{question} was asked: {stage.asked()}")


@test("NAPTR leads to whatever SRV name it says, not to the usual one")
def naptr_replacement():
    records = naptr("example.test", "SIP+D2U", "servers.other.test"), srv("servers.other.test", "a.example.test", 5071)
    usual = srv(UDP, "wrong.example.test", 5072)
    with Internet(*records, usual, AT_31, host("wrong.example.test", 32)) as stage:
        bob, wrong = stage.peer("bob", 31, 5071), stage.peer("wrong", 32, 5072)
        stage.arrives(FAR, bob)
        wrong.silent(0.1)


@test("SRV without NAPTR: its target and port; an address of the domain itself is not used")
def srv_alone():
    with Internet(srv(UDP, "a.example.test", 5071), AT_31, host("example.test", 32)) as stage:
        bob, wrong = stage.peer("bob", 31, 5071), stage.peer("wrong", 32)
        stage.call(FAR, bob)
        wrong.silent(0.1)


@test("SRV for TCP alone: TCP is what the domain offers, and it is used")
def srv_tcp_alone():
    with Internet(srv(TCP, "a.example.test", 5071), AT_31, tcp=True) as stage:
        seen = stage.call(FAR, stage.stream("bob", 31, 5071))
        equal(top_transport(seen), "SIP/2.0/TCP", "transport")


@test("neither NAPTR nor SRV: the address of the name, UDP, port 5060")
def address_alone():
    with Internet(host("example.test", 31)) as stage:
        seen = stage.call(FAR, stage.peer("bob", 31))
        equal((seen.uri, top_transport(seen)), (FAR, "SIP/2.0/UDP"), "Request-URI and transport")


@test("an explicit port, 5060 too: the address of the name and that port; neither NAPTR nor SRV is asked")
def explicit_port():
    decoys = naptr("example.test", "SIP+D2U", UDP), srv(UDP, "wrong.example.test", 5072)
    with Internet(host("example.test", 31), *decoys, host("wrong.example.test", 32)) as stage:
        wrong = stage.peer("wrong", 32, 5072)
        for port in (5075, 5060):
            bob = stage.peer("bob", 31, port)
            stage.arrives(f"{FAR}:{port}", bob)
            stage.arrives(f"{FAR}:{port};transport=udp", bob)
        wrong.silent(0.1)
        equal([kind for _, kind in stage.asked() if kind not in ("A", "AAAA")], [], "questions but for addresses")


@test("transport=tcp: SRV of _sip._tcp and TCP, without NAPTR; transport=UDP likewise; capitals do not matter")
def stated_transport():
    records = (
        naptr("example.test", "SIP+D2U", "wrong.other.test"), srv(TCP, "a.example.test", 5073),
        srv(UDP, "a.example.test", 5071), AT_31)
    with Internet(*records, tcp=True) as stage:
        by_tcp, by_udp = stage.stream("bob", 31, 5073), stage.peer("bob", 31, 5071)
        for transport in ("tcp", "TCP"):
            seen = stage.call(f"{FAR};transport={transport}", by_tcp)
            equal((seen.uri, top_transport(seen)), (f"{FAR};transport={transport}", "SIP/2.0/TCP"), "URI, transport")
        for transport in ("udp", "Udp"):
            equal(top_transport(stage.arrives(f"{FAR};transport={transport}", by_udp)), "SIP/2.0/UDP", "transport")
        equal(stage.asked(kind="NAPTR"), [], "NAPTR questions")


@test("transport=tcp without SRV: the address of the name, port 5060, by TCP")
def tcp_address():
    with Internet(host("example.test", 31), tcp=True) as stage:
        by_udp, by_tcp = stage.peer("bob", 31), stage.stream("bob", 31)
        equal(top_transport(stage.call(f"{FAR};transport=tcp", by_tcp)), "SIP/2.0/TCP", "transport")
        stage.arrives(f"{FAR}:5060;transport=tcp", by_tcp)
        by_udp.silent(0.1)


@test("NAPTR: TCP before UDP where order says so, or preference within one order")
def naptr_chooses():
    targets = srv(TCP, "a.example.test", 5073), srv(UDP, "a.example.test", 5071)
    for tcp, udp, name in (
            ((10, 50), (20, 10), "SIP/2.0/TCP"), ((20, 10), (10, 50), "SIP/2.0/UDP"),
            ((10, 20), (10, 50), "SIP/2.0/TCP"), ((10, 50), (10, 20), "SIP/2.0/UDP")):
        rules = naptr("example.test", "SIP+D2T", TCP, *tcp), naptr(
            "example.test", "SIP+D2U", UDP, *udp)
        with Internet(*rules, *targets, AT_31, tcp=True) as stage:
            by_tcp, by_udp = stage.stream("bob", 31, 5073), stage.peer("bob", 31, 5071)
            seen = stage.arrives(FAR, by_tcp if name == "SIP/2.0/TCP" else by_udp)
            equal(top_transport(seen), name, f"transport, TCP at {tcp}, UDP at {udp}")


@test("NAPTR: what we do not speak is passed over, though it stands first (TLS, SCTP, other services)")
def naptr_unknown():
    rules = [
        naptr("example.test", service, f"_{number}.example.test", number)
        for number, service in enumerate(("SIPS+D2T", "SIP+D2S", "SIP+D2W", "E2U+sip", "x"))]
    rules.append(naptr("example.test", "SIP+D2U", UDP, 50))
    decoys = [srv(f"_{number}.example.test", "wrong.example.test", 5072) for number in range(5)]
    target = srv(UDP, "a.example.test", 5071)
    with Internet(*rules, *decoys, target, AT_31, host("wrong.example.test", 32)) as stage:
        wrong = stage.peer("wrong", 32, 5072)
        stage.call(FAR, stage.peer("bob", 31, 5071))
        wrong.silent(0.1)


@test("NAPTR prefers TCP, but there is no TCP listener here: UDP")
def naptr_without_listener():
    records = (
        naptr("example.test", "SIP+D2T", TCP, 10),
        naptr("example.test", "SIP+D2U", UDP, 20),
        srv(TCP, "a.example.test", 5071), srv(UDP, "a.example.test", 5071))
    with Internet(*records, AT_31) as stage:
        equal(top_transport(stage.call(FAR, stage.peer("bob", 31, 5071))), "SIP/2.0/UDP", "transport")


@test("CNAMEs: of the SRV target, of the domain, in a chain")
def aliases():
    records = (
        srv(UDP, "b.example.test", 5071), alias("b.example.test", "a.example.test"), AT_31,
        alias("c.example.test", "d.example.test"), alias("d.example.test", "a.example.test"))
    with Internet(*records, rogue=True) as stage:
        bob, other = stage.peer("bob", 31, 5071), stage.peer("bob", 31)
        stage.arrives(FAR, bob)
        stage.arrives("sip:bob@c.example.test", other)
        stage.arrives("sip:bob@c.example.test:5071", bob)


@test("capitals, a dot at the end: the same name, asked for once, and the Request-URI stays as it was")
def spelling():
    with Internet(srv(UDP, "A.Example.Test", 5071), AT_31) as stage:
        bob = stage.peer("bob", 31, 5071)
        stage.arrives(FAR, bob)
        before = stage.asked()
        for uri in ("sip:bob@EXAMPLE.TEST", "sip:bob@Example.test", "SIP:bob@eXample.tesT"):
            equal(stage.arrives(uri, bob).uri, uri, "Request-URI")
        equal(stage.asked(), before, "questions after the first spelling was known")
        equal(stage.arrives("sip:bob@example.test.", bob).uri, "sip:bob@example.test.", "Request-URI")


@test("a name with an IPv6 address alone: from the listener of that family")
def six():
    with Internet(six=True) as stage:
        bob = stage.peer("bob", "::1", 0)
        stage.server.restart([srv(UDP, "six.example.test", bob.port), host("six.example.test", "::1")])
        seen = stage.call(FAR, bob)
        true(seen.values("Via")[0].startswith("SIP/2.0/UDP [::1]:"), f"Via: {seen.values('Via')[0]}")
        stage.arrives(f"sip:bob@six.example.test:{bob.port}", bob)


@test("without an IPv6 listener: of a name with both families the IPv4 address, with IPv6 alone 500")
def four_only():
    both = host("example.test", "2001:db8::1"), host("example.test", 31)
    with Internet(*both, host("six.example.test", "2001:db8::1")) as stage:
        stage.arrives(FAR, stage.peer("bob", 31))
        stage.fails("sip:bob@six.example.test", 500)


# Who is not asked for

@test("no questions: numeric hosts, localhost, our own domain, tel: and REGISTER")
def not_asked():
    with Internet(tcp=True) as stage:
        bob, local, stream = stage.peer("bob", 31), stage.peer("local", "127.0.0.1", 0), stage.stream("bob", 32)
        bob.register()
        for uri in (f"sip:x@{bob.host}", f"sip:x@{bob.host}:5060", "sip:bob@example.org", "sip:bob@EXAMPLE.ORG:5060"):
            stage.arrives(uri, bob)
        stage.arrives("sip:bob@example.org", bob, routes=["<sip:example.org;lr>"])
        stage.arrives(f"sip:bob@localhost:{local.port}", local)
        stage.arrives(f"sip:x@{stream.host};transport=tcp", stream)
        stage.fails("sip:nobody@example.org", 404, 480)
        stage.fails("tel:+4930123456", 404, 480)
        stage.fails("sip:bob@[2001:db8::1]", 500)
        equal(stage.asked(), [], "questions")


@test("the sent-by of a request's Via is a name: the answer goes where the request came from, and nobody is asked")
def via_name():
    with Internet(host("example.test", 31)) as stage:
        bob = stage.peer("bob", 31)
        bob.register()
        via = f"SIP/2.0/UDP phone.example.test:{stage.alice.port};branch=z9hG4bKname"
        seen = stage.arrives("sip:bob@example.org", bob, via=via)
        equal(parameter(seen.values("Via")[1], "received"), stage.alice.host, "received")
        equal(stage.asked(), [], "questions")


@test("who may not relay is refused before anything is asked")
def refused_first():
    with Internet(host("example.test", 31), access={"relay-from": ["192.0.2.1"]}) as stage:
        stage.fails(FAR, 403)
        equal(stage.asked(), [], "questions")


# Where a name can stand

@test("a name in a Route header, with and without SRV, loose and strict")
def in_route():
    records = srv("_sip._udp.edge.test", "a.example.test", 5071), AT_31, host("plain.test", 32)
    with Internet(*records) as stage:
        edge, plain = stage.peer("edge", 31, 5071), stage.peer("plain", 32)
        ours = f"<sip:{stage.proxy.address[0]}:5060;lr>"
        for peer, route in ((edge, "sip:edge.test"), (plain, "sip:plain.test"), (edge, "sip:a.example.test:5071")):
            seen = stage.arrives("sip:bob@far.invalid", peer, routes=[ours, f"<{route};lr>"])
            equal((seen.uri, seen.values("Route")), ("sip:bob@far.invalid", [f"<{route};lr>"]), "Request-URI and Route")
            seen = stage.arrives("sip:bob@far.invalid", peer, routes=[f"<{route}>"])
            equal((seen.uri, seen.values("Route")), (route, ["<sip:bob@far.invalid>"]), "at a strict router")
        equal(stage.asked("far.invalid"), [], "questions for a Request-URI behind a Route")


@test("a registered contact with a name; CANCEL and the ACK to a failure go after their INVITE")
def in_contact():
    with Internet(srv("_sip._udp.phones.test", "a.example.test", 5071), AT_31) as stage:
        bob = stage.peer("bob", 31, 5071)
        bob.register(contact="<sip:bob@phones.test>")
        equal(stage.call("sip:bob@example.org", bob).uri, "sip:bob@phones.test", "Request-URI")
        invite = stage.sends("sip:bob@example.org", "INVITE")
        seen = bob.expect("INVITE", ANSWER)
        bob.answer(seen, 180)
        stage.alice.answer_of(invite, 180)
        stage.alice.cancel(invite)
        stage.alice.expect(200)
        cancel = bob.expect("CANCEL")
        is_hop_by_hop(cancel, seen)
        bob.answer(cancel, 200)
        bob.answer(seen, 487)
        is_hop_by_hop(bob.expect("ACK"), seen)
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 487))


@test("two contacts, a name that leads nowhere and a numeric one: the call is the other's")
def one_of_two():
    with Internet() as stage:
        bob = stage.peer("bob", 31)
        bob.register(contact="<sip:bob@nowhere.test>")
        bob.register()
        stage.call("sip:bob@example.org", bob)
        invite = stage.sends("sip:bob@example.org", "INVITE")
        bob.answer(bob.expect("INVITE", ANSWER), 486)
        bob.expect("ACK")
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 486))


@test("a name in [[route]] to, the Request-URI untouched; the next one when it leads nowhere")
def in_configured_route():
    routes = [{"user": "+1", "to": ["sip:gw.test"]}, {"user": "+2", "to": ["sip:nowhere.test", "sip:gw.test"]}]
    with Internet(srv("_sip._udp.gw.test", "a.example.test", 5071), AT_31, route=routes) as stage:
        gateway = stage.peer("gw", 31, 5071)
        for uri in ("sip:+1@example.org", "sip:+1@far.invalid", "sip:+2@example.org"):
            seen = stage.call(uri, gateway)
            equal((seen.uri, seen.values("Route")), (uri, []), "Request-URI and Route")
        equal(stage.asked("far.invalid"), [], "questions for the Request-URI")


@test("a name with transport=tcp in [[route]] to")
def in_configured_route_tcp():
    routes = [{"user": "+1", "to": ["sip:gw.test;transport=tcp"]}]
    with Internet(srv("_sip._tcp.gw.test", "a.example.test", 5073), AT_31, tcp=True, route=routes) as stage:
        seen = stage.call("sip:+1@example.org", stage.stream("gw", 31, 5073))
        equal(top_transport(seen), "SIP/2.0/TCP", "transport")


@test("a name in a Path: the call goes there, the contact behind it is not asked for")
def in_path():
    with Internet(srv("_sip._udp.edge.test", "a.example.test", 5071), AT_31) as stage:
        edge = stage.peer("edge", 31, 5071)
        stage.alice.register(
            user="bob", contact="<sip:bob@phone.invalid>",
            headers=[("Path", "<sip:edge.test;lr>"), ("Supported", "path")])
        seen = stage.call("sip:bob@example.org", edge)
        equal((seen.uri, seen.values("Route")), ("sip:bob@phone.invalid", ["<sip:edge.test;lr>"]), "Request-URI, Route")
        equal(stage.asked("phone.invalid"), [], "questions for the contact")


@test("maddr with a name: that is asked for instead of the host (RFC 3263 §4)")
def in_maddr():
    with Internet(srv(UDP, "a.example.test", 5071), AT_31) as stage:
        bob = stage.peer("bob", 31, 5071)
        stage.arrives("sip:bob@elsewhere.invalid;maddr=example.test", bob)
        stage.arrives("sip:bob@elsewhere.invalid:5071;maddr=a.example.test", bob)
        equal(stage.asked("elsewhere.invalid"), [], "questions for the host")


@test("a call whose parties call themselves by names: ACK to the 2xx, re-INVITE and BYE find them")
def dialog_by_names():
    records = srv("_sip._udp.pc.test", "a.example.test", 5071), AT_31, host("edge.test", 32), host("alice.test", 2)
    with Internet(*records) as stage:
        bob, edge, alice = stage.peer("bob", 31, 5071), stage.peer("edge", 32), stage.alice
        bob.register()
        bob.uri, alice.uri = "sip:bob@pc.test", f"sip:alice@alice.test:{alice.port}"
        invite = stage.sends("sip:bob@example.org", "INVITE")
        seen = bob.expect("INVITE")
        ok = bob.answer(seen, 200)
        dialog = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
        equal(dialog.target, "sip:bob@pc.test", "remote target")
        alice.send(dialog.request("ACK"))
        equal(bob.expect("ACK", ANSWER).uri, "sip:bob@pc.test", "Request-URI of the ACK")
        again = alice.send(dialog.request("INVITE"))
        bob.answer(bob.expect("INVITE"), 200)
        alice.answer_of(again, 200)
        # Where there is a name in Route, that counts. The first ACK to a name must wait for DNS, too.
        dialog.routes.append("<sip:edge.test;lr>")
        alice.send(dialog.request("ACK"))
        equal(edge.expect("ACK", ANSWER).uri, "sip:bob@pc.test", "Request-URI of the ACK behind a Route")
        back = Dialog.of_callee(bob, seen, ok)
        bye = bob.send(back.request("BYE"))
        alice.answer(alice.expect("BYE", ANSWER), 200)
        bob.answer_of(bye, 200)


# Names that are trouble

@test("a name that leads back to us: the loop is found, 482")
def loop():
    with Internet(host("example.test", 1)) as stage:
        stage.fails(FAR, 482)
        stage.fails(FAR, 482, method="MESSAGE")


@test("names that DNS cannot have (too long, empty labels): refused, and not asked for")
def impossible():
    with Internet() as stage:
        for name in ("x" * 64 + ".test", ".".join(["abcdefgh"] * 40) + ".test", "a..test"):
            stage.fails(f"sip:bob@{name}", 400, 500)
        equal([name for name, _ in stage.asked() if name != "nowhere.test"], [], "questions")
        stage.fails("sip:bob@nowhere.test", 500)


@test("a transport that we do not speak: refused, whatever the name has")
def unspoken():
    with Internet(host("example.test", 31), srv(TCP, "example.test", 5060)) as stage:
        bob = stage.peer("bob", 31)
        for transport in ("tls", "sctp", "tcp", "x"):
            final = stage.fails(f"{FAR};transport={transport}", 400, 416, 500, 501)
            true(final.reason != "", f"a reason for {transport}")
        bob.silent(0.1)
