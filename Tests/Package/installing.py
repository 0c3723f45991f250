"""The package on a plain Debian: what it brings, and how it runs."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

from marks import step
from service import CATALOGUE, UNIT, files
from testing import contains, equal, true
from waiting import eventually

PAGES = {"sipforkd": "8", "sipforkctl": "8", "sipfork.toml": "5", "sipfork": "7"}
PROGRAMS = ("/usr/sbin/sipforkd", "/usr/bin/sipforkctl")
# What the maintainer scripts need, which debhelper adds: the first of its alternatives.
HELPERS = {"systemd"}


@step("lintian finds no error and no warning")
def lintian(service):
    if shutil.which("lintian") is None:
        raise AssertionError("lintian is not installed")
    # The .changes names the package of the debug symbols too.
    changes = glob.glob(os.path.join(os.path.dirname(service.deb), "sipfork_*.changes"))
    done = subprocess.run(
        ["lintian", "--pedantic", "-I", "--fail-on", "error,warning", "--allow-root", *(changes or [service.deb])],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    true(done.returncode == 0, f"lintian: {done.stdout}{done.stderr}")


@step("the programs are stripped, and sipfork-dbgsym has what was taken out")
def debug_symbols(service):
    packages = glob.glob(os.path.join(os.path.dirname(service.deb), "sipfork-dbgsym_*.deb"))
    equal(len(packages), 1, "packages of debug symbols")
    with tempfile.TemporaryDirectory(prefix="sipfork-dbgsym-") as directory:
        for package in (service.deb, packages[0]):
            subprocess.run(["dpkg-deb", "-x", package, directory], check=True)
        for program in PROGRAMS:
            number, sections = sections_of(directory + program)
            true(".symtab" not in sections and ".debug_info" not in sections, f"{program} is stripped")
            other, sections = sections_of(f"{directory}/usr/lib/debug/.build-id/{number[:2]}/{number[2:]}.debug")
            equal(other, number, f"build id of the symbols of {program}")
            true({".symtab", ".debug_info", ".debug_line"} <= sections, f"sections of the symbols of {program}")


def sections_of(path):
    """The build id of an ELF file, and the names of its sections."""
    text = subprocess.run(["readelf", "-nSW", path], capture_output=True, text=True, check=True).stdout
    return re.search(r"Build ID: (\w+)", text).group(1), set(re.findall(r"^ *\[ *\d+\] (\S+)", text, re.M))


@step("apt install installs it and starts the service", is_needed=True)
def install(service):
    service.files_before = files(service)
    service.container.copy_in(service.deb, "/root/sipfork.deb")
    # Without a network: it needs nothing that a plain Debian with SQLite's library does not have.
    service.run("apt-get", "install", "-y", "/root/sipfork.deb", timeout=120)
    eventually(service.is_active, "an active service")
    equal(service.run("systemctl", "is-enabled", UNIT).stdout.strip(), "enabled", "is-enabled")
    equal(service.run("systemctl", "--failed", "--no-legend").stdout, "", "failed units")
    equal(service.run("sipforkd", "-t").returncode, 0, "sipforkd -t with the shipped file")


@step("it depends on the packages of the libraries that its programs need, and on no others")
def dependencies(service):
    needed = set()
    for program in PROGRAMS:
        names = needed_by(service.container.root + program)
        true("libc.so.6" in names, f"libc among what {program} needs: {names}")
        paths = dict(re.findall(r"^\s*(?:(\S+) => )?(/\S+)", service.run("ldd", program).stdout, re.M))
        for name in names:
            path = paths[name] if name in paths else next(each for each in paths.values() if each.endswith(f"/{name}"))
            needed.add(package_of(service, path))
    text = service.run("dpkg-query", "-W", "-f", "${Depends}", "sipfork").stdout
    equal({re.match(r"[^ (:]+", each).group() for each in text.split(", ")} - HELPERS, needed, f"Depends: {text}")


def needed_by(path):
    """The shared libraries that an ELF file names."""
    text = subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\)\s+Shared library: \[(.+)\]", text))


def package_of(service, path):
    """The package in the container that a library is of: the name that programs ask for may be a link, which ldconfig
    has made, and /lib a link to /usr/lib, while dpkg knows the file by either name.
    """
    name = os.path.basename(service.run("readlink", "-f", path).stdout.strip())
    lines = service.run("dpkg-query", "-S", f"*/{name}").stdout.splitlines()
    place = re.compile(rf" (/usr)?/lib(64)?/(\S+-linux-gnu/)?{re.escape(name)}$")
    packages = {line.partition(":")[0] for line in lines if place.search(line)}
    equal(len(packages), 1, f"packages of {path}: {lines}")
    return packages.pop()


@step("man finds every page, and renders it")
def pages(service):
    for page, section in PAGES.items():
        path = service.run("man", "-w", page).stdout.strip()
        equal(path, f"/usr/share/man/man{section}/{page}.{section}.gz", f"man -w {page}")
        done = service.run("man", "-P", "cat", section, page)
        contains(done.stdout, "SEE ALSO", f"man {page}")
        equal(done.stderr, "", f"what man says about {page}")


@step("the completions load in bash and complete; zsh and fish have theirs")
def completions(service):
    path = "/usr/share/bash-completion/completions/sipforkctl"
    equal(
        service.run("bash", "-c", f"source {path} && complete -p sipforkctl").stdout.split()[0::4],
        ["complete", "_sipforkctl"], "bash's complete -p")
    script = (
        f"source {path}; COMP_WORDS=(sipforkctl regis); COMP_CWORD=1; COMP_LINE='sipforkctl regis'; COMP_POINT=16; "
        "_sipforkctl sipforkctl regis sipforkctl; printf '%s\\n' \"${COMPREPLY[@]}\"")
    equal(
        sorted(service.run("bash", "-c", script).stdout.split()), ["register", "registrations"],
        "what bash makes of 'sipforkctl regis'")
    zsh = service.container.read("/usr/share/zsh/vendor-completions/_sipforkctl")
    equal(zsh.split("\n")[0], "#compdef sipforkctl", "the first line for zsh")
    fish = service.container.read("/usr/share/fish/vendor_completions.d/sipforkctl.fish")
    contains(fish, "complete -c 'sipforkctl'", "the lines for fish")


@step("the message catalogue is installed")
def catalogue(service):
    listed = service.run("journalctl", "--list-catalog", *CATALOGUE.identifiers()).stdout
    for identifier, subject in CATALOGUE.subjects.items():
        contains(listed, f"{identifier} sipfork: {subject}", "journalctl --list-catalog")


@step("systemd-analyze security says 1.2 or less")
def exposure(service):
    text = service.run("systemd-analyze", "security", UNIT, "--no-pager").stdout
    level = re.search(r"Overall exposure level for sipfork.service: ([\d.]+)", text)
    true(level, f"a level in {text[-200:]!r}")
    true(float(level.group(1)) <= 1.2, f"exposure {level.group(1)}:\n{text}")
    wanted = {
        "Type": "notify", "Restart": "always", "RestartUSec": "100ms", "StartLimitIntervalUSec": "0",
        "RestartPreventExitStatus": "78", "OOMPolicy": "continue", "WatchdogUSec": "20s", "KillMode": "mixed",
        "FileDescriptorStoreMax": "256", "User": "sipfork", "StateDirectory": "sipfork", "RuntimeDirectory": "sipfork"}
    equal(dict(zip(wanted, service.show(*wanted))), wanted, "properties of the unit")
    contains(service.show("ExecReload"), "/usr/bin/sipforkctl reload", "ExecReload")


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
    for path in service.run("find", "/var/lib/sipfork", "-type", "f").stdout.split():
        mode = service.run("stat", "-c", "%U:%G %a", path).stdout.strip()
        true(re.fullmatch(r"sipfork:sipfork 6[04]0", mode), f"{path}: {mode}")
