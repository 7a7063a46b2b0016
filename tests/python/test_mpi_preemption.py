"""A signal to one rank, or to all of them, stops the whole run at one step: saved, code 75, and gone on with to the same end."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from runs_helpers import *

# One group of two ranks; two groups, one of them of two ranks; three groups.
LAYOUTS = {"one group": (2, 1), "two groups": (3, 2), "three groups": (3, 3)}
PREEMPTED = 75


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("preemption"))


@pytest.fixture(scope="module")
def undisturbed(world):
    """A run per layout and kind, each made once."""
    runs = {}

    def run(layout, kind):
        ranks, groups = LAYOUTS[layout]
        name = f"{kind}{ranks}x{groups}"
        if name not in runs:
            recipe_in(world, name, changes(layout, kind))
            runs[name] = finished(world, name, ranks=ranks)
        return runs[name]

    return run


def changes(layout, kind):
    return merge(EARLY if kind == "early" else {}, {"distributed": {"groups": LAYOUTS[layout][1]}})


def stopped(done, rank, name="SIGTERM"):
    assert done.returncode == PREEMPTED, done.stderr
    assert done.stderr.count("chorale: stopped") == 1 and f"(rank {rank} on" in done.stderr, done.stderr
    assert name in done.stderr and "--resume" in done.stderr and "chorale: error:" not in done.stderr


@pytest.mark.parametrize("kind", ["plain", "early"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_rank_is_asked_and_all_stop_at_one_step(world, undisturbed, layout, kind):
    expected = undisturbed(layout, kind)
    ranks, _ = LAYOUTS[layout]
    name = "asked"
    shutil.rmtree(world / name, ignore_errors=True)
    recipe_in(world, name, changes(layout, kind))
    # By other ranks, at other steps; steps here are far shorter than the time between two meetings.
    for rank, step in ((ranks - 1, 3), (0, 1), (1, 2)):
        done = train_with(world, name, rank, asked("step", step), "--resume", ranks=ranks)
        if done.returncode == 0:
            break
        stopped(done, rank)
    finished(world, name, "--resume", ranks=ranks)
    assert_same_run(world / name, expected)
    assert_nothing_left(world / name)


@pytest.mark.parametrize("where,call,rank,layout", [
    ("batch", 1, 0, "one group"), ("batch", 1, 1, "two groups"), ("batch", 1, 0, "two groups"), ("batch", 1, 2, "three groups"),
    ("batch", 3, 1, "one group"), ("batch", 3, 1, "two groups"), ("resample", 2, 0, "one group"),
])
def test_validation_and_evaluation_are_left_within_a_batch(world, undisturbed, layout, where, call, rank):
    expected = undisturbed(layout, "plain")
    ranks, _ = LAYOUTS[layout]
    shutil.rmtree(world / "middle", ignore_errors=True)
    recipe_in(world, "middle", changes(layout, "plain"))
    done = train_with(world, "middle", rank, asked(where, call, signal.SIGUSR1), ranks=ranks)
    assert done.returncode == PREEMPTED and done.stderr.count("chorale: stopped") == 1, done.stderr
    if where == "batch" and call == 1:
        assert latest(world / "middle").name == "step_00000004"  # that is where the first validation is
    assert not (world / "middle/metrics.json").exists()
    finished(world, "middle", "--resume", ranks=ranks)
    assert_same_run(world / "middle", expected)


@pytest.mark.parametrize("place", ["record", "layer", "tensor"])
def test_while_loading_there_is_nothing_to_save(world, place):
    shutil.rmtree(world / "loading", ignore_errors=True)
    recipe_in(world, "loading")
    done = train_with(world, "loading", 0 if place == "tensor" else 1, asked(place, 2))
    assert done.returncode == PREEMPTED and done.stderr.count("chorale: stopped") == 1, done.stderr
    assert not (world / "loading/checkpoints").exists()
    finished(world, "loading", "--resume", ranks=2)


def test_base_predictions_for_the_regulariser_are_left_as_well(world):
    shutil.rmtree(world / "anchor", ignore_errors=True)
    recipe_in(world, "anchor", merge(EARLY, {"distributed": {"groups": 1}}))
    done = train_with(world, "anchor", 1, asked("batch", 2))
    assert done.returncode == PREEMPTED and done.stderr.count("chorale: stopped") == 1, done.stderr
    assert not (world / "anchor/checkpoints").exists()


def test_a_run_that_goes_on_on_other_ranks_makes_the_validation_it_owes(world, undisturbed):
    expected = metrics_of(undisturbed("one group", "plain"))
    recipe_in(world, "owing", changes("one group", "plain"))
    done = train_with(world, "owing", 1, asked("batch", 1))
    assert done.returncode == PREEMPTED
    run = finished(world, "owing", "--resume", "distributed.groups=3", ranks=3)
    assert metrics_of(run)["training"] == expected["training"]
    validations = [line for line in log_of(run) if "validation" in line]
    assert [(line["step"], line["member"]) for line in validations] == [(s, m) for s in (4, 8) for m in range(3)]


def ranks_of(job, name):
    children = subprocess.run(["pgrep", "-P", str(job.pid), "-f", name], text=True, capture_output=True).stdout.split()
    return sorted(map(int, children))


@pytest.mark.parametrize("to,number,groups", [
    ("launcher", signal.SIGUSR1, 1), ("launcher", signal.SIGUSR2, 2), ("a rank", signal.SIGTERM, 1), ("a rank", signal.SIGTERM, 2),
])
def test_a_running_job_is_stopped_within_seconds(world, to, number, groups):
    shutil.rmtree(world / "running", ignore_errors=True)
    recipe_in(world, "running", {"training": {"epochs": 3000}, "distributed": {"groups": groups}})
    job = subprocess.Popen(
        [*launcher(2, 100), BIN, "train", "running.yaml"], cwd=world, env=environment(), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    for _ in range(1000):
        if (world / "running/checkpoints/LATEST").exists():
            break
        time.sleep(0.02)
    asked_at = time.monotonic()
    os.kill(job.pid if to == "launcher" else ranks_of(job, "running.yaml")[1], number)
    _, errors = job.communicate(timeout=30)
    assert time.monotonic() - asked_at < 15
    assert job.returncode == PREEMPTED and errors.count("chorale: stopped by") == 1, errors
    assert "which is saved" in errors


def test_checkpoints_by_the_clock_are_agreed_on(world):
    for name in ("clock", "clock2"):
        recipe_in(world, name, {"training": {"epochs": 100}, "distributed": {"groups": 2},
                                "checkpoint": {"every_steps": 100000, "every_minutes": 0.005, "keep": 1000}})
    run = finished(world, "clock", ranks=3)
    steps = sorted(int(path.name.removeprefix("step_")) for path in (run / "checkpoints").glob("step_*"))
    assert len(steps) > 1 and steps[-1] == 400
    done = train_with(world, "clock2", 2, {"CHORALE_FAULT_AT": "200", "CHORALE_FAULT_ONLY": "step"}, ranks=3)
    assert done.returncode not in (0, PREEMPTED)
    finished(world, "clock2", "--resume", ranks=3)
    assert_same_run(world / "clock2", run)


def test_a_full_disk_of_one_group_is_a_warning_if_the_recipe_says_so(world):
    more = {"distributed": {"groups": 3}, "checkpoint": {"on_failure": "continue"}}
    for name in ("full", "whole"):
        recipe_in(world, name, more)
    expected = finished(world, "whole", ranks=3)
    fault = {"CHORALE_FAULT_AT": "1", "CHORALE_FAULT_ERRNO": "ENOSPC", "CHORALE_FAULT_COUNT": "1", "CHORALE_FAULT_ONLY": "rename"}
    done = train_with(world, "full", 2, fault, ranks=3)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no checkpoint after step 3") == 1 and "No space left" in done.stderr
    assert_same_run(world / "full", expected)
    assert_nothing_left(world / "full")
