"""Stop, upgrade, remove, purge."""

import tempfile

from marks import step
from service import CONFIGURATION, UNIT, files, higher, installed_version
from testing import contains, equal, true
from waiting import eventually


@step("systemctl stop: clean, nothing left running")
def stop(service):
    service.run("systemctl", "stop", UNIT)
    equal(service.show("ActiveState", "Result", "ExecMainStatus"), ["inactive", "success", "0"], "how it ended")
    equal(service.processes(), {}, "processes")
    service.await_journal("SIPFORK_EVENT=stopped")
    done = service.run("sipforkctl", "status", check=False)
    equal(done.returncode, 1, "exit status of sipforkctl")
    contains(done.stderr, "is sipfork running", "what sipforkctl says")


@step("an upgrade to a higher version keeps the configuration and the registrations")
def upgrade(service):
    service.start()
    before = [row["aor"] for row in service.ctl("registrations")]
    true(before, "there are registrations")
    configuration = service.container.read(CONFIGURATION)
    pid, version = service.show("MainPID"), installed_version(service)
    with tempfile.TemporaryDirectory(prefix="sipfork-upgrade-") as directory:
        service.container.copy_in(higher(service.deb, directory), "/root/sipfork-new.deb")
    service.run("apt-get", "install", "-y", "/root/sipfork-new.deb", timeout=120)
    equal(installed_version(service), version + "+next1", "the installed version")
    eventually(service.is_active, "an active service")
    true(service.show("MainPID") != pid, "the new program runs")
    eventually(lambda: not service.starting(), "all processes ready")
    equal([row["aor"] for row in service.ctl("registrations")], before, "registrations")
    equal(service.container.read(CONFIGURATION), configuration, "the configuration")
    equal(service.run("systemctl", "is-enabled", UNIT).stdout.strip(), "enabled", "is-enabled")


@step("remove stops it and keeps configuration and registrations")
def remove(service):
    service.run("apt-get", "remove", "-y", "sipfork", timeout=120)
    equal(service.processes(), {}, "processes")
    for path in (CONFIGURATION, "/var/lib/sipfork/location.db"):
        service.run("test", "-e", path)


@step("purge leaves nothing, the user and its group included")
def purge(service):
    service.run("apt-get", "purge", "-y", "sipfork", timeout=120)
    left = files(service) - service.files_before
    equal(sorted(left), [], "files left")
    for table in ("passwd", "group"):
        equal(service.run("getent", table, "sipfork", check=False).stdout, "", table)
    equal(service.run("systemctl", "--failed", "--no-legend").stdout, "", "failed units")
    equal(service.run("systemctl", "list-unit-files", "sipfork*", "--no-legend", check=False).stdout, "", "unit files")
    listed = service.run("journalctl", "--list-catalog").stdout
    true("sipfork" not in listed, "nothing of the catalogue")
