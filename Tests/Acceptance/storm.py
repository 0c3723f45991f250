"""Storms: sipp calls (and registers) through the proxy for a while, and a thread kills processes meanwhile."""

import contextlib
import os
import random
import signal
import threading

from sipp import PORT, Sipp
from testing import equal, true
from ua import UA

RATE = 300  # calls per second
SECONDS = 20
PATIENT = ("-default_behaviors", "all,-abortunexp", "-watchdog_minor_maxtriggers", "1000000")


class Trouble:
    """Calls `strike` every `interval` seconds in a thread while it is entered, with a number that counts up; at the end
    raises what went wrong there.
    """

    def __init__(self, strike, interval=1.0):
        self.strike, self.interval = strike, interval
        self.done, self.count, self.failure = threading.Event(), 0, None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while not self.done.wait(self.interval):
                self.strike(self.count)
                self.count += 1
        except BaseException as failure:  # for the test to raise
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.done.set()
        self.thread.join(30)
        if self.failure is not None:
            if error is None:
                raise self.failure
            error.add_note(f"and the trouble itself failed: {self.failure!r}")


def kill(proxy, role):
    """kill -9 of the process with this role, as soon as there is one."""
    os.kill(proxy.replaced(role, None, 10), signal.SIGKILL)


def killer(proxy, *roles):
    """A strike that kills one of these at random."""
    dice = random.Random(6)
    return lambda _: kill(proxy, dice.choice(roles))


class Storm:
    """A registered callee, a caller and phones, all sipp, for `seconds` at `rate` calls per second, each of which rings
    for `ringing` milliseconds. Enter it, and what is in the block happens meanwhile; `finish` waits for the end and
    checks that nothing was lost.

    `users` are whom the caller calls in turn; `phones` is how many register per second. Several at once need each a
    `place` of its own.
    """

    def __init__(self, proxy, rate=RATE, seconds=SECONDS, users=None, phones=0, ringing=300, place=0):
        self.proxy, self.seconds, self.ringing, self.place = proxy, seconds, ringing, place
        self.user = f"callee{place}"
        self.users = users or [f"{self.user}@example.org"]
        self.rate, self.count = rate, rate * seconds
        self.phone_rate, self.phone_count = phones, phones * seconds
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            proxy, enter = self.proxy, self.stack.enter_context
            hosts = [f"{proxy.prefix}{10 * self.place + number}" for number in (2, 3, 4, 5)]
            with UA(self.user, hosts[3], proxy.address) as registrant:
                registrant.register(contact=f"<sip:{self.user}@{hosts[1]}:{PORT}>")
            self.before = proxy.status()["counters"]
            self.callee = enter(Sipp(
                "stormcallee", hosts[1], (hosts[1], 9), *PATIENT, "-d", str(self.ringing), listens=True))
            table = os.path.join(self.callee.directory, "users.csv")
            with open(table, "w") as file:
                file.write("SEQUENTIAL\n" + "".join(f"{user};\n" for user in self.users))
            load = self.load(self.count, self.rate)
            self.caller = enter(
                Sipp("stormcaller", hosts[0], proxy.address, *load, "-inf", table, port=PORT + 1))
            self.phones = None
            if self.phone_count:
                self.phones = enter(Sipp(
                    "stormphone", hosts[2], proxy.address, *self.load(self.phone_count, self.phone_rate)))
        except BaseException:
            self.stack.close()
            raise
        return self

    def load(self, count, rate):
        limit = str(self.seconds + 40)
        return (*PATIENT, "-m", str(count), "-r", str(rate), "-rp", "1000", "-l", str(count), "-timeout", limit + "s",
                "-timeout_error", "-recv_timeout", "35000")

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def finish(self):
        """Waits for the last call; every one must have succeeded. Prints what had to be sent again."""
        limit = self.seconds + 50
        code = self.caller.wait(limit)
        registered = self.phones.wait(limit) if self.phones else 0
        self.callee.stop()
        caller, callee = self.caller.counters(), self.callee.counters()
        phones = self.phones.counters() if self.phones else None
        after = self.proxy.status()["counters"]
        again = {name: after[name] - self.before.get(name, 0)
                 for name in ("retransmissions_sent", "retransmissions_absorbed")}
        print(
            f"          {caller['SuccessfulCall']} calls, {caller['FailedCall']} failed; retransmissions: caller "
            f"{caller['Retransmissions']}, callee {callee['Retransmissions']}, "
            + (f"phones {phones['Retransmissions']} of {2 * phones['SuccessfulCall']}, " if phones else "")
            + f"proxy {again['retransmissions_sent']}, absorbed {again['retransmissions_absorbed']}", flush=True)
        failed = {"calls": caller["FailedCall"], "phones": phones["FailedCall"] if phones else 0}
        equal(failed, {"calls": 0, "phones": 0}, "what failed")
        equal(caller["SuccessfulCall"], self.count, "successful calls")
        equal(callee["IncomingCall"], self.count, "INVITEs that reached the callee as new calls")
        equal((code, registered), (0, 0), "sipp's exit status")
        if phones:
            equal(phones["SuccessfulCall"], self.phone_count, "phones that have registered twice")
        return {"caller": caller, "callee": callee}

    def all_registered(self, proxy):
        """Every phone has both of its contacts."""
        rows = {row["aor"].removeprefix("sip:"): row["contacts"] for row in proxy.ctl("registrations")}
        lost = [
            number for number in range(1, self.phone_count + 1)
            if len(rows.get(f"phone{number}@example.org", ())) != 2]
        true(not lost, f"registrations that are lost: {lost[:20]}, {len(lost)} in all")
