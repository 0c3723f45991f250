"""The journal: fields, explanations, and what happens without it."""

import contextlib
import re

from malformed import without
from marks import step
from peers import establish, hang_up, refuse
from service import CATALOGUE, CONFIGURATION, UNIT
from testing import contains, equal, true
from waiting import eventually


@step("the journal has each field of a failed call, and journalctl finds it by any")
def journal_fields(service):
    with service.phone("alice", "127.0.0.2") as alice, service.phone("carol", "127.0.0.4") as carol:
        carol.register()
        invite = alice.invite("carol")
        refuse(carol, carol.expect("INVITE"), 486, "Busy Here")
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        entries = service.await_journal(f"SIP_CALL_ID={invite.get('Call-ID')}")
        equal(len(entries), 1, "entries of the call")
        entry = entries[0]
        wanted = {
            "PRIORITY": "6", "SIPFORK_EVENT": "call-failed", "SIP_METHOD": "INVITE", "SIP_STATUS": "486",
            "SIP_FROM": invite.get("From"), "SIP_TO": invite.get("To"), "SIP_BRANCH": invite.branch,
            "SIP_PEER": f"udp:127.0.0.2:{alice.port}", "SYSLOG_IDENTIFIER": "sipfork",
            "MESSAGE": "call failed: 486 Busy Here for sip:carol@localhost", "_SYSTEMD_UNIT": UNIT}
        equal({name: entry.get(name) for name in wanted}, wanted, "fields of the entry")
        true(re.fullmatch(r"worker \d+", entry["SIPFORK_PROCESS"]), f"SIPFORK_PROCESS: {entry['SIPFORK_PROCESS']}")
        true(re.fullmatch(r"[0-9a-f]{32}", entry["MESSAGE_ID"]), f"MESSAGE_ID: {entry['MESSAGE_ID']}")
        for name in ("SIPFORK_EVENT", "SIP_STATUS", "SIP_PEER", "MESSAGE_ID", "SIP_BRANCH"):
            found = [one.get("SIP_CALL_ID") for one in service.journal(f"{name}={entry[name]}")]
            true(invite.get("Call-ID") in found, f"the call among the entries with {name}={entry[name]}")


@step("the journal tells of a malformed message")
def journal_malformed(service):
    with service.phone("mallory", "127.0.0.5") as mallory:
        request = mallory.request("OPTIONS", "sip:127.0.0.1")
        mallory.send(without(request, "CSeq"))
        mallory.expect(400)
        entry = service.await_journal("SIPFORK_EVENT=malformed-message", f"SIP_PEER=udp:127.0.0.5:{mallory.port}")[-1]
        equal(entry["PRIORITY"], "5", "PRIORITY")
        contains(entry["MESSAGE"], "CSeq", "MESSAGE")


@step("journalctl -x explains a failed call, with its fields in the text")
def explained(service):
    with service.phone("alice", "127.0.0.2") as alice:
        invite = alice.invite("nobody")
        alice.ack_failure(invite, alice.answer_of(invite, 480))
        call_id = invite.get("Call-ID")
        entry = service.await_journal(f"SIP_CALL_ID={call_id}")[0]
        text = service.explained(f"SIP_CALL_ID={call_id}")
    subject = CATALOGUE.subjects[entry["MESSAGE_ID"]]
    contains(text, "Subject: " + subject.replace("@SIP_STATUS@", "480"), "journalctl -x")
    contains(text, f"Its Call-ID is {call_id}", "the call's identifier in the explanation")
    # A command to paste has nothing in it that a caller chose.
    contains(text, "journalctl -u sipfork SIP_CALL_ID='...'", "the command for its entries")
    contains(text, "man:sipforkd(8)", "where to read on")


@step("control characters that a caller chose reach neither the terminal nor a field of the journal")
def harmless(service):
    evil = "\x1b[31mEvil\x1b]0;pwned\x07"
    with service.phone("alice", "127.0.0.2") as alice:
        invite = alice.invite("nobody", from_=f'"{evil}" <{alice.aor}>;tag=1')
        alice.ack_failure(invite, alice.answer_of(invite, 480))
        call_id = invite.get("Call-ID")
        entries = service.await_journal(f"SIP_CALL_ID={call_id}")
        text = service.explained(f"SIP_CALL_ID={call_id}")
    true(any("Evil" in value for entry in entries for value in values(entry)), f"the name in some field: {entries}")
    for entry in entries:
        for name in entry:
            # The message itself is kept byte for byte; sipforkctl ladder makes it harmless.
            if name != "SIP_MESSAGE":
                true(not any(controls(value) for value in values(entry, name)), f"{name}: {entry[name]!r}")
    contains(text, "Evil", "journalctl -x")
    true(not controls(text.replace("\n", "")), f"control characters in journalctl -x: {text!r}")


def controls(text):
    return re.search("[\x00-\x1f\x7f]", text)


def values(entry, *names):
    """All values of these fields, or of all. In JSON, a value that is no clean text is an array of bytes, and a field
    that is there twice is an array of values.
    """
    found = []
    for name in names or entry:
        value = entry[name]
        several = isinstance(value, list) and not all(isinstance(each, int) for each in value)
        for each in value if several else [value]:
            found.append(bytes(each).decode(errors="replace") if isinstance(each, list) else str(each))
    return found


@step("every kind of entry so far has a text in the catalogue, without a hole in it")
def all_explained(service):
    seen = {entry["MESSAGE_ID"]: entry for entry in service.journal() if "SIPFORK_EVENT" in entry
            and entry["SIPFORK_EVENT"] != "note"}
    true(len(seen) >= 6, f"kinds of entries: {sorted(entry['SIPFORK_EVENT'] for entry in seen.values())}")
    for identifier, entry in seen.items():
        true(identifier in CATALOGUE.texts, f"{entry['SIPFORK_EVENT']} in the catalogue")
        for name in re.findall(r"@([A-Z_]+)@", CATALOGUE.texts[identifier]):
            true(name in entry, f"{entry['SIPFORK_EVENT']} has the field {name}")


def dropped(service):
    return service.ctl("status")["counters"]["log_entries_dropped"]


@contextlib.contextmanager
def stopped_journald(service):
    """journald stands still, and takes no more: its socket is full, and so is the ring of at least one process."""
    before = dropped(service)
    pid = service.run("systemctl", "show", "systemd-journald", "--property=MainPID", "--value").stdout.strip()
    service.run("kill", "-STOP", pid)
    try:
        with service.phone("alice", "127.0.0.2") as alice:
            # Long entries, so that it does not take long.
            for _ in range(200):
                for _ in range(25):
                    fail_long(alice)
                if dropped(service) > before:
                    break
        true(dropped(service) > before, "entries are dropped")
        yield
    finally:
        service.run("kill", "-CONT", pid)


@step("a stopped journald stalls nothing: calls go on, what is dropped is counted and told")
def stopped_journal(service):
    with stopped_journald(service):
        with service.phone("alice", "127.0.0.2") as alice, service.phone("bob", "127.0.0.3") as bob:
            bob.register()
            hang_up(*establish(alice, bob))
        true(not service.starting(), "every process is ready")

    def told():
        entries = service.journal("SIPFORK_EVENT=log-dropped")
        return sum(int(entry["MESSAGE"].split()[0]) for entry in entries) == dropped(service) and entries

    entries = eventually(told, "all that was dropped to be told", 10, interval=0.2)
    equal({entry["PRIORITY"] for entry in entries}, {"4"}, "PRIORITY")
    with service.phone("alice", "127.0.0.2") as alice:
        service.await_journal(f"SIP_CALL_ID={fail_long(alice).get('Call-ID')}")
    equal(service.show("NRestarts"), "0", "restarts by systemd")


@step("a stopped journald does not hold up a reload, nor a restart")
def reload_without_journal(service):
    good = service.container.read(CONFIGURATION)
    try:
        with stopped_journald(service):
            service.configure(("domains", 'domains = ["localhost", "example.org", "example.com"]'))
            equal(
                service.run("sipforkctl", "reload").stdout.split("\n"), ["reloaded: server.domains", ""],
                "what the reload says")
            true(not service.starting(), "every process is ready")
            service.run("systemctl", "restart", UNIT, timeout=40)
            with service.phone("alice", "127.0.0.2") as alice, service.phone("bob", "127.0.0.3") as bob:
                bob.register()
                hang_up(*establish(alice, bob))
    finally:
        service.container.write(CONFIGURATION, good)
        # It may hang still where the step has failed.
        eventually(lambda: service.show("ActiveState") == "active", "an active service", 120)
        service.run("systemctl", "restart", UNIT)


def fail_long(caller):
    """A call to nobody whose entry has as much text as an entry takes; gives its INVITE."""
    name = "x" * 900
    invite = caller.invite(
        "nobody", from_=f'"{name}" <{caller.aor}>;tag=1', to=f'"{name}" <sip:nobody@{caller.domain}>')
    caller.ack_failure(invite, caller.answer_of(invite, 480))
    return invite
