"""A reload of server.listen: listeners come and go, those that stay lose nothing, and connections outlive theirs."""

import contextlib
import errno
import os
import signal
import socket
import threading

from harness import DOMAIN
from internet import free_port
from message import uri_of
from peers import accept_cancel, calls, establish, hang_up
from reloadscene import PATIENT, descriptors, processes, refused, reloading, renewed, same_descriptors
from scene import Scene, listeners, options, passes, serves
from tcpdeaths import Forgiving
from tcpua import TCPUA
from testing import contains, equal, test, true
from ua import UA, Dialog
from waiting import eventually, in_proc

BOTH = ("udp", "tcp")


def listen(scene, *hosts, transports=BOTH, more=()):
    """server.listen at these hosts of the block, port 5060."""
    return {"listen": [*listeners(transports, *(f"{scene.prefix}{host}:5060" for host in hosts)), *more]}


def is_free(transport, address, port=5060):
    """Whether another program can have this address now."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as ours:
        if transport == "tcp":  # what was connected there may be there still
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            ours.bind((address, port))
            if transport == "tcp":
                ours.listen()
            return True
        except OSError as error:
            equal(error.errno, errno.EADDRINUSE, f"why {transport}:{address}:{port} cannot be had")
            return False


def inodes(pid):
    """The sockets that a process has open."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return {target for target in found if target.startswith("socket:")}


def listening(transport, address, port=5060):
    """The inode of the socket that has this address, from /proc/net."""
    with open(f"/proc/net/{transport}") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    found = [row[9] for row in rows if row[1] == in_proc(address, port) and row[3] in ("07", "0A")]
    equal(len(found), 1, f"sockets at {transport}:{address}:{port}")
    return found[0]


def whole_call(scene, kind, place, callee):
    """A call by a caller that speaks to the listener at `place` (address, port): it is heard from there, and has it in
    its Record-Route.
    """
    with kind("carol", scene.prefix + "90", place) as carol:
        invite = carol.invite(callee.name)
        seen = callee.expect("INVITE")
        if kind is UA and type(callee) is UA:
            equal(seen.source[:2], place, "where the INVITE comes from: the listener that it came in on")
        callee.answer(seen, 180)
        heard = carol.answer_of(invite, 180)
        if kind is UA:
            equal(heard.source[:2], place, "where the answers come from")
        route = uri_of(heard.values("Record-Route")[-1])
        host = f"[{place[0]}]" if ":" in place[0] else place[0]
        contains(route, f"{host}:{place[1]}", "Record-Route on the caller's side")
        ok = callee.answer(seen, 200)
        outgoing = Dialog.of_caller(carol, invite, carol.answer_of(invite, 200))
        carol.send(outgoing.request("ACK"))
        callee.expect("ACK")
        hang_up(Dialog.of_callee(callee, seen, ok), outgoing)


@test("added listeners serve calls when the command has answered, by UDP and TCP; the old ones stay")
def added():
    with Scene(PATIENT, alice=UA) as scene:
        bob = scene.phone("bob", UA)
        true(is_free("udp", scene.prefix + "201") and is_free("tcp", scene.prefix + "201"), "the new address is free")
        renewed(scene.proxy, server=listen(scene, 1, 201))
        for kind in (UA, TCPUA):
            for place in (scene.proxy.address, (scene.prefix + "201", 5060)):
                whole_call(scene, kind, place, bob)
        equal(set(scene.proxy.status()["listeners"]), set(scene.proxy.settings["server"]["listen"]), "listeners")


@test("removed listeners are closed when the command has answered: no process has the port, another program can")
def removed():
    with Scene({**PATIENT, "server": {}}, alice=UA) as scene:
        bob = scene.phone("bob", UA)
        renewed(scene.proxy, server=listen(scene, 1, 201, 202))
        place = (scene.prefix + "201", 5060)
        whole_call(scene, TCPUA, place, bob)
        for transport in BOTH:
            true(not is_free(transport, place[0]), f"{transport}:{place[0]} is served")
        renewed(scene.proxy, server=listen(scene, 1, 202))
        for transport in BOTH:
            true(is_free(transport, place[0]), f"{transport}:{place[0]} can be had by others")
        equal(set(scene.proxy.status()["listeners"]), set(scene.proxy.settings["server"]["listen"]), "listeners")
        whole_call(scene, UA, (scene.prefix + "202", 5060), bob)
        renewed(scene.proxy, server=listen(scene, 202, 201, 1))
        whole_call(scene, UA, place, bob)


@test("a transport is taken away and comes back: a TCP contact cannot be called meanwhile, and can be then")
def transport():
    with Scene(PATIENT, alice=UA) as scene:
        bob, carol = scene.phone("bob", UA), scene.phone("carol")
        renewed(scene.proxy, server=listen(scene, 1, transports=("udp",)))
        passes(scene.alice, bob)
        scene.alice.answer_of(scene.alice.send(scene.alice.request("MESSAGE", carol.aor)), 500)
        true(is_free("tcp", scene.prefix + "1"), "the port can be had by others")
        renewed(scene.proxy, server=listen(scene, 1))
        passes(scene.alice, carol)
        whole_call(scene, TCPUA, scene.proxy.address, carol)


@test("IPv6 is added: calls from it and to it; it is taken away again")
def another_family():
    with Scene(PATIENT, alice=UA) as scene:
        bob, port = scene.phone("bob", UA), free_port()
        six = [f"udp:[::1]:{port}", f"tcp:[::1]:{port}"]
        renewed(scene.proxy, server=listen(scene, 1, more=six))
        with UA("erin", "::1", ("::1", port)) as erin, TCPUA("frank", "::1", ("::1", port)) as frank:
            for phone in (erin, frank):
                phone.register()
                passes(scene.alice, phone)
                passes(phone, bob)
                hang_up(*establish(scene.alice, phone, phone.name))
            renewed(scene.proxy, server=listen(scene, 1))
            scene.alice.answer_of(scene.alice.send(scene.alice.request("MESSAGE", erin.aor)), 500)
        true(is_free("udp", "::1", port), "the port can be had by others")


@test("listeners that stay are the same sockets, in whichever order they stand; a call in progress goes on by its own")
def order():
    with Scene({**PATIENT, "server": {}}, alice=UA) as scene:
        bob = scene.phone("bob", UA)
        renewed(scene.proxy, server=listen(scene, 201, 1, 202))
        ours = [(transport, f"{scene.prefix}{host}") for transport in BOTH for host in (201, 1, 202)]
        before = {place: listening(*place) for place in ours}
        with UA("carol", scene.prefix + "90", (scene.prefix + "202", 5060)) as carol:
            for hosts in ((202, 1, 201), (1, 202, 203), (203, 202)):
                invite = carol.invite("bob")
                seen = bob.expect("INVITE")
                equal(seen.source[0], carol.proxy[0], "where the INVITE comes from")
                renewed(scene.proxy, server=listen(scene, *hosts))
                bob.answer(seen, 180)
                equal(carol.answer_of(invite, 180).source[0], carol.proxy[0], "where the 180 comes from")
                cancel = carol.cancel(invite)
                equal(carol.answer_of(cancel, 200).source[0], carol.proxy[0], "where the answer to CANCEL comes from")
                at_bob = bob.expect("CANCEL")
                equal(at_bob.source[0], carol.proxy[0], "where the CANCEL comes from")
                bob.answer(at_bob, 200)
                bob.answer(seen, 487)
                equal(bob.expect("ACK").source[0], carol.proxy[0], "where the ACK comes from")
                carol.ack_failure(invite, carol.answer_of(invite, 487))
                for transport, address in ours:
                    if int(address.rpartition(".")[2]) in hosts:
                        equal(listening(transport, address), before[transport, address], f"socket at {address}")
                    else:
                        before.pop((transport, address), None)


def stream(ua, done, lost):
    """OPTIONS one after the other until told to end, each sent once; what is not answered goes to `lost`."""
    count = 0
    while not done.is_set():
        request = ua.send(options(ua))
        response = ua.receive(3, again=False)
        count += 1
        if response is None or response.branch != request.branch or response.kind != 200:
            lost.append(f"{request.branch}: {response.start if response else 'no answer'}")
            return
    if count < 20:
        lost.append(f"only {count} requests were sent")


@test("nothing that comes to a listener that stays is lost: OPTIONS without a pause while others come and go")
def nothing_lost():
    with Scene(PATIENT, alice=UA) as scene:
        done, lost = threading.Event(), []
        with UA("one", scene.prefix + "80", scene.proxy.address) as one, \
                UA("two", scene.prefix + "81", scene.proxy.address) as two, \
                Forgiving("three", scene.prefix + "82", scene.proxy.address) as three:
            threads = [threading.Thread(target=stream, args=(ua, done, lost)) for ua in (one, two, three)]
            for thread in threads:
                thread.start()
            try:
                for hosts in ((1, 201), (201, 1, 202), (1,), (203, 1)):
                    renewed(scene.proxy, server=listen(scene, *hosts))
            finally:
                done.set()
                for thread in threads:
                    thread.join()
            equal(lost, [], "what was lost")


@test("datagrams that wait in the socket of a listener that stays are served after the reload has begun")
def burst():
    with Scene(PATIENT, alice=UA) as scene:
        bob = scene.phone("bob", UA)
        with reloading(scene.proxy, server=listen(scene, 201, 1)):
            sent = [scene.alice.send(scene.alice.request("MESSAGE", bob.aor)) for _ in range(100)]
        for _ in sent:
            bob.answer(bob.expect("MESSAGE"), 200)
        answers = {scene.alice.expect(200, ignore=(100,)).branch for _ in sent}
        equal(answers, {each.branch for each in sent}, "branches of the answers")
        equal(scene.counters()["retransmissions_sent"], 0, "retransmissions_sent")


# Connections

@test("a connection that a removed listener accepted stays: a ringing call is answered on it, and new ones are made")
def accepted_stay():
    with Scene({**PATIENT, "server": {}}, alice=UA) as scene:
        bob = scene.phone("bob", UA)
        by_tcp = [f"tcp:{scene.prefix}201:5060"]  # bob is called from the other address, which stays
        renewed(scene.proxy, server={"listen": [*by_tcp, *listen(scene, 1)["listen"]]})
        with TCPUA("carol", scene.prefix + "90", (scene.prefix + "201", 5060)) as carol:
            carol.register()
            connection = carol.way
            invite = carol.invite("bob")
            seen = bob.expect("INVITE")
            renewed(scene.proxy, server=listen(scene, 1))
            true(is_free("tcp", scene.prefix + "201"), "the port can be had by others")
            bob.answer(seen, 180)
            carol.answer_of(invite, 180)
            carol.answer_of(carol.cancel(invite), 200)
            accept_cancel(bob, seen)
            carol.ack_failure(invite, carol.answer_of(invite, 487))
            passes(carol, bob)
            passes(scene.alice, carol)
            renewed(scene.proxy, server=listen(scene, 1, 202))
            passes(carol, bob)
            true(carol.opened == [connection] and connection.is_open, "carol has made no other connection")
            serves(connection, scene.alice)


@test("a call that came to a UDP listener which is removed while it rings: its caller hears the answer from another one")
def answered_from_another():
    with Scene({**PATIENT, "server": {}}, alice=UA) as scene:
        renewed(scene.proxy, server=listen(scene, 1, 201))
        bob = scene.phone("bob")  # by TCP, whose connection stays
        with UA("carol", scene.prefix + "90", (scene.prefix + "201", 5060)) as carol:
            invite, seen = calls(carol, bob, "bob")
            renewed(scene.proxy, server=listen(scene, 1))
            true(is_free("udp", scene.prefix + "201"), "the port can be had by others")
            bob.answer(seen, 200)
            carol.answer_of(invite, 200)
        equal(scene.counters()["send_errors"], 0, "messages that could not be sent")


@test("requests to a listener that a reload takes away, while it goes on: the proxy answers as itself")
def asked_while_leaving():
    with Scene({**PATIENT, "server": {}}, alice=UA) as scene:
        renewed(scene.proxy, server=listen(scene, 1, 201))
        leaving = scene.prefix + "201"
        with UA("carol", scene.prefix + "90", (leaving, 5060)) as carol:
            # Worker 1 hangs, and is the last one: worker 0 has the new configuration for two seconds before it is in use.
            before = processes(scene.proxy)
            os.kill(before["worker 1"][0], signal.SIGSTOP)
            with reloading(scene.proxy, server=listen(scene, 1)):
                eventually(lambda: processes(scene.proxy)["worker 0"][0] not in (0, before["worker 0"][0]), "worker 0")
                asked = {carol.send(carol.request("OPTIONS", f"sip:{leaving}:5060")).get("Call-ID") for _ in range(8)}
                while asked:
                    message = carol.receive(5)
                    true(message is not None, f"{len(asked)} of 8 requests have no answer")
                    equal(message.kind, 200, "answer")
                    asked.discard(message.get("Call-ID"))


@test("connections to kept listeners, and those that we made, stay open and are used again: none is made anew")
def kept_stay():
    with Scene(PATIENT) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        sides = establish(alice, bob)
        scene.settled()
        before = {name: scene.counters()[f"connections_{name}"] for name in ("accepted", "opened", "failed")}
        for hosts in ((1, 201), (201, 1), (1,)):
            renewed(scene.proxy, server=listen(scene, *hosts))
        hang_up(*sides)
        hang_up(*establish(alice, bob))
        after = {name: scene.counters()[f"connections_{name}"] for name in ("accepted", "opened", "failed")}
        equal(after, before, "connections")
        for connection in alice.connections + bob.connections:
            connection.stays(0.05)


@test("a call that came by TCP to a listener that is removed: ACK and BYE on its connection still reach the other side")
def dialog_of_removed():
    with Scene({**PATIENT, "server": {}}, alice=UA) as scene:
        bob = scene.phone("bob", UA)
        renewed(scene.proxy, server=listen(scene, 1, 201))
        with TCPUA("carol", scene.prefix + "90", (scene.prefix + "201", 5060)) as carol:
            invite = carol.invite("bob")
            seen = bob.expect("INVITE")
            bob.answer(seen, 200)
            outgoing = Dialog.of_caller(carol, invite, carol.answer_of(invite, 200))
            renewed(scene.proxy, server=listen(scene, 1))
            carol.send(outgoing.request("ACK"))
            bob.expect("ACK")
            bye = carol.send(outgoing.request("BYE"))
            bob.answer(bob.expect("BYE"), 200)
            carol.answer_of(bye, 200)


# What cannot be

@test("an address that another program has: exit 1 and the reason; nothing changes, not the rest of the file either")
def taken():
    with Scene(PATIENT, alice=UA) as scene:
        proxy, bob = scene.proxy, scene.phone("bob", UA)
        kept, sockets = dict(proxy.settings["server"]), inodes(proxy.process.pid)
        for transport in BOTH:
            kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
            with socket.socket(socket.AF_INET, kind) as other:
                other.bind((scene.prefix + "205", 5060))
                if transport == "tcp":
                    other.listen()
                more = [f"{transport}:{scene.prefix}205:5060", f"udp:{scene.prefix}206:5060"]
                proxy.change(server={"domains": [DOMAIN, "new.example"], **listen(scene, 201, more=more)})
                said = refused(proxy)
            contains(said, f"{transport}:{scene.prefix}205:5060", "what it says")
            contains(said, "Address already in use", "what it says")
            for host in ("201", "206"):
                true(is_free("udp", scene.prefix + host), f"udp:{scene.prefix}{host} was let go again")
            # The tool's own connection to it is closed after the tool.
            eventually(lambda: inodes(proxy.process.pid) == sockets, f"sockets of the master: {sockets}")
            whole_call(scene, TCPUA, proxy.address, bob)
            with UA("eve", scene.prefix + "91", proxy.address, domain="new.example") as eve:
                eve.send(eve.request("REGISTER", f"sip:{proxy.address[0]}", to=f"<{eve.aor}>"))
                equal(eve.receive(3).kind, 404, "REGISTER for a domain of the file that was not used")
            os.kill(proxy.named("worker 0"), 9)  # its successor must not take what was not used
            proxy.replaced("worker 0", None)
        proxy.change(server=kept)
        equal(proxy.control("reload").stdout.splitlines(), ["nothing has changed"], "with the old file again")


@test("an address that this machine does not have: exit 1 and the reason")
def not_ours():
    with Scene(PATIENT, alice=UA) as scene:
        scene.proxy.change(server=listen(scene, 1, more=["udp:192.0.2.77:5060"]))
        contains(refused(scene.proxy), "udp:192.0.2.77:5060", "what it says")
        passes(scene.alice, scene.phone("bob", UA))


def exchanged(hosts_each):
    """All listeners, UDP and TCP at so many hosts, for others, and back, twice."""
    with Scene(PATIENT, alice=UA) as scene:
        bob = scene.phone("bob", UA)
        first, second = list(range(201, 201 + hosts_each)), list(range(211, 211 + hosts_each))
        renewed(scene.proxy, server=listen(scene, *first))
        count = descriptors(scene.proxy.process.pid)
        for hosts, gone in ((second, first), (first, second), (second, first)):
            renewed(scene.proxy, server=listen(scene, *hosts))
            for host in hosts:
                with UA("carol", scene.prefix + "90", (f"{scene.prefix}{host}", 5060)) as carol:
                    seen = passes(carol, bob)
                    equal(seen.source[0], carol.proxy[0], "where it comes from")
                    contains(seen.values("Via")[0], carol.proxy[0], "our Via")
            for host in gone:
                for transport in BOTH:
                    true(is_free(transport, f"{scene.prefix}{host}"), f"{transport}:{scene.prefix}{host} is free")
        same_descriptors(scene.proxy.process.pid, count)


@test("8 listeners are exchanged for 8 others, and back; each of them serves, no socket is left over")
def eight():
    exchanged(4)


@test("16 listeners, all that a file may have, are exchanged for 16 others, and back")
def sixteen():
    exchanged(8)


@test("a wildcard instead of an address on the same port: it serves, or is refused and all is as before; never neither")
def wildcard():
    with Scene(PATIENT, alice=UA) as scene:
        proxy, bob = scene.proxy, scene.phone("bob", UA)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as claim:
            claim.bind(("0.0.0.0", 0))
            port = claim.getsockname()[1]
        one, all_ = listeners(BOTH, f"{scene.prefix}1:{port}"), listeners(BOTH, f"0.0.0.0:{port}")
        renewed(proxy, server={"listen": one})
        place = (scene.prefix + "1", port)
        for wanted in (all_, one):
            proxy.change(server={"listen": wanted})
            done = proxy.control("reload", check=False)
            if done.returncode == 0:
                equal(set(proxy.status()["listeners"]), set(wanted), "listeners")
            else:
                contains(done.stderr, "Address already in use", "why it was refused")
            for kind in (UA, TCPUA):
                with kind("carol", scene.prefix + "90", place) as carol:
                    passes(carol, bob)


@test("children have no descriptors of listeners that are gone, nor more of others than before")
def of_children():
    with Scene(PATIENT, alice=UA) as scene:
        count = descriptors(scene.proxy.named("worker 0"))
        for hosts in ((1, 201, 202, 203), (1, 204), (1,)):
            renewed(scene.proxy, server=listen(scene, *hosts))
        for index in (0, 1):
            same_descriptors(scene.proxy.named(f"worker {index}"), count)
