"""systemctl reload: good and bad configurations, while a call rings."""

from marks import step
from peers import calls, establish
from service import CONFIGURATION, UNIT
from testing import contains, equal, true
from ua import UA, Dialog
from waiting import eventually


def children(service):
    return {title: pid for title, pid in service.processes().items() if title.startswith("sipforkd: ")}


@step("systemctl reload with a broken configuration: fails with the message, the service is as it was")
def reload_broken(service):
    good = service.container.read(CONFIGURATION)
    main, before = service.show("MainPID"), children(service)
    service.configure(("domains", 'domain = ["localhost"]'), ("workers", 'workers = "many"'))
    try:
        done = service.run("systemctl", "reload", UNIT, check=False)
        true(done.returncode != 0, "systemctl reload must fail")
        entries = service.await_journal("SIPFORK_EVENT=configuration-refused", count=2)
        text = "\n".join(entry["MESSAGE"] for entry in entries)
        contains(text, 'unknown key "server.domain"; did you mean "server.domains"?', "the journal")
        contains(text, "server.workers: expected an integer", "the journal")
        # systemctl points to the journal of the unit; what the tool says stands there too.
        told = service.await_journal("_COMM=sipforkctl")
        contains(
            "\n".join(str(entry["MESSAGE"]) for entry in told), 'sipfork.toml:13:1: unknown key "server.domain"',
            "what sipforkctl reload says")
        equal(service.run("sipforkctl", "reload", check=False).returncode, 1, "exit status of sipforkctl reload")
    finally:
        service.container.write(CONFIGURATION, good)
    equal(service.show("ActiveState", "MainPID", "NRestarts"), ["active", main, "0"], "the unit")
    equal(children(service), before, "the processes")


@step("systemctl reload while a call rings: the new domain is served, the call goes on, the processes are new")
def reload_ringing(service):
    main, before = service.show("MainPID"), children(service)
    registered = service.ctl("registrations")
    with service.phone("alice", "127.0.0.2") as alice, service.phone("carol", "127.0.0.4") as carol:
        carol.register()
        invite, seen = calls(alice, carol, "carol")
        service.configure(("domains", 'domains = ["localhost", "example.org", "example.net"]'))
        service.run("systemctl", "reload", UNIT)
        entry = service.await_journal("SIPFORK_EVENT=configuration-reloaded")[-1]
        contains(entry["MESSAGE"], "server.domains", "the entry of the reload")
        equal(entry["PRIORITY"], "5", "PRIORITY")
        equal(service.show("ActiveState", "MainPID", "NRestarts"), ["active", main, "0"], "the unit")
        now = children(service)
        equal(sorted(now), sorted(before), "titles of the processes")
        equal(set(now.values()) & set(before.values()), set(), "processes that are the old ones")
        equal({worker["restarts"] for worker in service.ctl("workers")}, {0}, "restarts of workers")
        ok = carol.answer(seen, 200, "OK")
        outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200, ignore=(100, 180)))
        alice.send(outgoing.request("ACK"))
        carol.expect("ACK")
        incoming = Dialog.of_callee(carol, seen, ok)
        bye = carol.send(incoming.request("BYE"))
        alice.answer(alice.expect("BYE"), 200, "OK")
        carol.answer_of(bye, 200)
    with UA("dora", "127.0.0.8", ("127.0.0.1", 5060), port=5062, domain="example.net") as dora:
        dora.register()
    left = [row["aor"] for row in service.ctl("registrations")]
    true({row["aor"] for row in registered} <= set(left), f"registrations after it: {left}")
