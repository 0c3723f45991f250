"""Deaths of processes, bad configurations, a port that is taken."""

import socket
import time

from marks import step
from peers import calls, establish, hang_up
from service import CATALOGUE, CONFIGURATION, UNIT
from testing import contains, equal, true
from ua import Dialog
from waiting import eventually


@step("kill -9 of every worker while it rings: the call goes on")
def kill_workers(service):
    with service.phone("alice", "127.0.0.2") as alice, service.phone("carol", "127.0.0.4") as carol:
        carol.register()
        invite, seen = calls(alice, carol, "carol")
        before = len(service.journal("SIPFORK_EVENT=child-died"))
        for index in range(3):
            service.kill_child(f"worker {index}")
        establish_rest(alice, carol, invite, seen)
        entries = service.await_journal("SIPFORK_EVENT=child-died", count=before + 3)[before:]
        for entry in entries:
            equal(entry["PRIORITY"], "3", "PRIORITY of child-died")
            contains(entry["MESSAGE"], "killed by signal 9 (SIGKILL)", "MESSAGE of child-died")
    true(service.is_active(), "the service is active")
    equal(service.show("NRestarts"), "0", "restarts by systemd")


def establish_rest(caller, callee, invite, seen):
    """What is left of a call that rings: 200, ACK, BYE."""
    ok = callee.answer(seen, 200, "OK")
    response = caller.answer_of(invite, 200, ignore=(100, 180))
    outgoing = Dialog.of_caller(caller, invite, response)
    caller.send(outgoing.request("ACK"))
    callee.expect("ACK", ignore=("INVITE",))
    hang_up(outgoing, Dialog.of_callee(callee, seen, ok))


@step("kill -9 of the locator: registrations stay, and new ones are taken")
def kill_locator(service):
    before = service.ctl("registrations")
    service.kill_child("locator")
    equal([row["aor"] for row in service.ctl("registrations")], [row["aor"] for row in before], "registrations")
    with service.phone("alice", "127.0.0.2") as alice, service.phone("dave", "127.0.0.6") as dave:
        dave.register()
        hang_up(*establish(alice, dave, "dave"))


@step("kill -9 of the logger: later entries arrive")
def kill_logger(service):
    service.kill_child("logger")
    with service.phone("alice", "127.0.0.2") as alice:
        invite = alice.invite("nobody")
        alice.ack_failure(invite, alice.answer_of(invite, 480))
        service.await_journal(f"SIP_CALL_ID={invite.get('Call-ID')}", "SIPFORK_EVENT=call-failed")
    deaths = [entry["MESSAGE"] for entry in service.journal("SIPFORK_EVENT=child-died")]
    true(any(text.startswith("logger ") for text in deaths), f"the logger's death among {deaths}")


@step("kill -9 of the master: systemd starts it again; established calls and registrations stay")
def kill_master(service):
    with service.phone("alice", "127.0.0.2") as alice, service.phone("bob", "127.0.0.3") as bob:
        bob.register()
        sides = establish(alice, bob)
        before = service.show("MainPID")
        service.run("kill", "-9", before)
        eventually(
            lambda: service.is_active() and service.show("MainPID") not in ("0", before), "the master's successor", 10)
        equal(service.show("NRestarts"), "1", "restarts by systemd")
        uris = [contact["uri"] for row in service.ctl("registrations", "bob@localhost") for contact in row["contacts"]]
        true(bob.uri in uris, f"bob's new contact among {uris}")
        equal(len(service.processes()), 7, f"processes: {service.processes()}")
        hang_up(*sides)


@step("a broken configuration: exit 78, told where, and no restart loop")
def broken(service):
    good = service.container.read(CONFIGURATION)
    service.configure(("domains", 'domain = ["localhost"]'), ("workers", 'workers = "many"'))
    try:
        refused(service)
    finally:
        service.container.write(CONFIGURATION, good)
        service.start()
    true(service.is_active(), "active again")


def refused(service):
    before = len(service.journal("SIPFORK_EVENT=configuration-refused"))
    done = service.run("sipforkd", "-t", check=False)
    equal(done.returncode, 78, "exit status of sipforkd -t")
    contains(done.stderr + done.stdout, 'sipfork.toml:13:1: unknown key "server.domain"', "what sipforkd -t says")
    true(service.run("systemctl", "restart", UNIT, check=False).returncode != 0, "systemctl restart must fail")
    equal(service.show("ActiveState", "ExecMainStatus"), ["failed", "78"], "state and exit status")
    entries = service.await_journal("SIPFORK_EVENT=configuration-refused", count=before + 2)[before:]
    text = "\n".join(entry["MESSAGE"] for entry in entries)
    contains(text, 'unknown key "server.domain"; did you mean "server.domains"?', "the journal")
    contains(text, "server.workers: expected an integer", "the journal")
    equal({entry["PRIORITY"] for entry in entries}, {"3"}, "PRIORITY")
    # RestartSec is a tenth of a second: a loop would show.
    time.sleep(1)
    equal(service.show("ActiveState", "NRestarts"), ["failed", "0"], "state and restarts a second later")


@step("a configuration that only root may read: exit 78, and the journal names the user")
def closed(service):
    service.run("chmod", "600", CONFIGURATION)
    try:
        before = len(service.journal("SIPFORK_EVENT=configuration-refused"))
        true(service.run("systemctl", "restart", UNIT, check=False).returncode != 0, "systemctl restart must fail")
        entry = service.await_journal("SIPFORK_EVENT=configuration-refused", count=before + 1)[before]
        wanted = f"{CONFIGURATION}: Permission denied; the user sipfork must be able to read it"
        equal(entry["MESSAGE"], wanted, "MESSAGE")
        equal(service.show("ActiveState", "ExecMainStatus"), ["failed", "78"], "state and exit status")
    finally:
        service.run("chmod", "644", CONFIGURATION)
        service.start()
    true(service.is_active(), "active again")


@step("a port that another program has: told in the journal, tried again until it is free")
def busy_port(service):
    service.run("systemctl", "stop", UNIT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 5060))
        service.run("systemctl", "start", "--no-block", UNIT)

        def told():
            return [e for e in service.journal() if "Address already in use" in str(e.get("MESSAGE"))]

        entry = eventually(told, "an entry about the port")[-1]
        contains(entry["MESSAGE"], "bind udp:127.0.0.1:5060", "MESSAGE")
        equal(entry["PRIORITY"], "3", "PRIORITY")
        equal(entry["SIPFORK_EVENT"], "start-failed", "SIPFORK_EVENT")
        equal(CATALOGUE.subjects[entry["MESSAGE_ID"]], "The proxy could not start", "subject of the entry")
    eventually(service.is_active, "the service, once the port is free", 10)
    service.run("systemctl", "reset-failed", UNIT)


@step("a master that hangs: systemd's watchdog ends it and starts it again, registrations stay")
def watchdog(service):
    before = [row["aor"] for row in service.ctl("registrations")]
    with service.drop_in("[Service]\nWatchdogSec=3\n"):
        pid = service.show("MainPID")
        service.run("kill", "-STOP", pid)
        eventually(
            lambda: service.is_active() and service.show("MainPID") not in ("0", pid), "the master's successor", 30,
            interval=0.1)
        equal(service.show("NRestarts"), "1", "restarts by systemd")
        equal([row["aor"] for row in service.ctl("registrations")], before, "registrations")
        eventually(lambda: not service.starting(), "all processes ready")
        equal(len(service.processes()), 7, f"processes: {service.processes()}")
        with service.phone("alice", "127.0.0.2") as alice, service.phone("bob", "127.0.0.3") as bob:
            bob.register()
            hang_up(*establish(alice, bob))
    service.run("systemctl", "reset-failed", UNIT)
