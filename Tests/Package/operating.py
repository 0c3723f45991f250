"""What an operator sees and does from day to day."""

import contextlib
import os
import re
import subprocess

from marks import step
from peers import calls, establish, hang_up, refuse
from service import CONFIGURATION, ROOT, UNIT
from testing import contains, equal, true
from ua import UA
from waiting import eventually


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
        invite, seen = calls(alice, carol, "carol")
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
    service.run("usermod", "-aG", "sipfork", "nobody")
    contains(service.run("sipforkctl", "status", user="nobody").stdout, "worker 0", "what it tells a member")


@step("a changed configuration: sipforkd -t, systemctl restart, stop and start; registrations stay")
def reconfigure(service):
    service.configure(
        ("domains", 'domains = ["localhost", "example.org"]'), ("#calls", 'calls = "all"'), ("#workers", "workers = 3"))
    service.run("sipforkd", "-t")
    before = service.show("MainPID")
    service.run("systemctl", "restart", UNIT)
    true(service.show("MainPID") != before, "another main process")
    waiting = service.await_journal("SIPFORK_EVENT=configuration-warning")[-1]
    contains(waiting["MESSAGE"], "server.workers waits for stop and start", "MESSAGE")
    service.run("systemctl", "stop", UNIT)
    service.start()
    contact = service.ctl("registrations", "sip:bob@localhost")[0]["contacts"][0]
    equal(contact["uri"], service.bob_uri, "bob's contact after the restart")
    equal(len(service.ctl("workers")), 3, "workers")


@step("sipp: 200 calls at 50 a second, each in the journal")
def sipp_calls(service):
    counted = service.sipp_calls(200, 50)
    equal(counted.get("SuccessfulCall"), 200, f"successful calls of {counted}")
    service.await_journal("SIPFORK_EVENT=call-answered", count=200)
    eventually(lambda: not service.starting(), "all processes ready")


@step("a port below 1024, by the drop-in of sipforkd(8)")
def low_port(service):
    with open(os.path.join(ROOT, "man", "sipforkd.8")) as file:
        drop_in = re.search(r"^\[Service\]\n(?:[A-Z]\w+=.*\n)+", file.read(), re.M)
    true(drop_in, "a drop-in in sipforkd.8")
    good = service.container.read(CONFIGURATION)
    service.configure(("listen", 'listen = ["udp:127.0.0.1:5060", "udp:127.0.0.1:1023"]'))
    try:
        with service.drop_in(drop_in.group()):
            true(service.is_active(), f"an active service\n{service.story()}")
            with UA("alice", "127.0.0.2", ("127.0.0.1", 1023)) as alice:
                alice.send(alice.request("OPTIONS", "sip:127.0.0.1"))
                alice.expect(200)
            service.container.write(CONFIGURATION, good)
    finally:
        service.container.write(CONFIGURATION, good)
    true(service.is_active(), "an active service without it")


@step("a listener on every address is known by an address of this machine, which the sandbox lets it ask for")
def every_address(service):
    good = service.container.read(CONFIGURATION)
    service.configure(("listen", 'listen = ["udp:0.0.0.0:5060"]'))
    with interface("192.0.2.1/24"):
        try:
            service.run("systemctl", "restart", UNIT)
            with service.phone("alice", "127.0.0.2") as alice, service.phone("carol", "127.0.0.4") as carol:
                carol.register()
                invite = alice.invite("carol")
                seen = carol.expect("INVITE")
                contains(seen.values("Via")[0], "192.0.2.1:5060", "the proxy's Via")
                # A restart would not end the call.
                refuse(carol, seen, 486, "Busy Here")
                alice.ack_failure(invite, alice.answer_of(invite, 486))
        finally:
            service.container.write(CONFIGURATION, good)
    service.run("systemctl", "restart", UNIT)


@contextlib.contextmanager
def interface(address):
    """An interface of the container with this address, beside its loopback."""
    def ip(*words):
        subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)

    ip("link", "add", "test0", "type", "veth", "peer", "name", "test1")
    try:
        for command in (["addr", "add", address, "dev", "test0"], ["link", "set", "test0", "up"],
                        ["link", "set", "test1", "up"]):
            ip(*command)
        yield
    finally:
        ip("link", "delete", "test0")
