"""Methods: those of the extensions and those that nobody knows are passed on, in a dialog along its route set.

Every message is compared at every hop, byte by byte, but for Via, Route, Record-Route, Max-Forwards and Max-Breadth
(topology.py). The dialogs go through two proxies, and a test counts the Vias: who misses one is found out.
"""

from message import Message
from testing import equal, test
from topology import ALICE_SDP, ATLANTA, BILOXI, BOB_SDP, BOB_TAG, SDP, Chain, acknowledged, cancelled, returned, trying
from ua import Dialog, token


def asked(chain, request, west=False, uri=None, status=200, reason="OK", **more):
    """A request from one end to the other, and its answer back; gives what the other end received."""
    seen = chain.carry(request, west=west, uri=uri)[-1]
    chain.carry((chain.alice if west else chain.bob).answer(seen, status, reason, **more), west=not west)
    return seen


def within(chain, dialog, method, status=200, reason="OK", answer=(), **more):
    """A request in a dialog and its answer, along the route set of whichever side sends it."""
    request = dialog.ua.send(dialog.request(method, **more))
    west = dialog.ua is chain.bob
    seen = asked(chain, request, west=west, status=status, reason=reason, headers=answer)
    equal(seen.uri, dialog.target, f"Request-URI of {method}: the other side's Contact")
    equal(seen.values("Route"), [], f"Route of {method} behind the last proxy")
    equal(len(seen.values("Via")), 1 + len(chain.proxies), f"Vias of {method}: each proxy was on its way")
    return seen


def to_bob(chain, method, body=b"", **more):
    """A request outside of any dialog, to Bob's address of record."""
    return chain.alice.send(chain.alice.request(method, f"sip:bob@{BILOXI}", routes=chain.routes, body=body, **more))


def invited(chain, dialog):
    """An INVITE within the call from `dialog`'s side, and its 100s; gives it as sent, as seen at each hop, and who has
    it now.
    """
    west = dialog.ua is chain.bob
    other = chain.alice if west else chain.bob
    sent = dialog.ua.send(dialog.request("INVITE", headers=SDP, body=BOB_SDP if west else ALICE_SDP))
    seen = chain.carry(sent, west=west)
    trying(dialog.ua.expect(100), sent)
    trying(chain.wires[0].east(100) if west else chain.wires[0].west(100), seen[1])
    return sent, seen, other


def answered(chain, dialog, sent, seen, other):
    """A 200 to such an INVITE, and its ACK, from end to end."""
    west = dialog.ua is chain.bob
    chain.carry(other.answer(seen[-1], 200, "OK", headers=SDP, body=ALICE_SDP), west=not west)
    ack = chain.carry(dialog.ua.send(dialog.request("ACK")), west=west)[-1]
    equal(ack.cseq, sent.cseq, "CSeq of the ACK")


def refused(chain, dialog, sent, seen, other, status, reason):
    """A failure to such an INVITE, acknowledged hop by hop."""
    west = dialog.ua is chain.bob
    answer = other.answer(seen[-1], status, reason)
    acknowledged(other.expect("ACK"), seen[-1], answer)
    wire = chain.wires[0]
    on_wire = wire.east(status) if west else wire.west(status)
    returned(answer, on_wire)
    acknowledged(wire.west("ACK") if west else wire.east("ACK"), seen[1], on_wire)
    final = dialog.ua.expect(status)
    returned(on_wire, final)
    dialog.ua.ack_failure(sent, final)


@test("PRACK (RFC 3262): reliable 183 and 180 with RSeq, each acknowledged along the route set before the 200")
def prack():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call(headers=[("Supported", "100rel"), ("Require", "100rel"), *SDP])
        received = seen[-1]
        for number, (status, body) in enumerate(((183, BOB_SDP), (180, b"")), 1):
            reliable = chain.bob.answer(
                received, status, "Reliable", tag=BOB_TAG, body=body,
                headers=[("Require", "100rel"), ("RSeq", str(988788 + number)), *(SDP if body else [])])
            arrived = chain.carry(reliable, west=True)[-1]
            equal(arrived.get("RSeq"), str(988788 + number), "RSeq")
            early = Dialog.of_caller(chain.alice, seen[0], arrived)
            early.cseq = number
            rack = [("RAck", f"{988788 + number} {seen[0].cseq} INVITE")]
            equal(within(chain, early, "PRACK", headers=rack).get("RAck"), rack[0][1], "RAck")
        outgoing, incoming = chain.answers(seen[0], received)
        outgoing.cseq = early.cseq
        within(chain, outgoing, "BYE")
        chain.over()


@test("a reliable 183 that comes again (RFC 3262: its PRACK was lost) is forwarded again")
def reliable_again():
    with Chain(BILOXI) as chain:
        seen = chain.call(headers=[("Supported", "100rel"), *SDP])
        headers = [("Require", "100rel"), ("RSeq", "1")]
        for _ in range(3):
            chain.bob.answer(seen[-1], 183, "Session Progress", tag=BOB_TAG, headers=headers)
            equal(chain.alice.expect(183, again=True).get("RSeq"), "1", "RSeq")
        chain.answers(seen[0], seen[-1])


@test("what a user agent requires of another is not the proxy's: Require passes, its 420 or 421 comes back")
def require():
    with Chain(BILOXI) as chain:
        for status, headers in ((420, [("Unsupported", "100rel, foo")]), (421, [("Require", "100rel")])):
            request = to_bob(chain, "MESSAGE", headers=[("Require", "100rel, foo")])
            asked(chain, request, uri=chain.bob.uri, status=status, reason="Extension", headers=headers)


@test("UPDATE (RFC 3311): from both sides, before the answer and after it; a 491 comes back")
def update():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call(headers=[("Allow", "INVITE, ACK, CANCEL, BYE, UPDATE"), *SDP])
        ringing = chain.bob.answer(seen[-1], 180, "Ringing", tag=BOB_TAG)
        early = Dialog.of_caller(chain.alice, seen[0], chain.carry(ringing, west=True)[-1])
        early_bob = Dialog.of_callee(chain.bob, seen[-1], ringing)
        for dialog, body in ((early, ALICE_SDP), (early_bob, BOB_SDP)):
            equal(within(chain, dialog, "UPDATE", headers=SDP, body=body).body, body, "body of the UPDATE")
        outgoing, incoming = chain.answers(seen[0], seen[-1])
        outgoing.cseq, incoming.cseq = early.cseq, early_bob.cseq
        for dialog in (outgoing, incoming):
            within(chain, dialog, "UPDATE", headers=SDP, body=ALICE_SDP)
            within(chain, dialog, "UPDATE", status=491, reason="Request Pending")
        within(chain, outgoing, "BYE")
        chain.over()


@test("re-INVITE from both sides: accepted, refused (488, ACK hop by hop), cancelled; the call lives on")
def re_invite():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call()
        dialogs = chain.answers(seen[0], seen[-1])
        for dialog in dialogs:
            answered(chain, dialog, *invited(chain, dialog))
            refused(chain, dialog, *invited(chain, dialog), 488, "Not Acceptable Here")
            sent, seen, other = invited(chain, dialog)
            west = dialog.ua is chain.bob
            chain.carry(other.answer(seen[-1], 180, "Ringing"), west=not west)
            dialog.ua.answer_of(dialog.ua.cancel(sent), 200)
            wire = chain.wires[0]
            cancelled(wire.west("CANCEL") if west else wire.east("CANCEL"), seen[1])
            equal((wire.east(200) if west else wire.west(200)).get("CSeq"), f"{sent.cseq} CANCEL", "CSeq of the 200")
            cancel = other.expect("CANCEL")
            cancelled(cancel, seen[-1])
            other.answer(cancel, 200, "OK")
            refused(chain, dialog, sent, seen, other, 487, "Request Terminated")
        for dialog in dialogs:
            within(chain, dialog, "OPTIONS")
        within(chain, dialogs[1], "BYE")
        chain.over()


@test("REFER (RFC 3515) in a call: 202, and the NOTIFYs of the other side with their sipfrag come back in it")
def refer():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call()
        outgoing, incoming = chain.answers(seen[0], seen[-1])
        headers = [
            ("Refer-To", f"<sip:carol@{BILOXI}?Replaces=12345%40192.0.2.3%3Bto-tag%3D12%3Bfrom-tag%3D5>"),
            ("Referred-By", f"<sip:alice@{ATLANTA}>")]
        within(chain, outgoing, "REFER", status=202, reason="Accepted", headers=headers)
        for state, fragment in (("active;expires=60", b"SIP/2.0 100 Trying\r\n"), (
                "terminated;reason=noresource", b"SIP/2.0 200 OK\r\n")):
            notify = within(chain, incoming, "NOTIFY", body=fragment, headers=[
                ("Event", "refer"), ("Subscription-State", state), ("Content-Type", "message/sipfrag;version=2.0")])
            equal(notify.body, fragment, "body of the NOTIFY")
        within(chain, incoming, "BYE")


def subscribed(chain, method, headers):
    """A request other than INVITE that begins a dialog: gives the dialogs of both sides."""
    sent = to_bob(chain, method, headers=headers)
    seen = chain.carry(sent, uri=chain.bob.uri)
    equal(len(seen[-1].values("Record-Route")), len(chain.proxies), f"Record-Route values of {method}: a dialog begins")
    contact = ("Contact", f"<{chain.bob.uri}>")
    accepted = chain.bob.answer(seen[-1], 202, "Accepted", tag=BOB_TAG, headers=[contact, ("Expires", "600")])
    arrived = chain.carry(accepted, west=True)[-1]
    equal(arrived.values("Record-Route"), seen[-1].values("Record-Route"), "Record-Route of the 202")
    return Dialog.of_caller(chain.alice, sent, arrived), Dialog.of_callee(chain.bob, seen[-1], accepted)


@test("SUBSCRIBE and NOTIFY (RFC 6665): a dialog with Record-Route; refreshed, notified, ended along its route set")
def subscription():
    with Chain(ATLANTA, BILOXI) as chain:
        event = [("Event", "presence;id=7"), ("Accept", "application/pidf+xml")]
        subscriber, notifier = subscribed(chain, "SUBSCRIBE", [*event, ("Expires", "600")])
        for expires, state in ((600, "active;expires=599"), (0, "terminated;reason=timeout")):
            body = f"<presence entity='pres:bob@{BILOXI}'/>".encode()
            notify = within(chain, notifier, "NOTIFY", body=body, headers=[
                event[0], ("Subscription-State", state), ("Content-Type", "application/pidf+xml")])
            equal(notify.get("Subscription-State"), state, "Subscription-State")
            within(
                chain, subscriber, "SUBSCRIBE", headers=[*event, ("Expires", str(expires))],
                answer=[("Expires", str(expires))])
        within(chain, notifier, "NOTIFY", status=481, reason="Subscription does not exist", headers=event)
        chain.over()


@test("a NOTIFY that overtakes the answer to its SUBSCRIBE finds the subscriber by the request's Record-Route")
def early_notify():
    with Chain(ATLANTA, BILOXI) as chain:
        event = [("Event", "presence")]
        sent = to_bob(chain, "SUBSCRIBE", headers=[*event, ("Expires", "600")])
        seen = chain.carry(sent, uri=chain.bob.uri)[-1]
        headers = [("Contact", f"<{chain.bob.uri}>"), ("Expires", "600")]
        tagged = Message.parse(seen.raw)
        tagged.fields = [(name, value + f";tag={BOB_TAG}" if name == "To" else value) for name, value in tagged.fields]
        notifier = Dialog.of_callee(chain.bob, seen, tagged)
        within(chain, notifier, "NOTIFY", headers=[*event, ("Subscription-State", "active")])
        chain.carry(chain.bob.answer(seen, 200, "OK", tag=BOB_TAG, headers=headers), west=True)
        chain.over()


@test("REFER outside of a call begins a dialog of its own; its NOTIFY comes along the Record-Route")
def lone_refer():
    with Chain(ATLANTA, BILOXI) as chain:
        _, notifier = subscribed(chain, "REFER", [("Refer-To", f"<sip:carol@{BILOXI}>")])
        within(chain, notifier, "NOTIFY", body=b"SIP/2.0 603 Decline\r\n", headers=[
            ("Event", "refer"), ("Subscription-State", "terminated"), ("Content-Type", "message/sipfrag")])


LONE = ("MESSAGE", "INFO", "PUBLISH", "OPTIONS", "NOTIFY", "FROBNICATE", "frobnicate", "A-Z.!%*_+`'~0")


@test("MESSAGE, INFO, PUBLISH, OPTIONS, NOTIFY and methods nobody knows, to an address of record: all pass, and back")
def lone_methods():
    with Chain(ATLANTA, BILOXI) as chain:
        for method in LONE:
            headers = [("Event", "presence"), ("SIP-If-Match", "dx200xyz"), ("Content-Type", "text/plain")]
            answer = [("SIP-ETag", "kwj449x"), ("Expires", "1800"), ("Allow", "INVITE, ACK, FROBNICATE")]
            request = to_bob(chain, method, body=b"Watson, come here.\n", headers=headers)
            equal(asked(chain, request, uri=chain.bob.uri, headers=answer).get("CSeq"), f"1 {method}", "CSeq")
            request = to_bob(chain, method, headers=headers)
            asked(chain, request, uri=chain.bob.uri, status=412, reason="Conditional Request Failed", headers=[
                ("Error-Info", "<sip:not-in-service@example.com>"), ("Warning", '370 example.com "Too \\"small\\""')])
        chain.over()


@test("every method in a call, from both sides, known or not: along the route set and back")
def methods_in_call():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call()
        dialogs = chain.answers(seen[0], seen[-1])
        for method in (*LONE, "REFER", "UPDATE", "PRACK", "SUBSCRIBE"):
            for dialog in dialogs:
                within(chain, dialog, method, body=b"Signal=5\r\nDuration=160\r\n", headers=[
                    ("Content-Type", "application/dtmf-relay"), ("Event", "foo"), ("Refer-To", "<sip:a@b>")])
        within(chain, dialogs[1], "BYE")
        chain.over()


@test("methods are case-sensitive (RFC 3261 §7.1): an \"invite\" is no INVITE, and its failure gets no ACK")
def small_letters():
    with Chain(BILOXI) as chain:
        for method in ("invite", "Invite", "ack", "cancel", "Bye", "Register"):
            asked(chain, to_bob(chain, method), uri=chain.bob.uri, status=486, reason="Busy Here")
        chain.over(0.5)


@test("session timers (RFC 4028): Session-Expires, Min-SE and a 422 pass; so do the refreshes")
def session_timer():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call(headers=[
            ("Supported", "timer"), ("Session-Expires", "120;refresher=uac"), ("Min-SE", "90"), *SDP])
        final = chain.refuses(seen, 422, "Session Interval Too Small", headers=[("Min-SE", "3600")])
        equal(final.get("Min-SE"), "3600", "Min-SE of the 422")
        seen = chain.call(branch="z9hG4bK" + token(), cseq=2, headers=[
            ("k", "timer, path"), ("x", "4000"), ("Min-SE", "3600"), *SDP])
        ok = chain.bob.answer(seen[-1], 200, "OK", tag=BOB_TAG, body=BOB_SDP, headers=[
            ("Require", "timer"), ("Session-Expires", "4000;refresher=uas"), *SDP])
        outgoing = Dialog.of_caller(chain.alice, seen[0], chain.carry(ok, west=True)[-1])
        incoming = Dialog.of_callee(chain.bob, seen[-1], ok)
        chain.carry(chain.alice.send(outgoing.request("ACK")))
        refresh = [("Supported", "timer"), ("Session-Expires", "4000;refresher=uac"), ("Min-SE", "3600")]
        for dialog in (incoming, outgoing):
            within(chain, dialog, "UPDATE", headers=refresh, answer=[("Session-Expires", "4000;refresher=uas")])
        within(chain, incoming, "BYE", headers=[("Reason", 'SIP;cause=408;text="Session expired"')])
        chain.over()
