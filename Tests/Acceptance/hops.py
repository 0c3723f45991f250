"""Another proxy in the path, played by a test: passes a request on by hand, and its response back."""

from message import Message
from ua import token


def passed_on(hop, request, uri=None, routes=None, via=None):
    """What a proxy at `hop` makes of a request: its Via on top, one hop less. `uri` replaces the Request-URI,
    `routes` the Route; the rest stays as it was.
    """
    fields = [("Via", via or f"SIP/2.0/UDP {hop.host}:{hop.port};branch=z9hG4bK{token()}")]
    fields += [("Route", value) for value in routes or []]
    for name, value in request.fields:
        if name.lower() == "max-forwards":
            value = str(int(value) - 1)
        if name.lower() != "route" or routes is None:
            fields.append((name, value))
    return Message(f"{request.kind} {uri or request.uri} SIP/2.0", fields, request.body)


def passed_back(response):
    """A response without its topmost Via value, one hop further on its way to the caller."""
    vias = response.values("Via")[1:]
    others = [(name, value) for name, value in response.fields if name.lower() not in ("via", "v")]
    return Message(response.start, [("Via", value) for value in vias] + others, response.body)
