"""A SIP user agent for tests that need every byte under control: one UDP socket, messages in and out, no automatics."""

import random
import socket
import time

from message import Message, Request, reply_to
from waiting import readable

_random = random.Random()


def token(length=10):
    return "".join(_random.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(length))


class Dialog:
    """What one side knows of a call: enough to build the requests in it (RFC 3261 §12)."""

    def __init__(self, ua, call_id, local, remote, target, routes, cseq):
        self.ua, self.call_id, self.local, self.remote = ua, call_id, local, remote
        self.target, self.routes, self.cseq = target, routes, cseq

    @staticmethod
    def of_caller(ua, invite, response):
        routes = list(reversed(response.values("Record-Route")))
        return Dialog(
            ua, invite.get("Call-ID"), invite.get("From"), response.get("To"), response.contact(), routes, invite.cseq)

    @staticmethod
    def of_callee(ua, invite, response):
        routes = invite.values("Record-Route")
        return Dialog(ua, invite.get("Call-ID"), response.get("To"), invite.get("From"), invite.contact(), routes, 0)

    def request(self, method, cseq=None, **more):
        """A request in the dialog; ACK takes the INVITE's CSeq, every other the next."""
        if cseq is None:
            if method != "ACK":
                self.cseq += 1
            cseq = self.cseq
        return self.ua.request(
            method, self.target, from_=self.local, to=self.remote, call_id=self.call_id, cseq=cseq,
            routes=self.routes, **more)


class UA:
    """A user agent on one address, IPv4 or IPv6. `proxy` is where requests go unless told otherwise.

    `host` is the address as SIP writes it, an IPv6 one in brackets. `tcpua.TCPUA` is the same over TCP.
    """

    transport = "UDP"
    parameters = ""  # of our URI

    def __init__(self, name, address, proxy, port=0, domain="example.org"):
        self.name, self.proxy, self.domain = name, proxy, domain
        self.socket = self.bound(address, port)
        self.address, self.port = self.socket.getsockname()[:2]
        self.host = f"[{self.address}]" if ":" in address else self.address
        self.uri = f"sip:{name}@{self.host}:{self.port}{self.parameters}"
        self.aor = f"sip:{name}@{domain}"
        self.seen = set()

    def bound(self, address, port):
        """Our socket, with room for a burst."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        try:
            bound.bind((address, port))
        except OSError:
            bound.close()
            raise
        return bound

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    # Out

    def request(self, method, uri, to=None, from_=None, call_id=None, cseq=1, branch=None, routes=(), headers=(),
                body=b"", via=None, contact=True, max_forwards=70, drop=()):
        """Builds a request; `headers` are further (name, value) pairs, `drop` names what to leave out."""
        branch = branch or "z9hG4bK" + token()
        lines = [("Via", via or f"SIP/2.0/{self.transport} {self.host}:{self.port};branch={branch};rport")]
        lines += [("Route", route) for route in routes]
        lines += [("Max-Forwards", str(max_forwards))] if max_forwards is not None else []
        lines += [
            ("From", from_ or f"<{self.aor}>;tag={token()}"), ("To", to or f"<{uri}>"),
            ("Call-ID", call_id or f"{token(16)}@{self.host}"), ("CSeq", f"{cseq} {method}")]
        if contact and method not in ("ACK", "CANCEL", "BYE"):
            lines.append(("Contact", f"<{self.uri}>"))
        lines += list(headers)
        lines.append(("Content-Length", str(len(body))))
        return Request(method, uri, [line for line in lines if line[0] not in drop], body)

    def send(self, message, to=None):
        """Sends a message (or raw bytes), by default to the proxy; gives it back."""
        self.socket.sendto(message if isinstance(message, bytes) else message.encode(), to or self.proxy)
        return message

    def answer(self, request, status, reason="", tag=None, **more):
        """Answers a received request where it came from; gives the response."""
        response = reply_to(request, status, reason, tag or self.name, contact=f"<{self.uri}>", **more)
        return self.send(response, request.source)

    def invite(self, user, **more):
        body = more.pop("body", b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n")
        return self.send(self.request("INVITE", f"sip:{user}@{self.domain}", body=body, **more))

    def ack_failure(self, invite, response):
        """The ACK for a failure response, hop by hop: the INVITE's branch and its Route (RFC 3261 §17.1.1.3)."""
        ack = self.request(
            "ACK", invite.uri, to=response.get("To"), from_=invite.get("From"), call_id=invite.get("Call-ID"),
            cseq=invite.cseq, via=invite.get("Via"), routes=invite.values("Route"))
        return self.send(ack)

    def cancel(self, invite):
        """The CANCEL for an INVITE of ours (RFC 3261 §9.1)."""
        cancel = self.request(
            "CANCEL", invite.uri, to=invite.get("To"), from_=invite.get("From"), call_id=invite.get("Call-ID"),
            cseq=invite.cseq, via=invite.get("Via"), routes=invite.values("Route"))
        return self.send(cancel)

    # In

    def receive(self, timeout=3.0, again=True):
        """The next message, or None when the time is over. Without `again`, retransmissions are passed over: with
        T1 at 50 ms a busy machine causes some.
        """
        deadline = time.monotonic() + timeout
        while readable([self.socket], deadline - time.monotonic()):
            data, source = self.socket.recvfrom(65535)
            repeated = data in self.seen
            self.seen.add(data)
            if again or not repeated:
                return Message.parse(data, source)
        return None

    def expect(self, wanted, timeout=3.0, ignore=(), again=False):
        """The next message must be `wanted`: a method, or a status. What is in `ignore` may come before it."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.receive(deadline - time.monotonic(), again)
            if message is None:
                raise AssertionError(f"{self.name}: waited {timeout:g} s in vain for {wanted}")
            if message.kind == wanted:
                return message
            if message.kind not in ignore:
                text = message.raw[:1500].decode(errors="replace")
                raise AssertionError(f"{self.name}: wanted {wanted}, received {message.kind}:\n{text}")

    def answer_of(self, invite, wanted, timeout=3.0, ignore=(100,), again=False):
        """The next response must be `wanted` and belong to this request of ours."""
        response = self.expect(wanted, timeout, ignore, again)
        assert response.get("Call-ID") == invite.get("Call-ID"), f"{self.name}: a response of another call"
        assert response.get("CSeq") == invite.get("CSeq"), f"{self.name}: CSeq {response.get('CSeq')}"
        assert len(response.values("Via")) == len(invite.values("Via")), f"{self.name}: Via {response.values('Via')}"
        assert response.branch == invite.branch, f"{self.name}: branch {response.branch}, not {invite.branch}"
        return response

    def expect_final(self, request, timeout=3.0, passing=False):
        """The final response to this request of ours, whatever it says; with `passing`, other messages may come before."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.receive(deadline - time.monotonic())
            if message is None:
                raise AssertionError(f"{self.name}: waited {timeout:g} s in vain for a final response")
            mine = message.is_response and message.get("Call-ID") == request.get("Call-ID")
            if mine and message.kind >= 200 and message.get("CSeq") == request.get("CSeq"):
                return message
            if not mine and not passing:
                raise AssertionError(f"{self.name}: wanted a final response, received {message.start}")

    def silent(self, seconds, ignore=(), again=False):
        """Fails when anything but `ignore` arrives within this time; with `again`, retransmissions fail too."""
        deadline = time.monotonic() + seconds
        while (message := self.receive(deadline - time.monotonic(), again)) is not None:
            if message.kind not in ignore:
                text = message.raw[:1500].decode(errors="replace")
                raise AssertionError(f"{self.name}: wanted silence, received {message.kind}:\n{text}")

    def drain(self):
        """Takes and forgets everything that is there now; gives the messages."""
        taken = []
        while (message := self.receive(0)) is not None:
            taken.append(message)
        return taken

    # Short ways

    def register(self, expires=3600, contact=None, user=None, call_id=None, cseq=1, want=200, headers=()):
        """Registers our contact (or the given Contact value, or none for "") and awaits the answer."""
        aor = f"sip:{user or self.name}@{self.domain}"
        contact = f"<{self.uri}>" if contact is None else contact
        lines = ([("Contact", contact)] if contact else []) + list(headers)
        lines += [("Expires", str(expires))] if expires is not None else []
        request = self.request(
            "REGISTER", f"sip:{self.domain}", to=f"<{aor}>", from_=f"<{aor}>;tag={token()}", contact=False,
            call_id=call_id, cseq=cseq, headers=lines)
        self.send(request)
        return self.answer_of(request, want)
