"""sipp as a peer: one process per scenario, its counters read back from its statistics file."""

import csv
import glob
import os
import signal
import shutil
import subprocess
import tempfile

from waiting import await_listener

SCENARIOS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios")
PORT = 5070


class Sipp:
    """A sipp on `address`:5070 that plays `scenario`; further arguments go to sipp as they are. One that `listens` is
    there when this returns. `transport` is sipp's: u1, t1 (one connection), tn (one connection for each call).
    """

    def __init__(self, scenario, address, remote, *arguments, listens=False, transport="u1", port=PORT):
        self.directory = tempfile.mkdtemp(prefix="sipfork-sipp-")
        self.scenario = scenario
        self.command = [
            "sipp", f"[{remote[0]}]:{remote[1]}" if ":" in remote[0] else f"{remote[0]}:{remote[1]}",
            "-sf", os.path.join(SCENARIOS, scenario + ".xml"), "-i", address, "-p", str(port), "-bind_local",
            "-t", transport, "-max_socket", "1000", "-nostdin", "-trace_stat", "-stf", "statistics.csv", "-fd", "1",
            "-trace_err", "-error_file", "errors", "-buff_size", "4194304", *arguments]
        self.output = open(os.path.join(self.directory, "screen"), "wb")
        self.process = subprocess.Popen(
            self.command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output)
        if listens:
            await_listener(address, port, "udp" if transport[0] == "u" else "tcp")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            error.add_note(self.story())
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def wait(self, timeout):
        """Waits for the end of the scenario; gives sipp's exit status (0: every call succeeded)."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"sipp {self.scenario} was not done in {timeout} s\n{self.story()}") from None

    def stop(self):
        """Ends a callee: SIGUSR1 lets it finish its calls, then SIGKILL. The statistics are written before."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if not self.output.closed:
            self.output.close()

    def counters(self):
        """sipp's last cumulative statistics, {"SuccessfulCall", "FailedCall", "Retransmissions", …} as integers."""
        with open(os.path.join(self.directory, "statistics.csv")) as file:
            rows = [row for row in csv.reader(file, delimiter=";") if row]
        result = {}
        for name, value in zip(rows[0], rows[-1]):
            if name.endswith("(C)") and value.isdigit():
                result[name[:-3]] = int(value)
        return result

    def story(self, lines=15):
        """The end of sipp's error file, for a failure's report."""
        text = f"--- sipp {self.scenario}: the first errors ---\n"
        for path in glob.glob(os.path.join(self.directory, "errors*")):
            with open(path, errors="replace") as file:
                text += "\n".join(file.read().splitlines()[:lines * 2])[:3000]
        path = os.path.join(self.directory, "screen")
        if "errors" not in os.listdir(self.directory) and os.path.exists(path):
            with open(path, errors="replace") as file:
                text += "\n".join(file.read().splitlines()[-lines:])
        return text
