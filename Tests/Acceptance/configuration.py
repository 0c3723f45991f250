"""The command line and the configuration file: what is accepted, what is refused and in which words."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

from harness import CONTROL, DAEMON, ROOT, Sipfork, network
from testing import contains, equal, test, true
from ua import UA

EX_CONFIG, EX_USAGE = 78, 64


def daemon(*arguments, text=None, environment=None):
    """Runs sipforkd to its end, "FILE" in the arguments being a file with `text`; gives (status, output)."""
    directory = tempfile.mkdtemp(prefix="sipfork-")
    try:
        path = os.path.join(directory, "sipfork.toml")
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
        command = [DAEMON, *(path if argument == "FILE" else argument for argument in arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})})
        return done.returncode, done.stdout + done.stderr
    finally:
        shutil.rmtree(directory, ignore_errors=True)


GOOD = """
[server]
domains = ["example.org", "example.net"]
listen = ["udp:127.0.0.1:45060", "udp:[::1]:45060", "tcp:127.0.0.1:45060", "tcp:[::1]:45060"]
mode = "stateless"
workers = 3
record-route = true

[timers]
t1 = 500   # milliseconds
c = 185000

[registrar]
enabled = true
min-expires = 60
store = "memory"

[tcp]
max-connections = 100
idle-timeout = 60

[resolver]
servers = ["192.0.2.53", "[2001:db8::53]:5353"]
candidate-timeout = 1000

[[route]]
user = "+*"
domain = "*.example.org"
method = ["INVITE", "MESSAGE"]
source = "192.0.2.0/24"
to = ["sip:192.0.2.20", "sip:[2001:db8::20]:5070;transport=udp"]
policy = "round-robin"
dead-time = 5

[[route]]
to = ["sip:localhost:5070;transport=tcp", "sip:gw.example.net"]

[log]
level = "debug"
calls = "all"
"""


@test("-t accepts a good file, an empty one, and the shipped one; it prints nothing and starts nothing")
def accepted():
    for text in (GOOD, "", "# nothing\n"):
        equal(daemon("-t", "-c", "FILE", text=text), (0, ""), "exit status and output of -t")
    shipped = os.path.join(ROOT, "packaging", "sipfork.toml")
    status, output = daemon("-t", "-c", shipped)
    equal(status, 0, f"exit status of -t for {shipped} ({output})")


# The file, the place of the fault (line, column), and words that the message must have.
REFUSED = [
    ("[server]\ndomain = [\"example.org\"]\n", (2, 1), ["domain", "server.domains"]),
    ("[server]\nworkres = 2\n", (2, 1), ["workres", "server.workers"]),
    ("[registrar]\nenabled = true\n  min-expire = 60\n", (3, 3), ["min-expire", "registrar.min-expires"]),
    ("[sever]\nworkers = 2\n", (1, 2), ["sever", "server"]),
    ("[server]\nworkers = \"two\"\n", (2, 11), ["server.workers", "integer"]),
    ("[server]\nworkers = -1\n", (2, 11), ["server.workers", "-1"]),
    ("[server]\nworkers = 1.5\n", (2, 11), ["server.workers"]),
    ("[server]\nrecord-route = \"yes\"\n", (2, 16), ["server.record-route", "true"]),
    ("[server]\ndomains = \"example.org\"\n", (2, 11), ["server.domains", "array"]),
    ("[server]\nlisten = [\"udp:127.0.0.1:99999\"]\n", (2, None), ["listen", "99999"]),
    ("[server]\nlisten = [\"udp:nowhere:5060\"]\n", (2, None), ["listen", "nowhere"]),
    ("[server]\nlisten = [\"tls:127.0.0.1:5061\"]\n", (2, 11), ["server.listen", "tcp:ADDRESS:PORT", "tls:"]),
    ("[server]\nlisten = [\"tcp:127.0.0.1\", \"tcp:127.0.0.1\"]\n", (2, 10), ["server.listen", "twice"]),
    ("[server]\nmode = \"statefull\"\n", (2, 8), ["server.mode", "stateful", "stateless"]),
    ("[tcp]\nidle-timeout = 0\n", (2, 16), ["tcp.idle-timeout", "86400"]),
    ("[tcp]\nmax-mesage = 4096\n", (2, 1), ["tcp.max-mesage", "tcp.max-message"]),
    ("[resolver]\nservers = [\"ns.example.net\"]\n", (2, 12), ["resolver.servers", "ns.example.net"]),
    ("[resolver]\nservers = [\"0.0.0.0\"]\n", (2, 12), ["resolver.servers", "0.0.0.0"]),
    ("[registrar]\nstore = \"mysql\"\n", (2, 9), ["registrar.store", "sqlite", "memory"]),
    ("[registrar]\nmin-expires = 3601\n", (2, 15), ["registrar.min-expires", "3600"]),
    ("[log]\nlevel = \"loud\"\n", (2, 9), ["log.level", "loud"]),
    ("[[route]]\nuser = \"+*\"\n", (1, 1), ["route.to", "array"]),
    ("[log]\n[[route]]\nto = [\"sip:192.0.2.1\"]\n\n[[route]]\nto = []\n", (6, 6), ["route.to", "at least 1"]),
    ("[[route]]\nto = [\"sip:192.0.2.1\"]\nusers = \"a\"\n", (3, 1), ["route.users", "route.user"]),
    ("[[routes]]\nto = [\"sip:192.0.2.1\"]\n", (1, 3), ["routes", "route"]),
    ("[route]\nto = [\"sip:192.0.2.1\"]\n", (1, 1), ["route", "[[route]]"]),
    ("[[route]]\nto = [\"sip:192.0.2.1\", \"sip:gw@192.0.2.1\"]\n", (2, 24), ["route.to", "sip:HOST:PORT"]),
    ("[[route]]\nto = [\"sips:192.0.2.1\"]\n", (2, 7), ["route.to", "sips:192.0.2.1"]),
    ("[[route]]\nto = [\"sip:192.0.2.1\"]\npolicy = \"random\"\n", (3, 10), ["route.policy", "round-robin"]),
    ("[[route]]\nto = [\"sip:192.0.2.1\"]\nsource = \"everyone\"\n", (3, 10), ["route.source", "192.0.2.0/24"]),
    ("[[route]]\nto = [\"sip:192.0.2.1\"]\ndead-time = 86401\n", (3, 13), ["route.dead-time", "86400"]),
    ("[server]\nworkers = \n", (2, None), []),
    ("[server\nworkers = 2\n", (1, None), []),
    ("[server]\nworkers = 2\nworkers = 3\n", (3, None), []),
]


@test("an unknown key, a wrong type, a bad value: file:line:column, what was expected, the nearest name")
def refused():
    for text, (line, column), words in REFUSED:
        status, output = daemon("-t", "-c", "FILE", text=text)
        equal(status, EX_CONFIG, f"exit status for {text!r} ({output})")
        place = re.search(r"sipfork\.toml:(\d+):(\d+): ", output)
        true(place, f"file:line:column in {output!r} for {text!r}")
        equal(int(place.group(1)), line, f"line for {text!r} ({output})")
        if column:
            equal(int(place.group(2)), column, f"column for {text!r} ({output})")
        for word in words:
            contains(output, word, f"what is said of {text!r}")


@test("all that is wrong is listed at once")
def all_listed():
    status, output = daemon("-t", "-c", "FILE", text="[server]\nworkres = 2\nmode = 7\n[log]\nlevel = \"loud\"\n")
    equal(status, EX_CONFIG, "exit status")
    for place in ("sipfork.toml:2:", "sipfork.toml:3:", "sipfork.toml:5:"):
        contains(output, place, "diagnostics")


@test("a start with a bad file exits with 78, as -t does, with the same words")
def bad_start():
    text = REFUSED[0][0]
    with_directory = ["--state-directory", "/nonexistent", "--runtime-directory", "/nonexistent"]
    status, output = daemon("-c", "FILE", *with_directory, text=text)
    equal(status, EX_CONFIG, f"exit status ({output})")
    contains(output, "sipfork.toml:2:1: ", "what it says")


@test("a missing file, an unknown option, a bad --listen: 78 (or 64 for the usage) and the reason")
def bad_command_line():
    for arguments, word in (
            (("-t", "-c", "/nonexistent/sipfork.toml"), "/nonexistent/sipfork.toml"),
            (("-t", "--no-such-option"), "--no-such-option"), (("-t", "--listen", "udp:127.0.0.1:99999"), "127.0.0.1"),
            (("-t", "--listen"), "--listen")):
        status, output = daemon(*arguments)
        true(status in (EX_CONFIG, EX_USAGE), f"exit status {status} of {arguments} ({output})")
        contains(output, word, f"what {arguments} says")


@test("a small timer c is accepted with a warning")
def warning():
    status, output = daemon("-t", "-c", "FILE", text="[timers]\nc = 1000\n")
    equal(status, 0, "exit status")
    contains(output, "sipfork.toml:2:5: ", "the warning")


@test("next hops that want TLS, or a transport without listener, are accepted with a warning that names the line")
def route_warning():
    text = "[server]\nlisten = [\"udp:127.0.0.1\"]\n[[route]]\nto = [\"sip:192.0.2.1\", \"sip:gw.example.net\",\n"
    text += "  \"sip:gw.example.net;transport=tls\",\n  \"sip:192.0.2.2;transport=tcp\"]\n"
    status, output = daemon("-t", "-c", "FILE", text=text)
    equal(status, 0, f"exit status ({output})")
    lines = output.splitlines()
    equal(len(lines), 2, f"warnings ({output})")
    for line, (place, word) in zip(lines, (("5:3", "transport=tls"), ("6:3", "transport=tcp"))):
        contains(line, f"sipfork.toml:{place}: ", "the warning")
        contains(line, word, "the warning")


@test("--domain and --listen without a file: it runs on defaults, for several domains and addresses")
def flags():
    prefix = network()
    arguments = ["--domain", "one.example", "--domain", "two.example"]
    arguments += ["--listen", f"udp:{prefix}1:5060", "--listen", f"udp:{prefix}9:5070"]
    with Sipfork(prefix=prefix, arguments=arguments):
        for domain in ("one.example", "two.example"):
            for address in ((prefix + "1", 5060), (prefix + "9", 5070)):
                with UA("bob", prefix + "10", address, domain=domain) as bob:
                    bob.register()
                    request = bob.send(bob.request("OPTIONS", f"sip:bob@{domain}"))
                    seen = bob.expect("OPTIONS")
                    bob.answer(seen, 200)
                    bob.answer_of(request, 200)


@test("flags win over the file")
def flags_win():
    prefix = network()
    directory = tempfile.mkdtemp(prefix="sipfork-")
    try:
        path = os.path.join(directory, "sipfork.toml")
        with open(path, "w") as file:
            file.write(f"[server]\ndomains = [\"file.example\"]\nlisten = [\"udp:{prefix}77:5060\"]\n")
        arguments = ["-c", path, "--domain", "flag.example", "--listen", f"udp:{prefix}1:5060"]
        with Sipfork(prefix=prefix, arguments=arguments) as proxy:
            with UA("bob", prefix + "10", proxy.address, domain="flag.example") as bob:
                bob.register()
            with UA("bob", prefix + "11", (prefix + "77", 5060)) as bob:
                bob.socket.connect((prefix + "77", 5060))
                bob.socket.send(b"OPTIONS sip:x SIP/2.0\r\n\r\n")
                try:
                    bob.socket.settimeout(1)
                    bob.socket.recv(1000)
                    raise AssertionError("somebody answers on the file's address")
                except ConnectionRefusedError:
                    pass
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@test("STATE_DIRECTORY and RUNTIME_DIRECTORY are honoured")
def environment():
    directory = tempfile.mkdtemp(prefix="sipfork-")
    state, runtime = os.path.join(directory, "s"), os.path.join(directory, "r")
    try:
        for path in (state, runtime):
            os.mkdir(path)
        os.environ["STATE_DIRECTORY"], os.environ["RUNTIME_DIRECTORY"] = state, runtime
        prefix = network()
        proxy = Sipfork(prefix=prefix, arguments=["--domain", "example.org", "--listen", f"udp:{prefix}1:5060"])
        proxy.names_directories = False
        proxy.socket_path = os.path.join(runtime, "control.sock")
        with proxy:
            equal(proxy.status()["pid"], proxy.process.pid, "pid in status")
            true(os.path.exists(os.path.join(state, "location.db")), "location.db is in STATE_DIRECTORY")
            mode = os.stat(proxy.socket_path).st_mode & 0o777
            equal(oct(mode), oct(0o660), "mode of control.sock")
    finally:
        del os.environ["STATE_DIRECTORY"], os.environ["RUNTIME_DIRECTORY"]
        shutil.rmtree(directory, ignore_errors=True)


@test("an address that is taken: exit 1, and the message names the address")
def address_taken():
    prefix = network()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((prefix + "1", 5060))
        directory = tempfile.mkdtemp(prefix="sipfork-")
        try:
            status, output = daemon(
                "--domain", "example.org", "--listen", f"udp:{prefix}1:5060", "--state-directory", directory,
                "--runtime-directory", directory)
            equal(status, 1, f"exit status ({output})")
            contains(output, "Address already in use", "what it says")
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@test("a second sipforkd in the same runtime directory does not start, and leaves the first its socket")
def second_service():
    with Sipfork() as proxy:
        status, output = daemon(
            "--domain", "example.org", "--listen", f"udp:{proxy.prefix}1:5070", "--state-directory",
            proxy.state_directory, "--runtime-directory", proxy.runtime_directory)
        equal(status, 1, f"exit status ({output})")
        contains(output, "another sipforkd serves", "what it says")
        equal(proxy.status()["pid"], proxy.process.pid, "who answers on the socket")


@test("sipforkctl check judges as sipforkd -t does: the same words on stderr, the same status")
def checked_by_the_tool():
    with tempfile.TemporaryDirectory(prefix="sipfork-") as directory:
        path = os.path.join(directory, "sipfork.toml")

        def run(*command):
            return subprocess.run(command, capture_output=True, text=True, timeout=10, cwd=directory)

        for text, status in (
                (GOOD, 0), ("", 0), ("[timers]\nc = 1000\n", 0), ("[server]\nworker = 2\n", EX_CONFIG),
                ("[server]\nworkers = \"many\"\nmode = 3\nlisten = [\"udp:nowhere\"]\n", EX_CONFIG),
                ("[server\n", EX_CONFIG), ("\xff\x1b[2J = 1", EX_CONFIG), (None, EX_CONFIG)):
            if text is None:
                os.unlink(path)
            else:
                with open(path, "w") as file:
                    file.write(text)
            judged, tool = run(DAEMON, "-t", "-c", path), run(CONTROL, "check", path)
            equal(judged.returncode, status, f"sipforkd -t of {text!r}")
            equal(tool.returncode, status, f"sipforkctl check of {text!r}")
            equal(tool.stderr, judged.stdout + judged.stderr, f"what they say of {text!r}")
            equal(tool.stdout, f"{path} is good\n" if status == 0 else "", f"stdout of {text!r}")
            found = run(CONTROL, "--json", "check", path)
            equal((found.returncode, found.stderr), (status, ""), f"--json of {text!r}")
            diagnostics = json.loads(found.stdout)
            for each in diagnostics:
                equal(each["severity"], "error" if status else "warning", "severity")
            lines = [
                ("" if status else "warning: ")
                + (f"{each['file']}:{each['line']}:{each['column']}: {each['message']}" if each["line"]
                   else f"{each['file']}: {each['message']}") for each in diagnostics]
            equal(lines, tool.stderr.splitlines(), f"diagnostics of {text!r}")
        for arguments in (("a", "b"), ("--socket", "x", "a")):
            equal(run(CONTROL, "check", *arguments).returncode, EX_USAGE, f"check {arguments}")


@test("--version: of both programs the same, and that of the package")
def version():
    with open(os.path.join(ROOT, "packaging/debian/changelog")) as file:
        wanted = re.match(r"sipfork \(([^)]+)\)", file.readline())[1]
    for program in (DAEMON, CONTROL):
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10)
        equal((done.returncode, done.stdout, done.stderr), (0, f"{wanted}\n", ""), f"{program} --version")
