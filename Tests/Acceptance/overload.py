"""More than the proxy can carry: new requests are refused at once, and those that were accepted go on as always."""

import csv
import os
import signal
import statistics
import time

from contextlib import ExitStack, contextmanager
from harness import Sipfork, memory
from peers import establish, hang_up, one_callee
from sipp import PORT, Sipp
from supervisor import Supervised
from tcpua import TCPUA
from testing import equal, test, true
from throttle import Throttle
from ua import UA
from waiting import eventually

ALONE = True

ONE_WORKER = {"server": {"workers": 1}, "timers": {"t1": 2000}}  # nothing is lost, so nothing needs a retransmission


@contextmanager
def stopped(pid):
    """A process that stands still: what comes for it waits."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_behind(proxy, more_than=400):
    """Waits until the first worker's delay is more than so many milliseconds."""
    eventually(lambda: proxy.ctl("workers")[0]["delay_ms"] > more_than, "a delay of the worker", 10)


def is_refusal(caller, request, again=True):
    """503, when to come again, and nothing else; gives the response."""
    response = caller.answer_of(request, 503, again=again)
    true(response.get("Retry-After") in ("2", "3", "4", "5"), f"Retry-After: {response.get('Retry-After')}")
    equal(response.values("Via")[0].split(";")[0], request.values("Via")[0].split(";")[0], "Via of the 503")
    true(response.tag(), "a To tag in the 503")
    return response


def counter(proxy, name):
    return proxy.status()["counters"][name]


@test("a worker that stands still: what it has waits, new requests get 503, and then all goes on")
def standing_still():
    with Sipfork(ONE_WORKER) as proxy, one_callee(proxy) as (alice, (bob,)):
        outgoing, _ = establish(alice, bob)
        with stopped(proxy.workers()[0]):
            first = alice.invite("bob")
            is_behind(proxy)
            worker = proxy.ctl("workers")[0]
            true(worker["queue"] >= 1 and worker["delay_ms"] > 400, f"queue and delay in workers: {worker}")
            refused = alice.invite("bob")
            alice.ack_failure(refused, is_refusal(alice, refused))
            again = alice.invite("bob")
            response = is_refusal(alice, again)
            alice.ack_failure(again, response)
            alice.send(again)  # our ACK may have been lost on its way to another server
            equal(is_refusal(alice, again).raw, response.raw, "the 503 to a copy of the request")
            alice.ack_failure(again, response)
            for method in ("OPTIONS", "MESSAGE", "SUBSCRIBE"):
                is_refusal(alice, alice.send(alice.request(method, f"sip:bob@{alice.domain}")))
            register = alice.request("REGISTER", f"sip:{alice.domain}", to=f"<{alice.aor}>")
            is_refusal(alice, alice.send(register))
            # What was accepted is not refused when it comes again, nor is what is in a dialog.
            alice.send(first)
            alice.send(outgoing.request("BYE"))
            alice.silent(0.3)
        seen = bob.expect("INVITE", 5, ignore=("BYE",))
        equal(seen.get("Call-ID"), first.get("Call-ID"), "the call that was accepted")
        bob.answer(seen, 180)
        alice.answer_of(first, 180, ignore=(100,))
        equal(counter(proxy, "refused_overload"), 7, "refused_overload")
        eventually(lambda: counter(proxy, "answers_acknowledged") == 3, "the ACKs to refusals in their counter")
        eventually(lambda: proxy.ctl("workers")[0]["delay_ms"] == 0, "no delay any more")
        fresh = alice.invite("bob")
        bob.expect("INVITE", ignore=("BYE",))
        alice.answer_of(fresh, 100, ignore=(200,))
        equal(counter(proxy, "retransmissions_absorbed"), 1, "the accepted request that came again")


@test("the journal is told when it begins and when it ends, and how many were refused")
def told():
    with Sipfork(ONE_WORKER) as proxy, one_callee(proxy) as (alice, (bob,)):
        with stopped(proxy.workers()[0]):
            alice.invite("bob")
            is_behind(proxy)
            for _ in range(20):
                is_refusal(alice, alice.invite("bob"))
        bob.expect("INVITE", 5)
        proxy.await_log("no longer overloaded: 20 new requests were answered 503", 15)
        lines = [line for line in proxy.log().splitlines() if "overloaded" in line]
        equal(len(lines), 2, f"entries of an overload in {lines}")
        true("worker 0 waits" in lines[0] and "server.max-delay is 400" in lines[0], f"its begin: {lines[0]}")


@test("over TCP a request is refused on its connection, which goes on")
def over_tcp():
    listen = ["udp:{}1:5060", "tcp:{}1:5060"]
    proxy = Sipfork(ONE_WORKER)
    proxy.merge({"server": {"listen": [each.format(proxy.prefix) for each in listen]}})
    with proxy, one_callee(proxy) as (alice, (bob,)), TCPUA("carol", proxy.prefix + "30", proxy.address) as carol:
        with stopped(proxy.workers()[0]):
            first = carol.invite("bob")
            is_behind(proxy)
            for _ in range(3):
                refused = carol.invite("bob")
                carol.ack_failure(refused, is_refusal(carol, refused))
        seen = bob.expect("INVITE", 5)
        equal(seen.get("Call-ID"), first.get("Call-ID"), "the call that was accepted")
        equal(proxy.status()["connections"], 1, "connections")


@test("only those whose worker is behind are refused: calls of the others go on")
def one_of_two():
    with Sipfork({"server": {"workers": 2}, "timers": {"t1": 2000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        with stopped(proxy.workers()[0]):
            for _ in range(8):  # one of them at least is for the worker that stands still
                alice.invite("bob")
            is_behind(proxy)
            alice.drain()
            bob.drain()
            asked = {invite.get("Call-ID") for invite in (alice.invite("bob") for _ in range(40))}
            answered = {message.get("Call-ID") for message in iter(lambda: alice.receive(0.5), None)
                        if message.kind == 503}
            called = {message.get("Call-ID") for message in bob.drain() if message.kind == "INVITE"}
            true(answered and called, f"{len(answered)} of 40 refused, {len(called)} at the callee")
            equal(answered & called, set(), "calls that were refused and forwarded")
            equal(answered | called, asked, "calls refused or forwarded")


@test("while the locator stands still REGISTERs are refused, and calls go on")
def locator():
    with Sipfork(ONE_WORKER) as proxy, one_callee(proxy) as (alice, (bob,)):
        with stopped(proxy.named("locator")):
            register = alice.request("REGISTER", f"sip:{alice.domain}", to=f"<{alice.aor}>")
            alice.send(register)

            def refused():
                again = alice.request("REGISTER", f"sip:{alice.domain}", to=f"<{alice.aor}>")
                alice.send(again)
                answer = alice.receive(0.1)
                return answer is not None and answer.kind == 503 and answer.get("Retry-After")

            eventually(refused, "a REGISTER that is refused")
            outgoing, incoming = establish(alice, bob)
            hang_up(outgoing, incoming)
        alice.answer_of(register, 200, 5, ignore=(503,))


@test("server.max-delay takes another value by a reload")
def reloaded():
    with Sipfork(ONE_WORKER) as proxy, one_callee(proxy) as (alice, (bob,)):
        proxy.reload(server={"max-delay": 20_000})
        with stopped(proxy.workers()[0]):
            first = alice.invite("bob")
            is_behind(proxy, 600)
            second = alice.invite("bob")
            alice.silent(0.3)
        seen = {bob.expect("INVITE", 5).get("Call-ID") for _ in range(2)}
        equal(seen, {first.get("Call-ID"), second.get("Call-ID")}, "calls at the callee")
        equal(counter(proxy, "refused_overload"), 0, "refused_overload")


@test("the next master knows what was accepted: it is not refused when it comes again")
def next_master():
    with Supervised(ONE_WORKER) as proxy, one_callee(proxy) as (alice, (bob,)):
        first = alice.invite("bob")
        bob.answer(bob.expect("INVITE"), 180)
        alice.answer_of(first, 180)
        proxy.strike()
        with stopped(proxy.workers()[0]):
            alice.invite("bob")
            is_behind(proxy)
            # A worker that ended right behind its 180 leaves its successor to send that again.
            is_refusal(alice, alice.invite("bob"), again=False)
            alice.send(first)
            alice.silent(0.2)
        equal(counter(proxy, "refused_overload"), 1, "refused_overload")


# Load

SHARE = 0.03  # of a processor, for the only worker: so a sipp or two are ten times what it can carry
CALLERS = 3
WARM_UP, MEASURED = 2, 6  # seconds


class Callers:
    """Some sipps that call together, and what became of their calls."""

    def __init__(self, proxy, stack, count, *arguments):
        self.sipps = [
            stack.enter_context(Sipp(
                "willing", f"{proxy.prefix}{20 + index}", proxy.address, "-s", "callee", "-recv_timeout", "20000",
                "-timeout", f"{WARM_UP + MEASURED}s", *arguments, port=PORT + 1)) for index in range(count)]

    def rows(self, sipp):
        """The rows of a sipp's statistics: {"name": value}, one a second."""
        with open(os.path.join(sipp.directory, "statistics.csv")) as file:
            rows = [row for row in csv.reader(file, delimiter=";") if row]
        return [dict(zip(rows[0], row)) for row in rows[1:]]

    def wait(self):
        """Waits for the end; counts calls completed and refused in the time that is measured, and what else was."""
        completed = refused = failed = retransmissions = 0
        for sipp in self.sipps:
            sipp.wait(WARM_UP + MEASURED + 40)
            rows = self.rows(sipp)
            inside = [row for row in rows if WARM_UP <= seconds(row["ElapsedTime(C)"]) <= WARM_UP + MEASURED + 0.5]
            first, last = inside[0], inside[-1]
            time_ = seconds(last["ElapsedTime(C)"]) - seconds(first["ElapsedTime(C)"])
            there = {name: int(last[name]) - int(first[name]) for name in ("SuccessfulCall(C)", "GenericCounter1(C)")}
            completed += (there["SuccessfulCall(C)"] - there["GenericCounter1(C)"]) / time_
            refused += there["GenericCounter1(C)"] / time_
            failed += int(rows[-1]["FailedCall(C)"])
            retransmissions += int(rows[-1]["Retransmissions(C)"])
        return completed, refused, failed, retransmissions


def seconds(text):
    """HH:MM:SS as sipp writes it, with what it adds."""
    hours, minutes, rest = text.split(":")[:3]
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def answer_times(proxy, until):
    """What a caller who asks again and again gets meanwhile: the seconds to each 503."""
    times = []
    with UA("alice", proxy.prefix + "2", proxy.address) as alice:
        while time.monotonic() < until:
            invite = alice.invite("nobody")
            begin = time.monotonic()
            response = alice.receive(2)
            while response is not None and (response.kind == 100 or response.get("Call-ID") != invite.get("Call-ID")):
                response = alice.receive(2)
            true(response is not None, "an answer within two seconds")
            if response.kind == 503:
                times.append(time.monotonic() - begin)
            alice.ack_failure(invite, response)
            time.sleep(0.1)
    return times


class Measured:
    """Calls while the worker is small: how many a second, and what that cost. On a machine where others run, the rate
    says less than what the worker did for a call: `busy` is the part of its share that it used, `messages` what it
    handled for each call.
    """

    def __init__(self, proxy, max_delay, count, *arguments):
        proxy.reload(server={"max-delay": max_delay})
        before = proxy.status()["counters"]
        with Throttle(proxy.workers()[0], SHARE) as throttle, ExitStack() as stack:
            callers = Callers(proxy, stack, count, *arguments)
            begin, used = time.monotonic(), throttle.used()
            self.times = answer_times(proxy, begin + WARM_UP + MEASURED - 1) if max_delay < 60_000 else []
            proxy.status()
            time.sleep(max(0.0, begin + WARM_UP + MEASURED - time.monotonic()))
            self.busy = (throttle.used() - used) / (time.monotonic() - begin) / SHARE
            self.completed, self.refused, self.failed, self.again = callers.wait()
        after = proxy.status()["counters"]
        grown = {name: after[name] - before[name] for name in after}
        handled = grown["requests_received"] + grown["responses_received"]
        handled -= grown["refused_overload"] + grown["answers_acknowledged"]
        self.messages = handled / max(grown["calls_started"], 1)
        print(f"          {self.completed:.0f} completed, {self.refused:.0f} refused, {self.failed} failed, "
              f"{self.again} sent again, 503 after {statistics.median(self.times or [0]) * 1000:.1f} ms; "
              f"{self.messages:.2f} messages a call, {self.busy * 100:.0f} % busy")

    def keeps_up_with(self, best):
        return self.completed >= 0.9 * best.completed


def peak(proxy):
    """When there are always some more calls, but never too many: what the worker can carry, if nothing is refused."""
    best = Measured(proxy, 60_000, 1, "-r", "5000", "-l", "100")
    equal([best.refused, best.failed], [0, 0], "refused and failed calls")
    return best


def beyond(proxy, best, factor):
    """Offers so many times what it can carry."""
    each = str(max(int(best.completed * factor / CALLERS), 1))
    measured = Measured(proxy, 400, CALLERS, "-r", each, "-l", "20000")
    median = statistics.median(measured.times)
    true(measured.refused > 0, "calls are refused")
    true(len(measured.times) > 10 and median < 0.25, f"503 at once: {median} s")
    equal(measured.failed, 0, "calls that neither completed nor were refused")
    return measured


@test("two, five and ten times what it can carry: calls completed a second stay at 90 % of the peak", limit=240)
def load():
    with Sipfork({"server": {"workers": 1}, "log": {"calls": "none"}}) as proxy, Sipp(
            "callee", proxy.prefix + "3", (proxy.prefix + "3", 9), listens=True):
        with UA("callee", proxy.prefix + "4", proxy.address) as registrant:
            registrant.register(contact=f"<sip:callee@{proxy.prefix}3:{PORT}>")
        best = peak(proxy)
        before = memory(proxy.process.pid)["RssAnon"], memory(proxy.workers()[0])["RssAnon"]
        for factor in (2, 5, 10):
            measured = beyond(proxy, best, factor)
            if not measured.keeps_up_with(best):
                best = peak(proxy)  # the machine may have become slower
                measured = beyond(proxy, best, factor)
            # If it still is: the worker had work all the time, and none of it was in vain.
            is_steady = measured.busy > 0.9 * best.busy and measured.messages < 1.1 * best.messages
            true(measured.keeps_up_with(best) or is_steady,
                 f"{measured.completed:.0f} calls/s at {factor} times, {best.completed:.0f} at the peak")
        after = memory(proxy.process.pid)["RssAnon"], memory(proxy.workers()[0])["RssAnon"]
        status = proxy.status()
        counters = status["counters"]
        true(counters["refused_overload"] > counters["calls_started"], "most calls were refused")
        # INVITE and BYE of each call, for 32 seconds: what was refused has left nothing.
        true(status["transactions"] <= 2 * counters["calls_started"] + 10, f"{status['transactions']} transactions")
        true(all(new < old + 8192 for new, old in zip(after, before)), f"private memory: {before} kB, then {after} kB")
        equal([counters[name] for name in ("mail_dropped", "dropped_no_slot")], [0, 0], "messages without room")
        equal(status["workers"][0]["restarts"], 0, "restarts of the worker")
