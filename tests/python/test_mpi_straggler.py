"""A rank that is held up is named with its host, and the versions of all libraries stand once in the log."""

import os
import re

from runs_helpers import *


def test_the_rank_that_the_others_wait_for_is_named(tmp_path):
    """One group of three ranks; the middle one takes 60 ms more for every step."""
    world = make_world(tmp_path)
    run = recipe_in(world, "held", {"training": {"epochs": 25, "log_every": 10}, "evaluation": {"every_epochs": 25, "bootstrap": 0},
                                    "checkpoint": {"every_steps": 400}, "distributed": {"groups": 1}})
    slow = {"CHORALE_FAULT_ONLY": "step", "CHORALE_FAULT_AT": "1", "CHORALE_FAULT_SLEEP": "60"}
    done = train_with(world, "held", 1, slow, ranks=3)
    assert done.returncode == 0, done.stderr
    host = re.escape(os.uname().nodename)
    found = re.search(rf"slowest: rank 1 on {host}; the others of group 0 waited (\d+\.\d) s for it, (\d+) % of their time$",
                      done.stderr, re.MULTILINE)
    assert found, done.stderr
    # Of a hundred steps; where all meet between two steps, at most every half second, some of it is waited for there.
    assert 3 < float(found[1]) < 60 and int(found[2]) > 10
    each = json.loads((run / "timings.json").read_text())["each_rank"]
    assert [(rank["rank"], rank["host"]) for rank in each] == [(rank, os.uname().nodename) for rank in range(3)]
    waited = [rank["summing_seconds"] for rank in each]
    assert waited[1] + 3 < min(waited[0], waited[2])
    lines = re.findall(r"training  step \d+/100 .*", done.stderr)
    assert lines and all(re.search(rf"waiting for rank 1 on {host}: \d+ %$", line) for line in lines)


def test_versions_stand_once_in_the_log_and_in_the_times(tmp_path):
    world = make_world(tmp_path)
    run = recipe_in(world, "run", {"training": {"epochs": 1}, "evaluation": {"bootstrap": 0}})
    done = train(world, "run", ranks=2)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"chorale \S+, torch \S+, .*HDF5 \S+, yaml-cpp \S+$", done.stderr, re.MULTILINE)
    assert len(lines) == 1 and "Open MPI" in lines[0]
    versions = json.loads((run / "timings.json").read_text())["versions"]
    assert versions.keys() >= {"chorale", "torch", "MPI", "HDF5", "yaml-cpp"}
    assert all(version in lines[0] for version in versions.values())
