"""Counts the tests in a JUnit file written by ctest: prints `passed failed skipped`, lists failing names in a file.

A Catch2 entry is one test case. A pytest entry is a whole file, and the entry of tests/gpu/run a whole program: they
count as the tests in them, read from their closing lines. A test that could not run because something is absent says
SKIPPED and must not count as passed. Skips are listed on standard error with their reasons.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

# "3 failed, 12 passed, 1 skipped, 2 errors in 4.56s"; pytest -q prints it without the ==== around it.
PYTEST_CLOSING = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", re.MULTILINE)
# The closing line of a program that counts its own tests, tests/gpu/run.
OWN_CLOSING = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.MULTILINE)
SKIP = re.compile(r"^\s*SKIPPED\b.*$", re.MULTILINE)


def pytest_counts(output):
    """(passed, failed, skipped) of pytest's closing line, or None when there is none."""
    found = PYTEST_CLOSING.findall(output)
    if not found:
        return None
    counts = {word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", found[-1])}
    passed = counts.get("passed", 0) + counts.get("xfailed", 0)
    return passed, counts.get("failed", 0) + counts.get("error", 0) + counts.get("xpassed", 0), counts.get("skipped", 0)


def count(case):
    """(passed, failed, skipped) of one ctest entry."""
    output = case.findtext("system-out") or ""
    from_pytest = pytest_counts(output) if case.get("name").startswith("python: ") else None
    own = OWN_CLOSING.findall(output)
    if case.get("status") == "run":
        if from_pytest:
            return from_pytest
        if own:
            return tuple(map(int, own[-1]))
        return (0, 0, 1) if SKIP.search(output) else (1, 0, 0)
    if case.get("status") in ("notrun", "disabled") and case.find("skipped") is not None and case.find("failure") is None:
        message = case.find("skipped").get("message", "")
        # ctest says "notrun" both for a program that is missing, which is a failure, and for one it was told to skip.
        return (0, 0, 1) if "SKIP" in message or case.get("status") == "disabled" else (0, 1, 0)
    if from_pytest and from_pytest[1]:
        return from_pytest
    if own and int(own[-1][1]):
        return tuple(map(int, own[-1]))
    return 0, 1, 0


def main(junit, failures):
    totals = [0, 0, 0]
    failing = []
    cases = list(ElementTree.parse(junit).getroot().iter("testcase"))
    if not cases:
        sys.exit("no test was run")
    for case in cases:
        counts = count(case)
        totals = [total + number for total, number in zip(totals, counts)]
        if counts[1]:
            failing.append(case.get("name"))
        if counts[2]:
            reasons = [line.strip() for line in SKIP.findall(case.findtext("system-out") or "")]
            print(f"   {case.get('name')}: {'; '.join(reasons) or 'SKIPPED'}", file=sys.stderr)
    with open(failures, "w", encoding="utf-8") as file:
        file.writelines(name + "\n" for name in failing)
    print(*totals)


if __name__ == "__main__":
    main(*sys.argv[1:])
