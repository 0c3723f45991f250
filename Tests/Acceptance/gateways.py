"""A service with configured routes and the hops that they lead to, for the tests of [[route]]."""

import contextlib
import select
import time

from harness import DOMAIN, FAST_TIMERS, Sipfork, network
from testing import equal
from ua import UA

SILENCE = 64 * FAST_TIMERS["t1"] / 1000  # until a hop that says nothing is given up
LONG = 3600  # a dead time that ends in no test


class Stage:
    """A proxy with routes, the hops that they lead to, and alice. In the routes given, `to` holds numbers of hops
    (or URIs, as they are); hop n has an address of its own, port 5060 but for hop 1, which listens on 5080.
    """

    def __init__(self, *routes, hops=2, **sections):
        self.prefix = network()
        self.hosts = [f"{self.prefix}{30 + n}" for n in range(hops)]
        self.ports = [5080 if n == 1 else 5060 for n in range(hops)]
        uris = [f"sip:{host}" + (f":{port}" if port != 5060 else "") for host, port in zip(self.hosts, self.ports)]
        tables = [{**route, "to": [uris[to] if isinstance(to, int) else to for to in route["to"]]} for route in routes]
        self.settings = {"timers": FAST_TIMERS, **sections, "route": tables}
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.proxy = self.stack.enter_context(Sipfork(self.settings, self.prefix))
            self.alice = self.phone("alice", 2)
            self.hops = [
                self.stack.enter_context(UA(f"gw{n}", host, self.proxy.address, port))
                for n, (host, port) in enumerate(zip(self.hosts, self.ports))]
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *error):
        # The proxy is the last to leave, and checks its clean stop only where the test has passed.
        return self.stack.__exit__(*error)

    def phone(self, name, number):
        return self.stack.enter_context(UA(name, f"{self.prefix}{number}", self.proxy.address))

    def taken(self, request, timeout=3.0):
        """The number of the hop that gets this request first, and what it got."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            for ready in select.select([hop.socket for hop in self.hops], [], [], left)[0]:
                number = [hop.socket for hop in self.hops].index(ready)
                message = self.hops[number].receive(0, again=False)
                if message is not None and message.get("Call-ID") == request.get("Call-ID"):
                    equal(message.kind, request.kind, f"what hop {number} got")
                    return number, message
        raise AssertionError(f"waited {timeout:g} s in vain for a hop to get {request.start}")

    def passes(self, uri, hop=0, method="MESSAGE", ua=None, **more):
        """A request goes to that hop, untouched where it must be, and its answer comes back."""
        ua = ua or self.alice
        request = ua.send(ua.request(method, uri, **more))
        number, seen = self.taken(request)
        equal(number, hop, f"the hop that got {request.start}")
        equal(seen.uri, uri, "Request-URI at the hop")
        equal(seen.values("Route"), [], "Route at the hop")
        self.hops[hop].answer(seen, 200)
        ua.answer_of(request, 200)
        return seen

    def stays(self, uri, status=480, method="MESSAGE", ua=None, **more):
        """A request is answered by the proxy itself, and no hop hears of it."""
        ua = ua or self.alice
        request = ua.send(ua.request(method, uri, **more))
        response = ua.answer_of(request, status)
        if method == "INVITE":
            ua.ack_failure(request, response)
        self.quiet()

    def quiet(self, seconds=0.05, *numbers):
        """Nothing new comes to these hops, or to any."""
        for number in numbers or range(len(self.hops)):
            self.hops[number].silent(seconds)

    def fails(self, uri=f"sip:+1@{DOMAIN}", *numbers):
        """A request for which hops, in this order, answer 503; gives it."""
        request = self.alice.send(self.alice.request("MESSAGE", uri))
        for number in numbers:
            found, seen = self.taken(request)
            equal(found, number, "the hop that is asked")
            self.hops[number].answer(seen, 503)
        return request


def number(user="+4930123456", domain=DOMAIN):
    return f"sip:{user}@{domain}"
