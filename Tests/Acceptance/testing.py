"""Marks and checks for tests: @test, and comparisons that say what they saw."""

_tests = []


def test(name, limit=60):
    """Marks a function as a test; `limit` is its time limit in seconds."""

    def mark(function):
        _tests.append((function.__module__, name, function, limit))
        return function

    return mark


def collected(part):
    """The tests of a part, in the order they are written."""
    return [(name, function, limit) for module, name, function, limit in _tests if module == part]


def equal(seen, wanted, what="value"):
    if seen != wanted:
        raise AssertionError(f"{what}: wanted {wanted!r}, saw {seen!r}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def contains(text, part, what="text"):
    if part not in text:
        raise AssertionError(f"{what}: wanted {part!r} in {text!r}")
