"""A run that is asked to stop: wherever it is, it saves, ends with 75 within seconds, and goes on to the end of a run that
nobody disturbed, bit for bit. Checkpoints by the clock; a disk that is full for a while."""

import functools
import os
import shutil
import signal
import subprocess
import time

import pytest

from runs_helpers import *

PREEMPTED = 75
# Where tests send the signal (core/base/fault_point.hpp): call I of a place, which changes no file, or of an operation.
PLACES = {
    "in the middle of the data": ("record", 20, None),
    "while the base is read": ("layer", 1, None),
    "before the first step": ("step", 1, None),
    "between two steps": ("step", 6, 5),
    "before the last step": ("step", 8, 7),
    "in a validation": ("batch", 2, 4),
    "in the last validation": ("batch", 4, 8),
    "at the end of the evaluation": ("batch", -1, 8),
    "in the metrics": ("resample", 3, 8),
    "in the middle of saving": ("fsync", 13, None),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return undisturbed_world(tmp_path_factory.mktemp("preemption"))


def stopped(done, name="SIGTERM"):
    assert done.returncode == PREEMPTED, done.stderr
    assert done.stderr.count("chorale: stopped") == 1 and name in done.stderr and "--resume" in done.stderr, done.stderr
    assert "error" not in done.stderr


@pytest.fixture(scope="module")
def calls(world, tmp_path_factory):
    """How often a run comes to a place."""

    @functools.cache
    def count(place, kind):
        log = tmp_path_factory.mktemp("calls") / "log"
        fresh(world, "counted", kind)
        finished(world, "counted", fault={"CHORALE_FAULT_ONLY": place, "CHORALE_FAULT_LOG": str(log)})
        return len(log.read_text().splitlines())

    return count


@pytest.mark.parametrize("kind", ["plain", "early"])
@pytest.mark.parametrize("where", PLACES)
def test_stopped_anywhere_and_gone_on_with(world, calls, where, kind):
    place, call, step = PLACES[where]
    number = calls(place, kind)
    if call < 0:
        call += number
    elif kind == "early" and place == "batch":
        call += 5  # before training the base looks at the training set, for the regulariser
    assert 0 < call <= number
    run = fresh(world, "stopped", kind)
    stopped(train(world, "stopped", fault=asked(place, call)))
    if step is not None and kind == "plain":
        assert latest(run).name == f"step_{step:08d}"
    if place in ("record", "layer"):
        assert not (run / "checkpoints").exists()
    assert not (run / "metrics.json").exists()
    assert train(world, "stopped", "--resume").returncode == 0
    assert_same_run(run, world / kind)
    assert_nothing_left(run)


def test_stopped_before_every_step(world):
    # Nine lives of one step each; also where a resumed run is asked before it has done anything.
    run = fresh(world, "often")
    lives = 0
    while True:
        done = train(world, "often", "--resume", fault=asked("step", 2))
        if done.returncode == 0:
            break
        stopped(done)
        lives += 1
        assert lives < 20
    assert lives == 7
    assert_same_run(run, world / "plain")
    before = fresh(world, "nothing")
    stopped(train(world, "nothing", fault=asked("step", 4)))
    for _ in range(2):
        stopped(train(world, "nothing", "--resume", fault=asked("step", 1)))
    assert latest(before).name == "step_00000003"


def start(world, name, *arguments, **more):
    return subprocess.Popen(
        [BIN, "train", f"{name}.yaml", "--resume", *arguments], cwd=world, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment(), **more,
    )


def wait_for(path, seconds=30):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.01)


LONG = {"training": {"epochs": 4000}, "checkpoint": {"every_steps": 100}}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])
def test_every_signal_stops_a_run_within_seconds(world, number):
    run = fresh(world, "signalled", changes=LONG)
    process = start(world, "signalled")
    wait_for(run / "checkpoints/LATEST")
    asked_at = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - asked_at < 10
    assert process.returncode == PREEMPTED and f"stopped by {signal.Signals(number).name}" in errors
    step = int(latest(run).name.removeprefix("step_"))
    assert step % 100 != 0 or "which is saved" in errors


def test_two_different_signals_are_one_request(world):
    fresh(world, "impatient", changes=LONG)
    process = start(world, "impatient")
    wait_for(world / "impatient/log.jsonl")
    for number in (signal.SIGSTOP, signal.SIGUSR1, signal.SIGINT, signal.SIGCONT):
        process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == PREEMPTED


def test_a_background_job_ignores_the_terminal(world):
    run = fresh(world, "background")
    done = subprocess.run(
        ["sh", "-c", f"{BIN} train background.yaml --quiet & wait $!"], cwd=world, text=True, capture_output=True,
        env=environment(**asked("step", 3, signal.SIGINT)), timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert_same_run(run, world / "plain")


def test_only_training_takes_notice(world):
    # What has nothing to save ends as signals end programs.
    done = chorale("predict", "plain", "--data", "test.jsonl", cwd=world)
    assert done.returncode == 0, done.stderr
    ended = subprocess.run(
        [BIN, "predict", "plain", "--data", "test.jsonl"], cwd=world, text=True, capture_output=True, timeout=60,
        env=environment(**asked("batch", 1)),
    )
    assert ended.returncode == -signal.SIGTERM


def test_checkpoints_by_the_clock(world):
    run = fresh(world, "clock", changes={"training": {"epochs": 400}, "checkpoint": {"every_steps": 100000, "every_minutes": 0.003, "keep": 1000}})
    finished(world, "clock")
    steps = [int(path.name.removeprefix("step_")) for path in sorted((run / "checkpoints").glob("step_*"))]
    assert len(steps) > 2 and steps[-1] == 1600
    # Killed after one of them, it ends as the one that was not.
    recipe_in(world, "clock2", {"training": {"epochs": 400}, "checkpoint": {"every_steps": 100000, "every_minutes": 0.003, "keep": 1000}})
    process = start(world, "clock2", "--quiet")
    wait_for(world / "clock2/checkpoints/LATEST")
    process.kill()
    process.communicate()
    finished(world, "clock2", "--resume")
    assert_same_run(world / "clock2", run)


FULL = {"CHORALE_FAULT_ERRNO": "ENOSPC"}


def test_a_disk_that_is_full_for_a_while_does_no_harm_if_the_recipe_says_so(world, tmp_path):
    points = fault_points(world, fresh(world, "counted", changes={"checkpoint": {"on_failure": "continue"}}).name, tmp_path / "log")
    saved = next(int(number) for number, _, path in points if "step_00000003.tmp" in path)
    for first in (saved, saved + 3, saved + 9):
        run = fresh(world, "full", changes={"checkpoint": {"on_failure": "continue"}})
        # Enough failures for the first checkpoint and the lines of the log beside it.
        done = train(world, "full", fault={**FULL, "CHORALE_FAULT_AT": str(first), "CHORALE_FAULT_COUNT": "4"})
        assert done.returncode == 0, (points[first - 1], done.stderr)
        assert "no checkpoint after step 3" in done.stderr and "No space left" in done.stderr, done.stderr
        assert "error" not in done.stderr
        assert_same_run(run, world / "plain")
        assert_nothing_left(run)


def test_lines_of_the_log_wait_for_room(world, tmp_path):
    points = fault_points(world, fresh(world, "counted", changes={"checkpoint": {"on_failure": "continue"}}).name, tmp_path / "log")
    line = next(int(number) for number, operation, path in points if operation == "write" and path.endswith("log.jsonl"))
    run = fresh(world, "waiting", changes={"checkpoint": {"on_failure": "continue"}})
    done = train(world, "waiting", fault={**FULL, "CHORALE_FAULT_AT": str(line), "CHORALE_FAULT_COUNT": "2"})
    assert done.returncode == 0 and done.stderr.count("log.jsonl: cannot be written") == 1, done.stderr
    assert_same_run(run, world / "plain")


def test_a_disk_that_stays_full_fails_the_last_checkpoint(world, tmp_path):
    points = fault_points(world, fresh(world, "counted", changes={"checkpoint": {"on_failure": "continue"}}).name, tmp_path / "log")
    last = next(int(number) for number, _, path in points if "step_00000008.tmp" in path)
    run = fresh(world, "forever", changes={"checkpoint": {"on_failure": "continue"}})
    done = train(world, "forever", fault={**FULL, "CHORALE_FAULT_AT": str(last)})
    assert done.returncode == 5 and done.stderr.count("chorale: error:") == 1, done.stderr
    assert not (run / "metrics.json").exists()
    assert train(world, "forever", "--resume").returncode == 0
    assert_same_run(run, world / "plain")


def test_by_default_a_full_disk_ends_the_run(world, tmp_path):
    points = fault_points(world, fresh(world, "counted").name, tmp_path / "log")
    saved = next(int(number) for number, _, path in points if "step_00000003.tmp" in path)
    fresh(world, "default")
    done = train(world, "default", fault={**FULL, "CHORALE_FAULT_AT": str(saved), "CHORALE_FAULT_COUNT": "4"})
    assert done.returncode == 5 and "step_00000003" in done.stderr
