"""One call followed: traced into the journal, found there by its fields, and drawn from it."""

import json

from marks import step
from peers import accept_cancel, establish, hang_up, refuse
from testing import contains, equal, true

SECRET = "6629fae49393a05397450978507c4ef1"


def raw(entry):
    """The bytes of a traced message; journalctl writes text with a CR in it as numbers."""
    value = entry["SIP_MESSAGE"]
    return value.encode() if isinstance(value, str) else bytes(value)


def way(entry):
    """In or out, and the method or status."""
    return entry["SIPFORK_DIRECTION"], entry["MESSAGE"].split()[1]


# Two phones; one declines for both, so the other one is cancelled.
CALL = [
    ("in", "INVITE"), ("out", "INVITE"), ("out", "INVITE"), ("in", "180"), ("out", "180"), ("in", "603"),
    ("out", "ACK"), ("out", "CANCEL"), ("in", "200"), ("in", "487"), ("out", "ACK"), ("out", "603"), ("in", "ACK")]


@step("trace: each message of a call is in the journal with its bytes, and no credentials")
def trace(service):
    contains(service.run("sipforkctl", "trace").stdout, "tracing is off", "trace")
    contains(service.run("sipforkctl", "trace", "on", "carol").stdout, "tracing carol since", "trace on")
    digest = f'Digest username="carol", response="{SECRET}"'
    with (
            service.phone("alice", "127.0.0.2") as alice, service.phone("carol", "127.0.0.4") as desk,
            service.phone("carol", "127.0.0.6") as home):
        desk.register(headers=[("Authorization", digest)])
        home.register()
        invite = alice.invite("carol")
        seen = desk.expect("INVITE")
        # Without this it could not be cancelled yet.
        desk.answer(seen, 180, "Ringing")
        alice.answer_of(invite, 180)
        refuse(home, home.expect("INVITE"), 603, "Decline")
        accept_cancel(desk, seen)
        refused = alice.answer_of(invite, 603)
        alice.ack_failure(invite, refused)
        home.register(expires=0)
    service.traced_call = call_id = invite.get("Call-ID")
    entries = service.await_journal("SIPFORK_EVENT=message-traced", f"SIP_CALL_ID={call_id}", count=len(CALL))
    found = sorted(way(entry) for entry in entries)
    # A 100 leaves only where the machine is busy.
    equal([one for one in found if one != ("out", "100")], sorted(CALL), "messages of the call")
    came = next(entry for entry in entries if way(entry) == ("in", "INVITE"))
    left = [raw(entry) for entry in entries if way(entry) == ("out", "INVITE")]
    equal(raw(came), invite.encode(), "the INVITE that came")
    true(seen.raw in left, "the INVITE that left")
    equal([raw(entry) for entry in entries if way(entry) == ("out", "603")], [refused.raw], "the 603 that left")
    equal(came["SIP_PEER"], "udp:127.0.0.2:5062", "SIP_PEER")
    equal(came["SIP_METHOD"], "INVITE", "SIP_METHOD")
    statuses = {entry["SIP_STATUS"] for entry in entries if way(entry) == ("in", "200")}
    equal(statuses, {"200"}, "SIP_STATUS")
    true(came["SIPFORK_HANDLER"].startswith("worker "), f"a worker has it: {came['SIPFORK_HANDLER']}")
    true(0 <= int(came["__REALTIME_TIMESTAMP"]) - int(came["SIPFORK_TIME"]) < 60e6, "written soon after it happened")
    everything = service.run("journalctl", "-u", "sipfork", "-o", "export", "--no-pager").stdout
    contains(everything, "Authorization: ***", "the journal")
    true(SECRET not in everything, "no credentials in the journal")
    status = service.run("sipforkctl", "trace").stdout
    contains(status, "4 calls so far", "trace: three REGISTERs and the call")


@step("ladder draws it: peers, us between them, the fork, and what the service says of the call")
def ladder(service):
    run = ["env", "LC_ALL=C.UTF-8", "COLUMNS=100", "sipforkctl", "ladder", service.traced_call]
    picture = service.run(*run).stdout
    lines = picture.splitlines()
    equal(max(len(line) for line in lines) <= 100, True, "within the terminal's width")
    for text in ("udp:127.0.0.2:5062", "sipfork", "udp:127.0.0.4:5062", "udp:127.0.0.6:5062",
                 "INVITE", "603 Decline", "CANCEL", "ACK", ", fork 0", ", fork 1"):
        contains(picture, text, "the picture")
    rows = [line for line in lines if "▶" in line or "◀" in line]
    equal(len([row for row in rows if " 100 " not in row]), len(CALL), "arrows")
    first = rows[0]
    true(first.startswith("0.000 ") and first.index("INVITE") < first.index("▶"), f"the INVITE comes first: {first}")
    contains(picture, "* call failed: 603", "the service's own entry")
    # A terminal without Unicode.
    ascii_picture = service.run("env", "LC_ALL=C", "sipforkctl", "ladder", service.traced_call).stdout
    true(ascii_picture.isascii() and "INVITE" in ascii_picture, "ASCII")
    entries = json.loads(service.run("sipforkctl", "ladder", "--json", service.traced_call).stdout)
    traced = [entry for entry in entries if entry["event"] == "message-traced" and entry["status"] != 100]
    equal([entry["time_us"] for entry in entries], sorted(entry["time_us"] for entry in entries), "their order")
    equal((len(traced), traced[0]["direction"], traced[0]["method"]), (len(CALL), "in", "INVITE"), "messages")
    forks = {(entry["fork"], entry["peer"]) for entry in traced if entry["fork"] is not None}
    equal({fork for fork, _ in forks}, {0, 1}, "forks")
    equal({peer for _, peer in forks}, {"udp:127.0.0.4:5062", "udp:127.0.0.6:5062"}, "peers of the forks")
    done = service.run("sipforkctl", "ladder", "nobody", check=False)
    equal((done.returncode, done.stdout), (1, ""), "a call that was not traced")
    contains(done.stderr, "sipforkctl trace on", "what to do")


@step("trace off: nothing more is written")
def trace_off(service):
    contains(service.run("sipforkctl", "trace", "off").stdout, "tracing is off", "trace off")
    with service.phone("alice", "127.0.0.2") as alice, service.phone("carol", "127.0.0.4") as carol:
        outgoing, incoming = establish(alice, carol, "carol")
        hang_up(outgoing, incoming)
    equal(service.journal("SIPFORK_EVENT=message-traced", f"SIP_CALL_ID={outgoing.call_id}"), [], "entries")
