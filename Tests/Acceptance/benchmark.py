"""The benchmark: that it still runs, and that its table says what it measured, never more."""

import json
import os
import re
import subprocess
import tempfile

from harness import BUILDS, ROOT
from testing import contains, equal, test, true

ALONE = True
SIMPLE = ("call", "register", "stateless", "fork4", "tcp")


def benchmark(*arguments, timeout=30):
    """What Tests/Benchmark/run prints; it must succeed."""
    command = [os.path.join(ROOT, "Tests", "Benchmark", "run"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    equal(done.returncode, 0, f"exit status, {done.stdout}{done.stderr}")
    return done.stdout


def results(**rows):
    """Results as a file has them: (sipfork's values, Kamailio's) for each row."""
    about = dict.fromkeys(("rounds", "date", "processors", "processor", "virtualization", "kernel", "sipfork", "swift",
                           "kamailio", "sipp", "command"), "known")
    made = {row: {name: [{"value": value, "completed": 100, "failed": 0, "early": 0} for value in values]
                  for name, values in zip(("sipfork", "kamailio"), both) if values} for row, both in rows.items()}
    return {"about": about, "rows": made}


def table(directory, found, *arguments):
    """The rows of the Markdown table: {title: [sipfork, Kamailio, ratio, mark, verdict]}."""
    path = os.path.join(directory, "results.json")
    with open(path, "w") as file:
        json.dump(found, file)
    lines = benchmark("--from", path, "--markdown", *arguments).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[1:]}


@test("medians, ratios and verdicts: at the mark is met, a hair above is missed, and no ratio is rounded down")
def arithmetic():
    with tempfile.TemporaryDirectory() as directory:
        found = results(
            call=([90, 100, 300], [300]), stateless=([100.4], [300]), peak=([3999], [1000]), tcp=([100], [200, 400]),
            bound=([400], []), transactions=([1501, 1500], [9000]))
        seen = {title.split(",")[0]: row for title, row in table(directory, found).items()}
        equal(seen["one record-routed call over UDP"], ["100", "300", "0.34", "≤ 1/3 of Kamailio", "met"], "call")
        equal(seen["stateless forwarding of the same call"], ["100", "300", "0.34", "≤ 1/3 of Kamailio", "missed"],
              "stateless")
        equal(seen["the same at the highest rate that loses nothing"],
              ["3,999", "1,000", "3.99", "≥ 4 × Kamailio", "missed"], "peak")
        equal(seen["the call over TCP"], ["100", "300", "0.34", "≤ 1/3 of Kamailio", "met"], "tcp")
        equal(seen["memory per binding"], ["400", "–", "–", "≤ 400", "met"], "bound")
        equal(seen["memory per completed server transaction still in its timers"][4], "missed", "transactions")


@test("one 200 before its 180 in a hundred million misses the mark; what failed is told")
def order():
    with tempfile.TemporaryDirectory() as directory:
        found = results(call=([1], [1]), tcp=([1], [1]))
        found["rows"]["call"]["sipfork"][0].update(completed=100_000_000, early=1, failed=7)
        picture = os.path.join(directory, "results.svg")
        row = [row for title, row in table(directory, found, "--svg", picture).items() if "before their 180" in title]
        equal([each[4] for each in row], ["missed"], "the verdict")
        said = benchmark("--from", os.path.join(directory, "results.json"))
        contains(said, "sipfork 1 of 100,000,100, kamailio 0 of 200 calls")
        contains(said, "with sipfork 7 of 100,000,007 failed")
        with open(picture) as file:
            equal(file.read().count('fill="#2f81f7"'), 2, "bars of sipfork")


@test("the simple measurements run and lose nothing", limit=120)
def runs():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "results.json")
        arguments = ["--only", "sipfork", "--rounds", "1", "--calls", "60", "--rate", "60", "--json", path]
        said = benchmark(*SIMPLE, *arguments, "--build", BUILDS["release"], timeout=110)
        with open(path) as file:
            rows = json.load(file)["rows"]
        equal(tuple(rows), SIMPLE, f"rows, of {said}")
        for row, found in rows.items():
            measured = found["sipfork"][0]
            equal((measured["completed"], measured["failed"], measured["early"]), (60, 0, 0), f"{row}, {measured}")
            true(10 < measured["value"] < 100_000, f"{row}: {measured['value']} µs")
            true(re.search(rf"^{row} +sipfork +1 ", said, re.MULTILINE), f"a line of {row} in {said}")
