"""Calls to a contact that registered through other proxies: the Path is its Route (RFC 3327 §5.4)."""

import contextlib

from harness import FAST_TIMERS, Sipfork
from testing import equal, test
from ua import UA

FAST = {"timers": FAST_TIMERS}


@contextlib.contextmanager
def edge_and_phone(path, settings=None):
    """A service where bob has registered with `path(edge)` as his Path: (proxy, alice, edge, bob)."""
    with Sipfork({**FAST, **(settings or {})}) as proxy, \
            UA("alice", proxy.prefix + "2", proxy.address) as alice, UA("edge", proxy.prefix + "30", proxy.address) as edge, \
            UA("bob", proxy.prefix + "10", proxy.address) as bob:
        lines = [("Path", value) for value in path(edge)] + [("Supported", "path")]
        answer = bob.register(headers=lines)
        equal(answer.values("Path"), [part for value in path(edge) for part in value.split(", ")], "Path of the 200")
        yield proxy, alice, edge, bob


def loose(edge):
    return f"<sip:{edge.host}:{edge.port};lr>"


@test("a call to a contact with a Path goes to the first of it, with the Path as Route and the contact as Request-URI")
def along_the_path():
    further = "<sip:further.example.com;lr;x=y>"
    for path in (lambda edge: [loose(edge)], lambda edge: [loose(edge), further], lambda edge: [f"{loose(edge)}, {further}"]):
        with edge_and_phone(path) as (_, alice, edge, bob):
            wanted = [part for value in path(edge) for part in value.split(", ")]
            for method in ("INVITE", "MESSAGE"):
                request = alice.send(alice.request(method, "sip:bob@example.org"))
                seen = edge.expect(method)
                equal(seen.uri, bob.uri, "Request-URI")
                equal(seen.values("Route"), wanted, "Route")
                edge.answer(seen, 486)
                if method == "INVITE":
                    ack = edge.expect("ACK")
                    equal((ack.uri, ack.values("Route")), (bob.uri, wanted), "Request-URI and Route of the ACK")
                final = alice.answer_of(request, 486)
                if method == "INVITE":
                    alice.ack_failure(request, final)
            bob.silent(0.1)


@test("a Path that begins with a strict router: its URI becomes the Request-URI, the contact the last Route (§16.6 step 6)")
def strict_path():
    further = "<sip:further.example.com;lr>"
    for behind in ([], [further]):
        with edge_and_phone(lambda edge: [", ".join([f"<sip:{edge.host}:{edge.port}>", *behind])]) as (_, alice, edge, bob):
            request = alice.send(alice.request("MESSAGE", "sip:bob@example.org"))
            seen = edge.expect("MESSAGE")
            equal(seen.uri, f"sip:{edge.host}:{edge.port}", "Request-URI")
            equal(seen.values("Route"), [*behind, f"<{bob.uri}>"], "Route")
            edge.answer(seen, 200)
            alice.answer_of(request, 200)


@test("the same phone with and without Path: both are called, each its way; CANCEL follows the Path")
def both_ways():
    with edge_and_phone(lambda edge: [loose(edge)]) as (proxy, alice, edge, bob):
        with UA("bob", proxy.prefix + "11", proxy.address) as second:
            second.register()
            invite = alice.invite("bob")
            first, other = edge.expect("INVITE"), second.expect("INVITE")
            equal(first.values("Route"), [loose(edge)], "Route by the Path")
            equal((other.uri, other.values("Route")), (second.uri, []), "Request-URI and Route without one")
            edge.answer(first, 180)
            # Two forks, perhaps two workers: only what one phone says keeps its order.
            alice.expect(180, ignore=(100,))
            second.answer(other, 200)
            alice.answer_of(invite, 200)
            cancel = edge.expect("CANCEL")
            equal((cancel.uri, cancel.values("Route")), (bob.uri, [loose(edge)]), "Request-URI and Route of the CANCEL")
            edge.answer(cancel, 200)
            edge.answer(first, 487)
            edge.expect("ACK")


@test("a refresh without Path takes it away; the Path is there after a restart")
def refresh_and_restart():
    with edge_and_phone(lambda edge: [loose(edge)]) as (proxy, alice, edge, bob):
        proxy.stop()
        proxy.start()
        request = alice.send(alice.request("MESSAGE", "sip:bob@example.org"))
        seen = edge.expect("MESSAGE")
        equal(seen.values("Route"), [loose(edge)], "Route after a restart")
        edge.answer(seen, 200)
        alice.answer_of(request, 200)
        bob.register(cseq=2)
        request = alice.send(alice.request("MESSAGE", "sip:bob@example.org"))
        seen = bob.expect("MESSAGE")
        equal(seen.values("Route"), [], "Route without Path")
        bob.answer(seen, 200)
        alice.answer_of(request, 200)


@test("a Path by names is not reachable yet: 500, and a Path through this very service leads on to the contact")
def odd_paths():
    with edge_and_phone(lambda edge: ["<sip:edge.example.com;lr>"]) as (proxy, alice, edge, bob):
        request = alice.send(alice.request("MESSAGE", "sip:bob@example.org"))
        alice.answer_of(request, 500)
        ours = f"<sip:{proxy.address[0]}:5060;lr>"
        bob.register(headers=[("Path", ours)], cseq=5)
        request = alice.send(alice.request("MESSAGE", "sip:bob@example.org"))
        seen = bob.expect("MESSAGE")
        equal((seen.uri, seen.values("Route")), (bob.uri, []), "Request-URI and Route")
        bob.answer(seen, 200)
        alice.answer_of(request, 200)
