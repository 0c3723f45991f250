"""systemd's own descriptor store: the master ends in every way an operator knows, under calls, and none is lost."""

import tempfile

from marks import step
from service import ADDRESS, UNIT, higher, installed_version
from storm import Storm, Trouble
from testing import equal, true
from waiting import eventually

RATE = 100  # calls per second: each has entries in the journal here
SECONDS = 6
PHONES = 20


class Installed:
    """The service as `Storm` wants a proxy."""

    prefix = "127.0.7."
    address = ADDRESS

    def __init__(self, service):
        self.service = service

    def ctl(self, *arguments):
        return self.service.ctl(*arguments)

    def status(self):
        return self.ctl("status")


def survives(service, strike):
    """Calls and registrations for a while; in the middle the master ends and the next one takes over."""
    eventually(lambda: not service.starting(), "all processes ready")
    pid, entries = service.show("MainPID"), len(service.journal("SIPFORK_EVENT=took-over"))
    proxy = Installed(service)
    with Storm(proxy, RATE, SECONDS, phones=PHONES) as storm:
        with Trouble(lambda count: None if count else strike(), SECONDS / 3) as trouble:
            storm.finish()
        true(trouble.count >= 1, "the strike has come")
    true(service.show("MainPID") not in ("0", pid), "the master is another process")
    equal(len(service.await_journal("SIPFORK_EVENT=took-over", count=entries + 1)), entries + 1, "entries of it")
    eventually(lambda: not service.starting(), "all processes ready")
    storm.all_registered(proxy)


def restarted(service, before):
    """Waits until systemd has started another master, which is ready."""
    eventually(
        lambda: service.is_active() and service.show("MainPID") not in ("0", before), "the master's successor", 20)


@step("systemctl restart under calls: none is lost")
def restart(service):
    true(int(service.show("FileDescriptorStoreMax")) >= 256, "FileDescriptorStoreMax")
    survives(service, lambda: service.run("systemctl", "restart", UNIT))
    equal(service.show("ActiveState", "NRestarts"), ["active", "0"], "the unit")


@step("systemctl kill -s KILL of the master under calls: none is lost")
def kill(service):
    def strike():
        before = service.show("MainPID")
        service.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", UNIT)
        restarted(service, before)

    survives(service, strike)
    equal(service.show("ActiveState", "NRestarts"), ["active", "1"], "the unit")


@step("a master that hangs under calls: the watchdog ends it, none is lost")
def watchdog(service):
    def strike():
        before = service.show("MainPID")
        service.run("kill", "-STOP", before)
        restarted(service, before)

    with service.drop_in("[Service]\nWatchdogSec=2\n"):
        survives(service, strike)
        equal(service.show("ActiveState", "NRestarts"), ["active", "1"], "the unit")
    service.run("systemctl", "reset-failed", UNIT)


@step("an upgrade under calls: none is lost")
def upgrade(service):
    version = installed_version(service)
    with tempfile.TemporaryDirectory(prefix="sipfork-upgrade-") as directory:
        service.container.copy_in(higher(service.deb, directory), "/root/sipfork-next.deb")
    survives(service, lambda: service.run("dpkg", "-i", "/root/sipfork-next.deb", timeout=120))
    equal(installed_version(service), version + "+next1", "the installed version")
    # Back, for what comes behind.
    survives(service, lambda: service.run("dpkg", "-i", "--force-downgrade", "/root/sipfork.deb", timeout=120))
    equal(installed_version(service), version, "the installed version")
    service.run("rm", "/root/sipfork-next.deb")


@step("systemctl stop and start: the store is empty then, and only the registrations are what they were")
def stop_and_start(service):
    true(int(service.show("NFileDescriptorStore")) > 10, "descriptors in the store while it runs")
    registered = [row["aor"] for row in service.ctl("registrations")]
    entries = len(service.journal("SIPFORK_EVENT=took-over"))
    service.run("systemctl", "stop", UNIT)
    equal(service.show("NFileDescriptorStore"), "0", "descriptors in the store")
    service.start()
    eventually(lambda: not service.starting(), "all processes ready")
    equal(service.ctl("status")["transactions"], 0, "transactions")
    equal([row["aor"] for row in service.ctl("registrations")], registered, "registrations")
    equal(len(service.journal("SIPFORK_EVENT=took-over")), entries, "entries of a take-over")
