"""RFC 3665, 3.8 to 3.11: the calls that fail, through two proxies; and sipp as both phones of a call that does not.

The cast and the remarks of rfc3665.py hold here too. Proxy 1's Proxy-Authorization is left out.
"""

import select

from harness import FAST_TIMERS
from sipp import PORT, Sipp
from testing import equal, test, true
from topology import ATLANTA, BILOXI, Chain, cancelled, service, way_to
from ua import UA
from waiting import eventually


def gives_up(chain, seen):
    """Alice's CANCEL: each hop answers it by itself, and sends its own on (3.8 F9 to F14)."""
    cancel = chain.alice.cancel(seen[0])
    chain.alice.answer_of(cancel, 200)
    wire = chain.wires[0]
    cancelled(wire.east("CANCEL"), seen[1])
    ok = wire.west(200)
    equal(ok.get("CSeq"), f"{cancel.cseq} CANCEL", "CSeq of proxy 2's 200")
    equal([via.split(";")[0] for via in ok.values("Via")], [seen[1].values("Via")[0].split(";")[0]], "Via of this 200")
    received = chain.bob.expect("CANCEL")
    cancelled(received, seen[2])
    chain.bob.answer(received, 200, "OK")


@test("RFC 3665 3.8: no answer: CANCEL is answered hop by hop, the 487 acknowledged hop by hop (F1 to F20)")
def no_answer():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call()
        chain.rings(seen[-1])
        gives_up(chain, seen)
        chain.refuses(seen, 487, "Request Terminated")


@test("RFC 3665 3.8: Bob's 200 crosses the CANCEL: it reaches Alice, who sends ACK and BYE")
def crossing():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call()
        chain.rings(seen[-1])
        gives_up(chain, seen)
        outgoing, _ = chain.answers(seen[0], seen[-1])
        bye = chain.carry(chain.alice.send(outgoing.request("BYE")))[-1]
        chain.carry(chain.bob.answer(bye, 200, "OK"), west=True)
        chain.over()


@test("RFC 3665 3.9: busy: the 486 goes back hop by hop, and so do its ACKs (F1 to F11)")
def busy():
    with Chain(ATLANTA, BILOXI) as chain:
        chain.refuses(chain.call(), 486, "Busy Here")


@test("RFC 3665 3.10: no response from the user agent: one INVITE up to seven times, then 408 (F1 to F15)")
def no_response():
    # The RFC draws 480 for F12; RFC 3261 §16.7 (step 6) and §16.8 say 408 for a fork that has timed out.
    with Chain(ATLANTA, BILOXI, settings={ATLANTA: {"timers": {}}, BILOXI: {"timers": FAST_TIMERS}}) as chain:
        seen = chain.call()
        west = chain.wires[0].westward.socket
        eventually(lambda: select.select([west], [], [], 0)[0], "the end of proxy 2's patience", 15)
        copies = chain.bob.drain()
        equal({copy.raw for copy in copies}, {seen[-1].raw}, "F6 to F11: resends of F4")
        true(4 <= len(copies) <= 6, f"six resends, or fewer on a busy machine: {len(copies)}")
        final = chain.goes_back(seen, 408)
        true(final.tag(), "the 408 has a To tag")


@test("RFC 3665 3.11: temporarily unavailable: the 480 comes after it rang (F1 to F14)")
def unavailable():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call()
        chain.rings(seen[-1])
        chain.refuses(seen, 480, "Temporarily Unavailable")


@test("RFC 3665 3.2: 100 such calls between two sipp, Bob hangs up", limit=90)
def sipp_calls():
    timers = {"timers": {"t1": 200, "t2": 1600, "t4": 2000}}
    near, far = service(ATLANTA, timers, advertise=False), service(BILOXI, timers, advertise=False)
    routes = ", ".join([f"<sip:ss1.{ATLANTA};lr>", *way_to(near, far)])
    with near, far:
        with UA("bob", far.prefix + "202", far.address, domain=BILOXI) as registrant:
            registrant.register(contact=f"<sip:bob@{far.prefix}201:{PORT}>")
        with Sipp("bob", far.prefix + "201", far.address, listens=True) as bob:
            with Sipp(
                    "alice", near.prefix + "101", near.address, "-key", "preloaded", routes, "-m", "100", "-r", "50",
                    "-timeout", "60s", "-timeout_error", "-recv_timeout", "20000") as alice:
                code = alice.wait(70)
                calls = alice.counters()
                bob.stop()
                answered = bob.counters()
        equal(calls["FailedCall"], 0, "failed calls")
        equal(calls["SuccessfulCall"], 100, "successful calls")
        equal(code, 0, "sipp's exit status")
        equal(answered["IncomingCall"], 100, "calls that came to Bob")
        equal(answered["SuccessfulCall"], 100, "calls that Bob saw through")
