"""What is told of the results: lines while it measures, the table as text and as Markdown, a drawing, the README."""

import contextlib
import json
import math
import os

from chart import draw
from table import ROWS, with_order

README = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "README.md")
BEGIN, END = "<!-- Tests/Benchmark/run --readme writes from here -->", "<!-- to here -->"


def read(path):
    """Results that were kept, or none."""
    if path:
        with contextlib.suppress(FileNotFoundError), open(path) as file:
            return json.load(file)
    return {}


def write(results, path):
    with open(path, "w") as file:
        json.dump(results, file, indent=1)
        file.write("\n")


# While it measures


def show_machine(about):
    print("\n".join(f"{name:15} {value}" for name, value in about.items()), flush=True)


def show(row, name, number, result, seconds):
    """One line for each measurement, and one with what is beside its value."""
    print(f"{row:16} {name:9} {number}  {result['value']:10.1f}   ({seconds:.0f} s)")
    beside = ", ".join(f"{key} {value}" for key, value in result.items() if key != "value")
    print(f"    {beside}", flush=True)


# The table


def number(value, row):
    """With three digits that count, and a comma before thousands; nothing where there is none."""
    if value is None:
        return "–"
    if row.unit == "×":
        return f"{value:.2f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if value else "0"


def ratio(row, results):
    """How sipfork's value stands to Kamailio's; rounded against us."""
    value = row.ratio(results)
    if not value:
        return "–"
    hundredths = math.floor(value * 100) if row.more else math.ceil(value * 100)
    return f"{hundredths / 100:.2f}"


def cells(results):
    """The rows of the table: title with unit, sipfork, Kamailio, ratio, mark, verdict."""
    results = with_order(results)
    for row in ROWS:
        ours, theirs = row.medians(results)
        if ours is None and theirs is None:
            continue
        yield (f"{row.title}, {row.unit}" if row.unit != "×" else row.title, number(ours, row), number(theirs, row),
               ratio(row, results), row.words, row.verdict(results))


HEAD = ("what", "sipfork", "Kamailio", "ratio", "mark", "")


def text(results):
    rows = [HEAD, *cells(results)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(HEAD))]
    lines = ["  ".join(f"{cell:<{width}}" if index in (0, 4, 5) else f"{cell:>{width}}"
                       for index, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    return "\n".join(lines + ["", *notes(results)])


def markdown(results):
    lines = ["| what | sipfork | Kamailio | ratio | mark | |", "|---|---:|---:|---:|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in cells(results)]
    return "\n".join(lines)


def notes(results):
    """What must be known beside the table: losses, and where sipp was the limit."""
    for row in ("order", "order_stateless"):
        counted = [f"{name} {each[0]['early']:,} of {each[0]['completed']:,}"
                   for name, each in with_order(results)["rows"][row].items()]
        if counted:
            yield f"{row}: {', '.join(counted)} calls"
    for row, of_row in results.get("rows", {}).items():
        for name, found in of_row.items():
            failed, completed = (sum(each.get(what, 0) for each in found) for what in ("failed", "completed"))
            if failed:
                yield f"{row}: with {name} {failed:,} of {failed + completed:,} failed"
            if any(each.get("generators_were_the_limit") for each in found):
                yield f"{row}: with {name} the generators were the limit, not the proxy"
            worst = max((each.get("others", 0) for each in found), default=0)
            if worst > 0.1:
                yield f"{row}: with {name} others had up to {worst:.0%} of the machine"


def svg(results):
    return draw(with_order(results))


# The README


def into_readme(results):
    """Replaces what stands between the two comments."""
    with open(README) as file:
        before, _, rest = file.read().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"README.md has no lines {BEGIN} and {END}")
    with open(README, "w") as file:
        file.write(f"{before}{BEGIN}\n{section(results)}\n{END}{after}")


def section(results):
    about = results["about"]
    told = "\n".join(f"* {note}" for note in notes(results))
    return f"""
{markdown(results)}

Medians of {about['rounds']} rounds, {about['date']}, on {about['processors']} processors {about['processor']}, \
virtualised ({about['virtualization']}), Linux {about['kernel']}; sipfork {about['sipfork']} (Swift {about['swift']}), \
Kamailio {about['kamailio']}, sipp {about['sipp']}. Command: `{about['command']}`.
""" + (f"\n{told}\n" if told else "")
