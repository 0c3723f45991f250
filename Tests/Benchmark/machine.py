"""The machine: what must be installed and built on it, and what it is."""

import contextlib
import os
import platform
import shutil
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUFFER = 8 << 20  # bytes, what both proxies want to receive into
LIMIT = "/proc/sys/net/core/rmem_max"


def said(*command):
    """The first line that a command prints; empty where there is no such command, or it fails."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT)
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        return lines[0] if lines and done.returncode in (0, 99) else ""
    return ""


def install_missing(names):
    """Installs sipp, and Kamailio where it is wanted, as packaging/test does with what it needs."""
    wanted = {"sipp": "sip-tester", **({"kamailio": "kamailio"} if "kamailio" in names else {})}
    missing = [package for program, package in wanted.items() if not shutil.which(program)]
    if not missing:
        return
    command = f". packaging/dependencies && install_missing {' '.join(missing)}"
    subprocess.run(["bash", "-c", command], cwd=ROOT, check=True)
    if "kamailio" in missing and shutil.which("systemctl"):
        # Debian starts it at once; only those that we start are wanted here.
        subprocess.run(["systemctl", "disable", "--now", "kamailio"], capture_output=True)


def build_missing():
    """Builds sipfork where there are no programs yet."""
    from harness import BUILDS
    if not os.access(os.path.join(BUILDS["release"], "sipforkd"), os.X_OK):
        steps = ". packaging/dependencies && install_build_dependencies && swift build -c release --static-swift-stdlib"
        subprocess.run(["bash", "-c", steps], cwd=ROOT, check=True)


@contextlib.contextmanager
def receive_buffers():
    """Lets every process have the buffer that sipfork takes for itself as root, while this is entered."""
    with open(LIMIT) as file:
        before = int(file.read())
    with contextlib.suppress(OSError):
        if before < BUFFER:
            set_limit(BUFFER)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if before < BUFFER:
                set_limit(before)


def set_limit(value):
    with open(LIMIT, "w") as file:
        file.write(str(value))


def about():
    """What the numbers depend on."""
    from harness import BUILDS, DAEMON
    build = os.path.realpath(BUILDS["release"])
    commit = said("git", "describe", "--always", "--dirty", "--exclude=*")
    if not build.startswith(os.path.realpath(ROOT) + os.sep):
        commit = f"of {build}"  # which need not be what is checked out
    virtual = [said("systemd-detect-virt", kind) for kind in ("--container", "--vm")]
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()), "processor": processor(), "processors": os.cpu_count(),
        "virtualization": " in ".join(filter(None, virtual)) or "unknown", "kernel": platform.release(),
        "sipfork": f"{said(DAEMON, '--version')} {commit}", "kamailio": word_after(said("kamailio", "-v"), "kamailio"),
        "sipp": said("sipp", "-v").removeprefix("SIPp v").rstrip("."),
        "swift": word_after(said("swift", "--version"), "version")}


def processor():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def word_after(text, word):
    words = text.split()
    return words[words.index(word) + 1] if word in words[:-1] else text
