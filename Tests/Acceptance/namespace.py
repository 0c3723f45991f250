"""A network namespace for a test that needs addresses which the machine does not have: a loopback of its own."""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct

from harness import network

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR = 0x8913, 0x8914, 0x8916
IFF_UP = 1


@contextlib.contextmanager
def loopback_with(*addresses):
    """Sockets made, and programs started, within it find these IPv6 addresses on a loopback that is theirs alone. Gives
    False where the system does not allow it (it takes root); the test has to go without them then.
    """
    network()  # its lock must be held where other runs can see it
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            yield False
            return
        try:
            raise_loopback(addresses)
            yield True
        finally:
            if libc.setns(home, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(home)


def raise_loopback(addresses):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", request)[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        for address in addresses:
            packed = socket.inet_pton(socket.AF_INET6, address)
            request = struct.pack("16sIi", packed, 128, socket.if_nametoindex("lo"))
            fcntl.ioctl(control, SIOCSIFADDR, request)
