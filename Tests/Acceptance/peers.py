"""Casts for tests: a caller and registered callees on a test's own addresses."""

import contextlib

from testing import equal, true
from ua import UA, Dialog


class Cast:
    """A caller (alice) and callees that registered, each on an address of its own in the proxy's /24; `q` has the
    preference of each contact, as text, or None for one without.
    """

    def __init__(self, proxy, names, q=()):
        self.stack = contextlib.ExitStack()
        self.proxy = proxy
        self.names = names
        self.q = list(q) + [None] * (len(names) - len(q))

    def __enter__(self):
        try:
            self.caller = self.stack.enter_context(UA("alice", self.proxy.prefix + "2", self.proxy.address))
            self.callees = []
            for index, name in enumerate(self.names):
                callee = UA(name, f"{self.proxy.prefix}{10 + index}", self.proxy.address)
                self.callees.append(self.stack.enter_context(callee))
                q = self.q[index]
                callee.register(contact=f"<{callee.uri}>;q={q}" if q else None)
        except BaseException:
            self.stack.close()
            raise
        return self.caller, self.callees

    def __exit__(self, *_):
        self.stack.close()


def one_callee(proxy):
    """A caller and bob, who has registered one contact."""
    return Cast(proxy, ["bob"])


def three_contacts(proxy):
    """A caller and three phones, all registered for bob, answering with the tags bob1, bob2, bob3."""
    return Cast(proxy, ["bob", "bob", "bob"])


def ranked(proxy, *q):
    """A caller and a phone for each q ("0.7"), all registered for bob, answering with the tags bob1, bob2, ..."""
    return Cast(proxy, ["bob"] * len(q), q)


def is_hop_by_hop(cancel, invite):
    """Checks that a CANCEL or failure ACK belongs to this INVITE's branch, as RFC 3261 §9.1 and §17.1.1.3 want it."""
    equal(cancel.uri, invite.uri, f"Request-URI of {cancel.kind}")
    equal(cancel.values("Via"), invite.values("Via")[:1], f"Via of {cancel.kind}: the INVITE's top one alone")
    equal(cancel.get("CSeq"), f"{invite.cseq} {cancel.kind}", "CSeq")
    equal(cancel.get("Call-ID"), invite.get("Call-ID"), "Call-ID")
    equal(cancel.get("From"), invite.get("From"), "From")


def accept_cancel(callee, invite, tag=None):
    """A callee is cancelled: 200 to the CANCEL, 487 to the INVITE, and the 487 must be acknowledged."""
    cancel = callee.expect("CANCEL", 5)
    is_hop_by_hop(cancel, invite)
    equal(cancel.get("To"), invite.get("To"), "To of the CANCEL")
    callee.answer(cancel, 200, "OK", tag=tag)
    refuse(callee, invite, 487, "Request Terminated", tag=tag)


def refuse(callee, invite, status, reason="", tag=None, **more):
    """A callee answers with a failure, and the proxy must acknowledge it."""
    response = callee.answer(invite, status, reason, tag=tag, **more)
    ack = callee.expect("ACK")
    is_hop_by_hop(ack, invite)
    equal(ack.get("To"), response.get("To"), "To of the ACK")
    return response


def calls(caller, callee, user, invite=None):
    """INVITE and 180; gives the INVITE as it was sent and as it arrived."""
    invite = invite or caller.invite(user)
    seen = callee.expect("INVITE")
    callee.answer(seen, 180, "Ringing")
    caller.answer_of(invite, 180)
    return invite, seen


def establish(caller, callee, user="bob", invite=None):
    """A whole set-up: INVITE, 180, 200, ACK along the route; gives the dialogs of caller and callee."""
    invite, seen = calls(caller, callee, user, invite)
    ok = callee.answer(seen, 200, "OK")
    response = caller.answer_of(invite, 200)
    outgoing = Dialog.of_caller(caller, invite, response)
    caller.send(outgoing.request("ACK"))
    equal(callee.expect("ACK").cseq, invite.cseq, "CSeq of the ACK")
    return outgoing, Dialog.of_callee(callee, seen, ok)


def hang_up(first, second, ignore=()):
    """A BYE from one side of an established call, seen by the other, answered back. What is in `ignore` may come to the
    other before it.
    """
    bye = first.ua.send(first.request("BYE"))
    seen = second.ua.expect("BYE", ignore=ignore)
    equal(seen.get("Call-ID"), first.call_id, "Call-ID of the BYE")
    second.ua.answer(seen, 200, "OK")
    first.ua.answer_of(bye, 200)


def rings(callees, caller, invite):
    """All callees take the INVITE and ring; the caller must see every 180. Gives the INVITEs."""
    invites = []
    for number, callee in enumerate(callees, 1):
        seen = callee.expect("INVITE")
        callee.answer(seen, 180, "Ringing", tag=f"bob{number}")
        invites.append(seen)
    tags = {caller.answer_of(invite, 180).tag() for _ in callees}
    equal(tags, {f"bob{number}" for number in range(1, len(callees) + 1)}, "To tags of the 180s")
    true(len({seen.branch for seen in invites}) == len(callees), "every fork has a branch of its own")
    return invites
