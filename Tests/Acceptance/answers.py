"""The best response of several forks (RFC 3261 §16.7 step 6 and 7)."""

from forks import THREE
from harness import Sipfork
from peers import refuse, rings, three_contacts
from testing import contains, equal, test, true


def best_of(*statuses, headers=None):
    """A call to three phones that refuse with these statuses, in order; gives the caller's final response."""
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        for number, status in enumerate(statuses):
            more = {"headers": headers[number]} if headers else {}
            refuse(phones[number], invites[number], status, tag=f"bob{number + 1}", **more)
        final = alice.expect_final(invite)
        alice.ack_failure(invite, final)
        alice.silent(0.2)
        return final


@test("the lowest class wins: 4xx over 5xx")
def four_over_five():
    equal(best_of(500, 486, 500).kind, 486, "status")


@test("3xx wins over 4xx, and its Contact reaches the caller")
def three_over_four():
    moved = [("Contact", "<sip:bob@elsewhere.example.com>")]
    response = best_of(486, 302, 404, headers=[[], moved, []])
    equal(response.kind, 302, "status")
    equal(response.contact(), "sip:bob@elsewhere.example.com", "Contact")


@test("401 and 407 are merged: all challenges reach the caller")
def challenges():
    digest = 'Digest realm="{}", nonce="n{}", qop="auth"'
    response = best_of(
        401, 407, 486, headers=[
            [("WWW-Authenticate", digest.format("one", 1)), ("WWW-Authenticate", digest.format("two", 2))],
            [("Proxy-Authenticate", digest.format("three", 3))], []])
    true(response.kind in (401, 407), f"status {response.kind}")
    seen = " ".join(response.values("WWW-Authenticate"))
    contains(seen, 'realm="one"', "WWW-Authenticate")
    contains(seen, 'realm="two"', "WWW-Authenticate")
    contains(" ".join(response.values("Proxy-Authenticate")), 'realm="three"', "Proxy-Authenticate")
    equal(len(response.values("WWW-Authenticate")) + len(response.values("Proxy-Authenticate")), 3, "challenges")


@test("503 from all becomes 500: this proxy is not overloaded")
def overloaded_phones():
    equal(best_of(503, 503, 503).kind, 500, "status")


@test("an answer that tells how to try again wins over a plain 486")
def tells_more():
    response = best_of(486, 420, 404, headers=[[], [("Unsupported", "100rel")], []])
    equal(response.kind, 420, "status")
    equal(response.values("Unsupported"), ["100rel"], "Unsupported")
