"""What an operator does with the package, from installation to purge. Steps run in this order on one machine."""

import dataclasses
import os
import re
import shutil
import socket
import subprocess
import time
import typing

from peers import establish, hang_up, refuse
from malformed import without
from service import CONFIGURATION, UNIT
from testing import contains, equal, true
from ua import Dialog
from waiting import eventually

STEPS = []


@dataclasses.dataclass
class Step:
    name: str
    function: typing.Callable
    # Without it there is no use in going on.
    is_needed: bool


def step(name, is_needed=False):
    def mark(function):
        STEPS.append(Step(name, function, is_needed))
        return function

    return mark


@step("lintian finds no error")
def lintian(service):
    if shutil.which("lintian") is None:
        raise AssertionError("lintian is not installed")
    done = subprocess.run(
        ["lintian", "--fail-on", "error", "--allow-root", service.deb], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=120)
    true(done.returncode == 0, f"lintian: {done.stdout}{done.stderr}")


@step("apt install installs it and starts the service", is_needed=True)
def install(service):
    service.files_before = files(service)
    service.container.copy_in(service.deb, "/root/sipfork.deb")
    # Without a network: it needs nothing that a plain Debian with SQLite's library does not have.
    service.run("apt-get", "install", "-y", "/root/sipfork.deb", timeout=120)
    eventually(service.is_active, "an active service")
    equal(service.run("systemctl", "is-enabled", UNIT).stdout.strip(), "enabled", "is-enabled")
    equal(service.run("systemctl", "--failed", "--no-legend").stdout, "", "failed units")
    for page in ("man8/sipforkd.8", "man8/sipforkctl.8", "man5/sipfork.toml.5", "man7/sipfork.7"):
        service.run("test", "-s", f"/usr/share/man/{page}.gz")
    equal(service.run("sipforkd", "-t").returncode, 0, "sipforkd -t with the shipped file")


@step("it runs as sipfork, without privileges, and its files are nobody else's")
def ownership(service):
    pids = [str(pid) for pid in service.processes().values()]
    users = set(service.run("ps", "-o", "user=", "-p", ",".join(pids)).stdout.split())
    equal(users, {"sipfork"}, "users of the processes")
    for pid in pids:
        status = service.run("cat", f"/proc/{pid}/status").stdout
        equal(re.search(r"CapEff:\s*(\w+)", status).group(1).strip("0"), "", f"capabilities of {pid}")
    for path, mode in (("/run/sipfork", "750"), ("/run/sipfork/control.sock", "660"), ("/var/lib/sipfork", "750")):
        equal(
            service.run("stat", "-c", "%U:%G %a", path).stdout.strip(), f"sipfork:sipfork {mode}", f"owner of {path}")


@step("systemctl status shows what it does")
def status_text(service):
    workers = len(service.ctl("status")["workers"])
    wanted = f"0 transactions, 0 registrations, {workers} workers"
    eventually(lambda: service.show("StatusText") == wanted, f"StatusText {wanted!r}")
    contains(service.run("systemctl", "status", UNIT, "--no-pager").stdout, wanted, "systemctl status")
    titles = set(service.processes())
    for title in ["sipforkd: locator", "sipforkd: logger"] + [f"sipforkd: worker {index}" for index in range(workers)]:
        true(title in titles, f"a process {title!r} among {titles}")
    entry = service.await_journal("SIPFORK_EVENT=started")[-1]
    contains(entry["MESSAGE"], "udp:127.0.0.1:5060", "MESSAGE of started")
    equal(entry["SIPFORK_PROCESS"], "master", "SIPFORK_PROCESS of started")


@step("phones register and call each other; systemctl status counts them")
def call(service):
    with service.phone("alice", "127.0.0.2") as alice, service.phone("bob", "127.0.0.3") as bob:
        bob.register()
        rows = service.ctl("registrations", "sip:bob@localhost")
        equal([contact["uri"] for row in rows for contact in row["contacts"]], [bob.uri], "bob's contacts")
        hang_up(*establish(alice, bob))
        eventually(lambda: "1 registrations" in service.show("StatusText"), "one registration in the status")
        service.bob_uri = bob.uri


@step("sipforkctl: four commands, for people and as JSON")
def control(service):
    pids = {worker["pid"] for worker in service.ctl("workers")}
    with service.phone("alice", "127.0.0.2") as alice, service.phone("carol", "127.0.0.4") as carol:
        carol.register()
        invite = alice.invite("carol")
        seen = carol.expect("INVITE")
        carol.answer(seen, 180, "Ringing")
        alice.answer_of(invite, 180)
        rows = [row for row in service.ctl("transactions") if row["call_id"] == invite.get("Call-ID")]
        equal(len(rows), 1, "transactions of the call")
        equal([fork["target"] for fork in rows[0]["forks"]], [carol.uri], "targets of its forks")
        true({fork["pid"] for fork in rows[0]["forks"]} <= pids, "a fork's pid is a worker's")
        contains(service.run("sipforkctl", "transactions").stdout, invite.get("Call-ID"), "transactions for people")
        contains(service.run("sipforkctl", "registrations").stdout, carol.uri, "registrations for people")
        for pid in pids:
            contains(service.run("sipforkctl", "workers").stdout, str(pid), "workers for people")
        contains(service.run("sipforkctl", "status").stdout, "forks_started", "status for people")
        refuse(carol, seen, 486, "Busy Here")
        alice.ack_failure(invite, alice.answer_of(invite, 486))


@step("sipforkctl: the group sipfork may ask, nobody else")
def control_group(service):
    done = service.run("sipforkctl", "status", user="nobody", check=False)
    equal(done.returncode, 1, "exit status for nobody")
    contains(done.stderr, "members of the group sipfork", "what it tells nobody")
    service.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=sipfork", "sipforkctl", "status")


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


@step("the journal tells of a malformed message, with control characters made harmless")
def journal_malformed(service):
    with service.phone("mallory", "127.0.0.5") as mallory:
        request = mallory.request("OPTIONS", "sip:127.0.0.1")
        mallory.send(without(request, "CSeq"))
        mallory.expect(400)
        entry = service.await_journal("SIPFORK_EVENT=malformed-message", f"SIP_PEER=udp:127.0.0.5:{mallory.port}")[-1]
        equal(entry["PRIORITY"], "5", "PRIORITY")
        contains(entry["MESSAGE"], "CSeq", "MESSAGE")


@step("a changed configuration: sipforkd -t, systemctl restart; registrations stay")
def reconfigure(service):
    service.configure(
        ("domains", 'domains = ["localhost", "example.org"]'), ("#calls", 'calls = "all"'), ("#workers", "workers = 3"))
    service.run("sipforkd", "-t")
    before = service.show("MainPID")
    service.run("systemctl", "restart", UNIT)
    true(service.show("MainPID") != before, "another main process")
    contact = service.ctl("registrations", "sip:bob@localhost")[0]["contacts"][0]
    equal(contact["uri"], service.bob_uri, "bob's contact after the restart")
    equal(len(service.ctl("workers")), 3, "workers")


@step("sipp: 200 calls at 50 a second, each in the journal")
def sipp_calls(service):
    counted = service.sipp_calls(200, 50)
    equal(counted.get("SuccessfulCall"), 200, f"successful calls of {counted}")
    service.await_journal("SIPFORK_EVENT=call-answered", count=200)
    eventually(lambda: not service.starting(), "all processes ready")


@step("kill -9 of every worker while it rings: the call goes on")
def kill_workers(service):
    with service.phone("alice", "127.0.0.2") as alice, service.phone("carol", "127.0.0.4") as carol:
        carol.register()
        invite = alice.invite("carol")
        seen = carol.expect("INVITE")
        carol.answer(seen, 180, "Ringing")
        alice.answer_of(invite, 180)
        for index in range(3):
            service.kill_child(f"worker {index}")
        establish_rest(alice, carol, invite, seen)
        entries = service.await_journal("SIPFORK_EVENT=child-died", count=3)
        for entry in entries:
            equal(entry["PRIORITY"], "3", "PRIORITY of child-died")
            contains(entry["MESSAGE"], "killed by signal 9", "MESSAGE of child-died")
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
    done = service.run("sipforkd", "-t", check=False)
    equal(done.returncode, 78, "exit status of sipforkd -t")
    contains(done.stderr + done.stdout, 'sipfork.toml:13:1: unknown key "server.domain"', "what sipforkd -t says")
    true(service.run("systemctl", "restart", UNIT, check=False).returncode != 0, "systemctl restart must fail")
    equal(service.show("ActiveState", "ExecMainStatus"), ["failed", "78"], "state and exit status")
    entries = service.await_journal("SIPFORK_EVENT=configuration-refused", count=2)
    text = "\n".join(entry["MESSAGE"] for entry in entries)
    contains(text, 'unknown key "server.domain"; did you mean "server.domains"?', "the journal")
    contains(text, "server.workers: expected an integer", "the journal")
    equal({entry["PRIORITY"] for entry in entries}, {"3"}, "PRIORITY")
    # RestartSec is a tenth of a second: a loop would show.
    time.sleep(1)
    equal(service.show("ActiveState", "NRestarts"), ["failed", "0"], "state and restarts a second later")


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
    eventually(service.is_active, "the service, once the port is free", 10)
    service.run("systemctl", "reset-failed", UNIT)


@step("systemctl stop: clean, nothing left running")
def stop(service):
    service.run("systemctl", "stop", UNIT)
    equal(service.show("ActiveState", "Result", "ExecMainStatus"), ["inactive", "success", "0"], "how it ended")
    equal(service.processes(), {}, "processes")
    service.await_journal("SIPFORK_EVENT=stopped")
    done = service.run("sipforkctl", "status", check=False)
    equal(done.returncode, 1, "exit status of sipforkctl")
    contains(done.stderr, "is sipfork running", "what sipforkctl says")


@step("an upgrade keeps the configuration and the registrations")
def upgrade(service):
    service.start()
    before = [row["aor"] for row in service.ctl("registrations")]
    true(before, "there are registrations")
    pid = service.show("MainPID")
    service.run("dpkg", "-i", "/root/sipfork.deb", timeout=120)
    eventually(service.is_active, "an active service")
    true(service.show("MainPID") != pid, "the new program runs")
    equal([row["aor"] for row in service.ctl("registrations")], before, "registrations")
    contains(service.container.read(CONFIGURATION), "example.org", "the configuration")


@step("remove stops it and keeps configuration and registrations")
def remove(service):
    service.run("dpkg", "-r", "sipfork", timeout=120)
    equal(service.processes(), {}, "processes")
    for path in (CONFIGURATION, "/var/lib/sipfork/location.db"):
        service.run("test", "-e", path)


@step("purge leaves nothing but the user")
def purge(service):
    service.run("dpkg", "-P", "sipfork", timeout=120)
    left = files(service) - service.files_before
    equal(sorted(left), [], "files left")
    equal(service.run("systemctl", "--failed", "--no-legend").stdout, "", "failed units")
    equal(service.run("systemctl", "list-unit-files", "sipfork*", "--no-legend", check=False).stdout, "", "unit files")


def files(service):
    """All files of the root, but what a running machine and dpkg write for themselves."""
    found = set()
    for top, directories, names in os.walk(service.container.root):
        path = top[len(service.container.root):]
        if path in ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache", "/var/lib/systemd",
                    "/var/lib/apt"):
            directories.clear()
            continue
        found.update(f"{path}/{name}" for name in names + directories)
    kept = re.compile(
        r"/root/sipfork\.deb|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/\.pwd\.lock"
        r"|/var/lib/dpkg/.*-(old|new)")
    return {path for path in found if not kept.fullmatch(path)}
