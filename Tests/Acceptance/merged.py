"""Merged requests (RFC 3261 §8.2.2.2): 482 where the proxy is the server itself, and only there (§16.3)."""

from harness import FAST_TIMERS, Sipfork
from peers import one_callee, refuse
from testing import equal, test, true
from ua import UA, token

FAST = {"timers": FAST_TIMERS}


def identity():
    """What a request that was forked on its way has in common in all its copies."""
    return {"call_id": f"{token()}@merged", "from_": f"<sip:alice@example.org>;tag={token()}", "cseq": 7}


def options(caller, **more):
    """OPTIONS to the proxy itself, sent."""
    host, port = caller.proxy
    return caller.send(caller.request("OPTIONS", f"sip:{host}:{port}", **more))


@test("OPTIONS to the proxy that comes by a second way: 482, while the first is remembered; later 200 again")
def merged_options():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        same = identity()
        first = options(alice, **same)
        alice.answer_of(first, 200)
        for _ in range(2):
            second = options(alice, **same)
            alice.answer_of(second, 482)
            alice.send(second)
            alice.answer_of(second, 482, again=True)
        alice.send(first)
        alice.answer_of(first, 200, again=True)
        proxy.idle()
        alice.answer_of(options(alice, **same), 200)


@test("by the domain as well as by the address: the Request-URI does not count")
def merged_by_domain():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        same = identity()
        alice.answer_of(options(alice, **same), 200)
        alice.answer_of(alice.send(alice.request("OPTIONS", "sip:example.org", **same)), 482)


@test("other Call-ID, CSeq, or From tag: another request, 200")
def not_merged():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        same = identity()
        alice.answer_of(options(alice, **same), 200)
        for changed in (
                {"call_id": "other@merged"}, {"cseq": 8}, {"from_": "<sip:alice@example.org>;tag=other"},
                {"call_id": same["call_id"].upper()}):
            alice.answer_of(options(alice, **{**same, **changed}), 200)


@test("with a To tag it is a request in a dialog, not a merged one")
def with_to_tag():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        same = identity()
        alice.answer_of(options(alice, **same), 200)
        request = options(alice, to=f"<sip:{proxy.address[0]}>;tag=there", **same)
        true(alice.expect_final(request).kind != 482, "no 482 to a request with a To tag")


@test("a retransmission has the same branch and sent-by (§17.2.3); the same branch from another host is merged")
def sent_by():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        with UA("other", proxy.prefix + "3", proxy.address) as other:
            same = {**identity(), "branch": "z9hG4bK" + token()}
            first = options(alice, **same)
            alice.answer_of(first, 200)
            other.answer_of(options(other, **same), 482)
            alice.send(first)
            alice.answer_of(first, 200, again=True)


@test("requests for a user are never merged by a proxy: all ways reach the phone, which may say 482 itself")
def forwarded():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for method in ("MESSAGE", "OPTIONS", "INVITE"):
            same = identity()
            requests = [alice.send(alice.request(method, bob.aor, **same)) for _ in range(3)]
            seen = [bob.expect(method) for _ in requests]
            equal(len({message.branch for message in seen}), 3, "branches at the phone")
            final = {}
            for message, status in zip(seen, (486, 482, 482)):
                if method == "INVITE":
                    refuse(bob, message, status)
                else:
                    bob.answer(message, status)
            while len(final) < 3:
                response = alice.receive(3, again=False)
                true(response is not None, f"final responses to {len(final)} of 3 copies only")
                if response.kind >= 200:
                    final[response.branch] = response
            equal(sorted(response.kind for response in final.values()), [482, 482, 486], "final responses")
            equal(set(final), {request.branch for request in requests}, "branches of the final responses")
            if method == "INVITE":
                for request in requests:
                    alice.ack_failure(request, final[request.branch])


def register(caller, path, **same):
    """A REGISTER for alice by as many proxies as `path` has branches, the last one first; the phone's Via is below."""
    request = caller.request(
        "REGISTER", "sip:example.org", to=f"<{caller.aor}>", contact=False,
        headers=[("Contact", f"<{caller.uri}>"), ("Expires", "600")], **same)
    request.fields[:0] = [
        ("Via", f"SIP/2.0/UDP {caller.host}:{caller.port};rport;branch={branch}") for branch in path]
    return caller.send(request)


def branches(count):
    return ["z9hG4bK" + token() for _ in range(count)]


@test("a REGISTER that a proxy before us has forked: 482 to the copy with the same bottom Via, one binding")
def merged_register():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        for depth in (1, 2):
            same = {**identity(), "branch": "z9hG4bK" + token()}
            alice.answer_of(register(alice, branches(depth), **same), 200)
            alice.answer_of(register(alice, branches(depth), **same), 482)
        equal(proxy.status()["bindings"], 1, "bindings")


@test("a phone that sends its REGISTER anew, other branch, same Call-ID and CSeq: the current bindings, no 482")
def register_again():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        same = identity()
        for _ in range(3):
            response = alice.answer_of(register(alice, [], **same), 200)
            equal([value.split(">")[0] for value in response.values("Contact")], ["<" + alice.uri], "Contact")
        for _ in range(2):  # through a proxy: its branch is new, and so is the phone's
            alice.answer_of(register(alice, branches(1), **same), 200)
        equal(proxy.status()["bindings"], 1, "bindings")


@test("a REGISTER with the next CSeq in the same branch below: no 482")
def register_next():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        same = {**identity(), "branch": "z9hG4bK" + token()}
        alice.answer_of(register(alice, branches(1), **same), 200)
        same["cseq"] += 1
        alice.answer_of(register(alice, branches(1), **same), 200)
