"""The rows of the table: what each measures of one proxy."""

from contenders import contender
from load import calls, registers

WORKERS = 2  # of both


class Plan:
    """How much is measured: all of it, or a third (`--quick`), or what the command line says."""

    def __init__(self, quick=False, count=None, rate=None, pairs=None):
        self.quick, self.count_, self.rate_, self.pairs_ = quick, count, rate, pairs

    def count(self, usual):
        return self.count_ or (usual // 3 if self.quick else usual)

    def rate(self, usual):
        return self.rate_ or usual

    def pairs(self, usual):
        return self.pairs_ or usual


def call(name, plan):
    with contender(name, WORKERS) as proxy:
        return calls(proxy, plan.count(15_000), plan.rate(1000), plan.pairs(2))


def stateless(name, plan):
    with contender(name, WORKERS, stateless=True) as proxy:
        return calls(proxy, plan.count(15_000), plan.rate(1000), plan.pairs(2))


def register(name, plan):
    with contender(name, WORKERS) as proxy:
        return registers(proxy, plan.count(30_000), plan.rate(2000), plan.pairs(2))


def fork4(name, plan):
    with contender(name, WORKERS) as proxy:
        return calls(proxy, plan.count(4000), plan.rate(200), plan.pairs(1), contacts={"answering": 1, "cancelled": 3})


def tcp(name, plan):
    with contender(name, WORKERS, tcp=True) as proxy:
        return calls(proxy, plan.count(9000), plan.rate(500), plan.pairs(1), transport="t1")


ROWS = {each.__name__: each for each in (call, register, stateless, fork4, tcp)}
