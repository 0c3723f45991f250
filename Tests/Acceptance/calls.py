"""Load: sipp calls a registered sipp through the proxy, record-routed."""

from harness import FAST_TIMERS, Sipfork
from sipp import PORT, Sipp
from testing import equal, test, true
from ua import UA
from waiting import eventually

ALONE = True


def arena(proxy):
    """The counts of the arena in use: what must be back where it began when all is over."""
    counts = proxy.status()["arena"]
    return {name: counts[name] for name in ("records", "slots", "stored")}


def run_calls(proxy, count, rate, timeout, caller="u1", callee="u1", hosts=None, remote=None):
    """Plays `count` calls through the proxy and checks that all succeeded. `caller` and `callee` are sipp's transports,
    `hosts` their addresses; `remote` is where the caller finds the proxy, if not at its first address. Gives what both
    have counted.
    """
    hosts = hosts or (proxy.prefix + "2", proxy.prefix + "3")
    contact = f"<sip:callee@{f'[{hosts[1]}]' if ':' in hosts[1] else hosts[1]}:{PORT}"
    with UA("callee", proxy.prefix + "4", proxy.address) as registrant:
        registrant.register(contact=contact + (";transport=tcp>" if callee[0] == "t" else ">"))
    nowhere = (hosts[1], 9)  # a callee calls nobody, but takes its family from this
    with Sipp("callee", hosts[1], nowhere, listens=True, transport=callee) as callee:
        with Sipp(
                "caller", hosts[0], remote or proxy.address, "-s", "callee", "-m", str(count), "-r", str(rate),
                "-l", str(count), "-timeout", f"{timeout}s", "-timeout_error", "-recv_timeout", "20000",
                transport=caller, port=PORT + 1) as caller:
            code = caller.wait(timeout + 10)
            counters = caller.counters()
            callee.stop()
            answered = callee.counters()
            print(
                f"          {counters['SuccessfulCall']} calls, {counters['FailedCall']} failed; retransmissions: "
                f"caller {counters['Retransmissions']}, callee {answered['Retransmissions']}")
            equal(counters["FailedCall"], 0, "failed calls")
            equal(counters["SuccessfulCall"], count, "successful calls")
            equal(code, 0, "sipp's exit status")
            equal(answered["SuccessfulCall"], count, "calls that the callee saw through")
            equal(answered["IncomingCall"], count, "INVITEs that reached the callee as new calls")
            return {"caller": counters, "callee": answered}


@test("2,000 record-routed calls at 200/s: none failed, no 200 before its 180, nothing leaks", limit=120)
def load():
    with Sipfork({"timers": {"t1": 100, "t2": 800, "t4": 1000}}) as proxy:
        pids = proxy.workers()
        before = arena(proxy)
        run_calls(proxy, 2000, 200, 60)
        proxy.idle(30)
        eventually(lambda: arena(proxy) == before, f"the arena's counts back at {before}", 10)
        equal(proxy.workers(), pids, "worker pids")


@test("300 calls with the RFC's timers", limit=90)
def default_timers():
    with Sipfork() as proxy:
        run_calls(proxy, 300, 100, 40)
        true(proxy.status()["transactions"] > 0, "transactions live on in status until their timers (32 s) ran off")


@test("1,000 calls over three workers, twice: the second leaves the counts of the first", limit=120)
def twice():
    with Sipfork({"server": {"workers": 3}, "timers": FAST_TIMERS}) as proxy:
        run_calls(proxy, 1000, 200, 40)
        proxy.idle(30)
        before = arena(proxy)
        run_calls(proxy, 1000, 200, 40)
        proxy.idle(30)
        eventually(lambda: arena(proxy) == before, f"the arena's counts back at {before}", 10)
