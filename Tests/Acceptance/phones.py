"""Real phones: two headless baresip clients register and call each other."""

from baresip import Baresip
from harness import Sipfork
from testing import contains, equal, test
from waiting import eventually


@test("two baresip register; one calls, the other answers by itself; each side hangs up once", limit=90)
def real_call():
    with Sipfork() as proxy:
        with Baresip("alice", proxy.prefix + "20", proxy.address) as alice:
            with Baresip("bob", proxy.prefix + "21", proxy.address, answers=True) as bob:
                for phone in (alice, bob):
                    phone.registered()
                rows = {row["aor"].removeprefix("sip:"): row["contacts"] for row in proxy.ctl("registrations")}
                equal(set(rows), {"alice@example.org", "bob@example.org"}, "who is registered")
                contains(rows["bob@example.org"][0]["uri"], bob.address, "bob's contact")
                for hanging_up, other in ((alice, bob), (bob, alice)):
                    for phone in (alice, bob):
                        phone.events.clear()
                    alice.command("dial", "sip:bob@example.org")
                    alice.expect("CALL_RINGING")
                    for phone in (alice, bob):
                        phone.expect("CALL_ESTABLISHED")
                        phone.expect("CALL_RTPESTAB")  # media arrive: each took the other's SDP
                    hanging_up.command("hangup")
                    for phone in (hanging_up, other):
                        phone.expect("CALL_CLOSED")
        eventually(lambda: proxy.status()["bindings"] == 0, "the end of both bindings when the phones quit", 10)


@test("a baresip calls somebody who is not there, and gives up a call that rings", limit=90)
def failed_calls():
    with Sipfork() as proxy:
        with Baresip("alice", proxy.prefix + "20", proxy.address) as alice:
            with Baresip("bob", proxy.prefix + "21", proxy.address) as bob:
                for phone in (alice, bob):
                    phone.registered()
                alice.command("dial", "sip:nobody@example.org")
                contains(alice.expect("CALL_CLOSED")["param"], "480", "why the call ended")
                alice.command("dial", "sip:bob@example.org")
                bob.expect("CALL_INCOMING")
                alice.expect("CALL_RINGING")
                alice.command("hangup")
                for phone in (bob, alice):
                    phone.expect("CALL_CLOSED")
                alice.command("dial", "sip:bob@example.org")
                bob.expect("CALL_INCOMING")
                bob.command("hangup")
                contains(alice.expect("CALL_CLOSED")["param"], "486", "why the call ended")
