"""Scenes for tests in which a master ends and the next one takes over what it has left."""

import os
import shutil
import signal

from harness import FAST_TIMERS
from scene import Scene
from supervisor import Supervised
from ua import UA

FAST = {"timers": FAST_TIMERS}


def other_program(proxy):
    """A copy of the program, as an upgrade brings it."""
    path = os.path.join(proxy.directory, f"sipforkd-{proxy.starts}")
    shutil.copy(proxy.daemon, path)
    return path


WAYS = {
    "kill -9": lambda proxy: proxy.strike(signal.SIGKILL),
    "a trap": lambda proxy: proxy.strike(signal.SIGILL),
    "systemctl restart": lambda proxy: proxy.restart(),
    "an upgrade": lambda proxy: proxy.upgrade(other_program(proxy))}


class Supervision(Scene):
    """A scene whose proxy is started again when its master ends."""

    def __init__(self, settings=None, alice=UA, transports=("udp", "tcp"), **more):
        super().__init__(settings, alice, transports)
        merged = {key: value for key, value in self.proxy.settings.items()}
        self.proxy = Supervised(merged, self.prefix, **more)
