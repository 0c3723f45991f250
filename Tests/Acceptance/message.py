"""SIP messages as tests see them: the raw bytes, and the header fields in their order."""

import re

COMPACT = {
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type",
    "k": "supported", "s": "subject", "e": "content-encoding"}
LISTS = {"via", "route", "record-route", "contact", "www-authenticate", "proxy-authenticate", "unsupported", "path"}


def full_name(name):
    name = name.strip().lower()
    return COMPACT.get(name, name)


def split_list(value):
    """Splits at the commas outside quotes and angle brackets."""
    parts, depth, quoted, start, i = [], 0, False, 0, 0
    while i < len(value):
        c = value[i]
        if quoted:
            if c == "\\":
                i += 1
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c == "<":
            depth += 1
        elif c == ">":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(value[start:i].strip())
            start = i + 1
        i += 1
    return parts + [value[start:].strip()]


def uri_of(value):
    """The URI in a name-addr or addr-spec."""
    found = re.search(r"<([^>]*)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


def parameter(value, name):
    """A header parameter's value; "" when it is there without a value, None when it is not."""
    after = value.rpartition(">")[2] if "<" in value else value
    for part in after.split(";")[1:]:
        key, _, content = part.strip().partition("=")
        if key.strip().lower() == name:
            return content.strip()
    return None


class Message:
    """A message: `start` line, `fields` as (name, value) in order, `body`; `lines` are the raw fields with folding."""

    def __init__(self, start, fields, body, raw=None, lines=None, source=None):
        self.start, self.fields, self.body = start, fields, body
        self.raw, self.lines, self.source = raw, lines, source

    @staticmethod
    def parse(data, source=None):
        head, _, body = data.partition(b"\r\n\r\n")
        start, *rest = head.split(b"\r\n")
        lines = []
        for line in rest:
            if line[:1] in (b" ", b"\t") and lines:
                lines[-1] += b"\r\n" + line
            else:
                lines.append(line)
        fields = []
        for line in lines:
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name, re.sub(r"\r\n[ \t]+", " ", value).strip()))
        return Message(start.decode("latin-1"), fields, body, data, lines, source)

    def encode(self):
        head = "".join(f"{name}: {value}\r\n" for name, value in self.fields)
        return f"{self.start}\r\n{head}\r\n".encode("latin-1") + self.body

    @property
    def is_response(self):
        return self.start.startswith("SIP/2.0 ")

    @property
    def kind(self):
        """The status of a response, the method of a request."""
        if self.is_response:
            return int(self.start.split(" ")[1])
        return self.start.split(" ")[0]

    @property
    def reason(self):
        return self.start.split(" ", 2)[2]

    @property
    def uri(self):
        return self.start.split(" ")[1]

    def get(self, name):
        """The first field of this name, whole, or None."""
        wanted = full_name(name)
        return next((value for key, value in self.fields if full_name(key) == wanted), None)

    def values(self, name):
        """All values of a header, comma-separated ones apart."""
        wanted = full_name(name)
        found = [value for key, value in self.fields if full_name(key) == wanted]
        if wanted in LISTS - {"www-authenticate", "proxy-authenticate"}:
            found = [part for value in found for part in split_list(value)]
        return found

    @property
    def cseq(self):
        return int(self.get("CSeq").split()[0])

    @property
    def branch(self):
        return parameter(self.values("Via")[0], "branch")

    def contact(self):
        return uri_of(self.values("Contact")[0])

    def tag(self, name="To"):
        return parameter(self.get(name), "tag")


def Request(method, uri, fields, body=b""):
    return Message(f"{method} {uri} SIP/2.0", fields, body)


def reply_to(request, status, reason="", tag=None, contact=None, headers=(), body=b""):
    """The response of a user agent server (RFC 3261 §8.2.6.2), with Record-Route copied."""
    fields = [("Via", value) for value in request.values("Via")]
    fields += [("Record-Route", value) for value in request.values("Record-Route")]
    to = request.get("To")
    if tag and status > 100 and parameter(to, "tag") is None:
        to += f";tag={tag}"
    fields += [("From", request.get("From")), ("To", to), ("Call-ID", request.get("Call-ID"))]
    fields.append(("CSeq", request.get("CSeq")))
    if contact and request.kind == "INVITE" and (100 < status < 300):
        fields.append(("Contact", contact))
    fields += list(headers) + [("Content-Length", str(len(body)))]
    return Message(f"SIP/2.0 {status} {reason or 'Test'}", fields, body)
