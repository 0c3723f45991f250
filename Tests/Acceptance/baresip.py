"""A headless baresip (Debian's package): audio from a file, no sound card, driven over its ctrl_tcp module."""

import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
import wave

from waiting import eventually

CONTROL_PORT = 4444


class Baresip:
    """One phone on an address of its own; it registers at the proxy and, if told so, answers by itself."""

    def __init__(self, user, address, proxy, domain="example.org", answers=False, transport="udp"):
        self.user, self.address = user, address
        self.events, self.buffer, self.connection = [], b"", None
        self.directory = tempfile.mkdtemp(prefix="sipfork-baresip-")
        self.write("tone.wav", None)
        mode = ";answermode=auto" if answers else ""
        self.write("accounts", (
            f"<sip:{user}@{domain};transport={transport}>;outbound=\"sip:{proxy[0]}:{proxy[1]};transport={transport}\""
            f";regint=60;auth_pass=none;audio_codecs=pcmu{mode}\n"))
        modules = "".join(f"module {name}.so\n" for name in ("g711", "aufile", "aubridge", "ctrl_tcp"))
        self.write("config", (
            f"poll_method epoll\nsip_listen {address}:5060\nnet_interface {address}\n"
            f"module_path {module_path()}\n{modules}module_app account.so\nmodule_app menu.so\n"
            f"ctrl_tcp_listen {address}:{CONTROL_PORT}\n"
            f"audio_source aufile,{self.directory}/tone.wav\naudio_player aubridge,{user}\n"
            f"audio_alert aubridge,{user}alert\nrtp_ports 20000-20100\n"))
        self.write("contacts", "")

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        if text is None:  # ten seconds of a square wave at 8 kHz
            with wave.open(path, "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes((b"\0\x10" * 10 + b"\0\xf0" * 10) * 4000)
            return
        with open(path, "w") as file:
            file.write(text)

    def __enter__(self):
        try:
            self.output = open(os.path.join(self.directory, "output"), "wb")
            self.process = subprocess.Popen(
                ["baresip", "-4", "-v", "-f", self.directory], stdin=subprocess.DEVNULL, stdout=self.output,
                stderr=self.output, cwd=self.directory)
            self.connection = eventually(self.connect, f"the control port of {self.user}'s baresip", 10)
            return self
        except BaseException as error:
            error.add_note(self.story())
            self.close()
            raise

    def connect(self):
        assert self.process.poll() is None, f"baresip exited with {self.process.returncode}"
        connection = socket.socket()
        try:
            connection.connect((self.address, CONTROL_PORT))
            return connection
        except ConnectionRefusedError:
            connection.close()
            return None

    def __exit__(self, kind, error, trace):
        if error is not None:
            error.add_note(self.story())
        self.close()

    def close(self):
        """Asks baresip to quit (it unregisters); ends it where it does not."""
        try:
            if self.connection:
                self.command("quit")
            self.process.wait(5)
        except (subprocess.TimeoutExpired, OSError):
            self.process.kill()
            self.process.wait()
        if self.connection:
            self.connection.close()
        self.output.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def command(self, command, parameters=""):
        """Sends a command of the menu module, as a netstring with JSON in it."""
        text = json.dumps({"command": command, "params": parameters, "token": "t"}).encode()
        self.connection.sendall(b"%d:%s," % (len(text), text))

    def read(self, timeout):
        """Takes what the control port says within this time into `events`."""
        if not select.select([self.connection], [], [], max(0.0, timeout))[0]:
            return
        data = self.connection.recv(65536)
        if not data:
            raise AssertionError(f"{self.user}'s baresip closed its control port: exit {self.process.poll()}")
        self.buffer += data
        while b":" in self.buffer:
            length, _, rest = self.buffer.partition(b":")
            size = int(length)
            if len(rest) < size + 1:
                return
            self.events.append(json.loads(rest[:size]))
            self.buffer = rest[size + 1:]

    def expect(self, event, timeout=10.0):
        """Waits for an event of this type, takes it out of the list, and gives it."""
        deadline = time.monotonic() + timeout
        while True:
            for index, entry in enumerate(self.events):
                if entry.get("type") == event:
                    return self.events.pop(index)
            if time.monotonic() > deadline:
                seen = [entry.get("type") or entry for entry in self.events]
                raise AssertionError(f"{self.user}'s baresip: waited {timeout:g} s in vain for {event}; it said {seen}")
            self.read(deadline - time.monotonic())

    def registered(self):
        """Waits for the 200 to its REGISTER: it may come before anybody listens to events, so read the output."""
        eventually(lambda: "200 OK" in self.said(), f"the registration of {self.user}'s baresip", 10)

    def said(self):
        try:
            with open(os.path.join(self.directory, "output"), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def story(self, lines=25):
        return f"--- {self.user}'s baresip ---\n" + "\n".join(self.said().splitlines()[-lines:])


def module_path():
    return next(
        path for path in ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules")
        if os.path.isdir(path))
