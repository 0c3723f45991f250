"""@step, and the steps that it has marked."""

import dataclasses
import typing

STEPS = []


@dataclasses.dataclass
class Step:
    name: str
    function: typing.Callable
    # Without it there is no use in going on.
    is_needed: bool


def step(name, is_needed=False):
    def mark(function):
        STEPS.append(Step(name, function, is_needed))
        return function

    return mark
