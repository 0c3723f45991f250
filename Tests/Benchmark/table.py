"""The table of the comparison: its rows, what they are held against, and whether they stand it."""

import statistics
from dataclasses import dataclass

MEASUREMENTS = ("call", "peak", "register", "stateless", "fork4", "tcp", "transactions", "bound", "growth", "delay")


@dataclass(frozen=True)
class Row:
    """`relative`: the mark is for sipfork's value divided by Kamailio's; else for sipfork's value alone. Values are to
    be at most the mark, or at least where `more` is better. Without a mark they are only reported.
    """

    key: str
    title: str
    unit: str
    mark: float | None = None
    relative: bool = False
    more: bool = False
    words: str = ""  # the mark as it is written

    def medians(self, results):
        """The medians of both, None where there is nothing."""
        found = results.get("rows", {}).get(self.key, {})
        return [median([each["value"] for each in found.get(name, [])]) for name in ("sipfork", "kamailio")]

    def ratio(self, results):
        """How many times Kamailio's value sipfork's is; None where one is missing."""
        ours, theirs = self.medians(results)
        return ours / theirs if ours is not None and theirs else None

    def verdict(self, results):
        """"met" or "missed"; empty where nothing is asked, or nothing known."""
        value = self.ratio(results) if self.relative else self.medians(results)[0]
        if self.mark is None or value is None:
            return ""
        return "met" if (value >= self.mark if self.more else value <= self.mark) else "missed"


THIRD = "≤ 1/3 of Kamailio"
ROWS = (
    Row("call", "one record-routed call over UDP, 1,000 a second", "µs", 1 / 3, relative=True, words=THIRD),
    Row("peak", "the same at the highest rate that loses nothing", "calls per CPU second", 4, relative=True, more=True,
        words="≥ 4 × Kamailio"),
    Row("register", "one REGISTER of a new user, 2,000 a second, on disk before its 200 (Kamailio: memory only)", "µs",
        1 / 2, relative=True, words="≤ 1/2 of Kamailio"),
    Row("stateless", "stateless forwarding of the same call", "µs", 1 / 3, relative=True, words=THIRD),
    Row("fork4", "one call forked to 4 contacts", "µs", 1 / 3, relative=True, words=THIRD),
    Row("tcp", "the call over TCP, one connection a side", "µs", 1 / 3, relative=True, words=THIRD),
    Row("transactions", "memory per completed server transaction still in its timers", "bytes", 1500, words="≤ 1,500"),
    Row("bound", "memory per binding, of one million", "bytes", 400, words="≤ 400"),
    Row("order", "calls answered 200 before their 180, stateful", "in 10,000", 0, words="none, ever"),
    Row("order_stateless", "the same, stateless", "in 10,000", 0, words="none, ever"),
    Row("growth_call", "cost per call with 200,000 live transactions and a million bindings, to an empty server's",
        "×", 1.10, words="≤ 1.10"),
    Row("growth_register", "cost per REGISTER likewise", "×", 2, words="≤ 2"),
    Row("delay50", "added delay at half the capacity of one processor, median", "µs", words="reported"),
    Row("delay99", "the same, 99th percentile", "µs", words="reported"),
)

STATEFUL = ("call", "peak", "fork4", "tcp", "transactions")


def median(values):
    return statistics.median(values) if values else None


def with_order(results):
    """The results with the rows of order: of all calls that other rows have measured, one value a round."""
    rows = dict(results.get("rows", {}))
    for key, sources in (("order", STATEFUL), ("order_stateless", ("stateless",))):
        rows[key] = {}
        for name in ("sipfork", "kamailio"):
            counted = [each for source in sources for each in rows.get(source, {}).get(name, [])]
            early, completed = (sum(each[what] for each in counted) for what in ("early", "completed"))
            if completed:
                rows[key][name] = [{"value": 10_000 * early / completed, "early": early, "completed": completed}]
    return {**results, "rows": rows}
