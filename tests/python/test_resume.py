"""A run that is killed, that runs out of disk or whose checkpoints are damaged, gone on with: the end is the one of a
run nobody disturbed, bit for bit."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from runs_helpers import *

EVERY = os.environ.get("CHORALE_ALL_FAULTS") == "1"  # every fault point instead of a sample


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return undisturbed_world(tmp_path_factory.mktemp("resume"))


@pytest.mark.parametrize("kind", ["plain", "early"])
def test_killed_at_any_change_of_a_file(world, tmp_path, kind):
    points = fault_points(world, fresh(world, "counted", kind).name, tmp_path / "log")
    shutil.rmtree(world / "counted")
    assert len(points) > 50 and {"write", "fsync", "rename", "mkdir"} <= {operation for _, operation, _ in points}
    numbers = range(1, len(points) + 1)
    chosen = numbers if EVERY else sorted(random.Random(kind).sample(numbers, 10) + [1, len(points)])
    for number in chosen:
        run = fresh(world, "killed", kind)
        done = train(world, "killed", fault={"CHORALE_FAULT_AT": str(number)})
        assert done.returncode == -signal.SIGKILL, (number, points[number - 1], done.stderr)
        again = train(world, "killed", "--resume")
        assert again.returncode == 0, (number, points[number - 1], again.stderr)
        assert_same_run(run, world / kind)
        assert_nothing_left(run)


def test_killed_twice_and_at_a_late_point_of_the_second_life(world):
    run = fresh(world, "twice", "early")
    for point in (100, 85, 70):
        train(world, "twice", "--resume", fault={"CHORALE_FAULT_AT": str(point)})
    assert train(world, "twice", "--resume").returncode == 0
    assert_same_run(run, world / "early")


def test_killed_at_random_moments(world):
    draw = random.Random(3)
    run = fresh(world, "moments", changes={"training": {"epochs": 60}})
    recipe_in(world, "straight", {"training": {"epochs": 60}})
    finished(world, "straight")
    lives = 0
    for lives in range(1, 40):
        process = subprocess.Popen(
            [BIN, "train", "moments.yaml", "--resume", "--quiet"], cwd=world, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=environment(),
        )
        try:
            process.wait(timeout=draw.uniform(0.2, 1.0) * 1.15**lives)  # in the end long enough for any machine
        except subprocess.TimeoutExpired:
            process.kill()
        if process.wait() == 0:
            break
    assert lives > 1
    assert_same_run(run, world / "straight")


def test_full_disk_keeps_the_earlier_checkpoint_and_ends_with_code_5(world, tmp_path):
    points = fault_points(world, fresh(world, "counted").name, tmp_path / "log")
    chosen = range(1, len(points) + 1) if EVERY else random.Random(5).sample(range(2, len(points) + 1), 8)
    for number in chosen:
        run = fresh(world, "full")
        fault = {"CHORALE_FAULT_AT": str(number), "CHORALE_FAULT_ERRNO": "ENOSPC"}
        done = train(world, "full", fault=fault)
        operation = points[number - 1][1]
        # What cannot be removed is tried again at the next checkpoint, and the lock that cannot be emptied at the end is
        # taken over by the next run: neither is an error.
        if done.returncode != 0 or operation not in ("unlink", "rmdir", "truncate"):
            assert done.returncode == 5, (number, points[number - 1], done.stderr)
            assert done.stderr.count("chorale: error:") == 1 and "No space left" in done.stderr
        again = train(world, "full", "--resume")
        assert again.returncode == 0, (number, points[number - 1], again.stderr)
        assert_same_run(run, world / "plain")


def test_only_the_evaluation_is_left(world):
    run = fresh(world, "evaluation", "early")
    finished(world, "evaluation")
    for name in ("metrics.json", "predictions.h5", "timings.json"):
        (run / name).unlink()
    done = train(world, "evaluation", "--resume")
    assert done.returncode == 0 and "going on from step" in done.stderr
    assert_same_run(run, world / "early")


def test_a_finished_run_is_left_as_it_is(world):
    run = fresh(world, "done")
    first = train(world, "done")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    second = train(world, "done", "--resume")
    assert second.returncode == 0 and "nothing is left to do" in second.stderr
    assert second.stdout == first.stdout
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"} == before
    refused = train(world, "done")
    assert refused.returncode == 2 and "--resume" in refused.stderr


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "manifest"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(world, damage):
    run = fresh(world, damage, "early")
    finished(world, damage)
    (run / "metrics.json").unlink()
    newest = latest(run)
    file = newest / "group_000.h5"
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-7])
    elif damage == "flipped":
        file.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    elif damage == "missing":
        file.unlink()
    else:
        (newest / "manifest.json").write_text("{")
    done = train(world, damage, "--resume")
    assert done.returncode == 0, done.stderr
    assert "passed over" in done.stderr and newest.name in done.stderr
    if damage != "manifest":
        assert "group_000.h5" in done.stderr
    assert (run / "checkpoints" / (newest.name + ".damaged")).exists()  # nothing is thrown away
    assert_same_run(run, world / "early")


def test_without_any_valid_checkpoint_it_starts_from_the_beginning(world):
    run = fresh(world, "none")
    finished(world, "none")
    (run / "metrics.json").unlink()
    for manifest in run.glob("checkpoints/step_*/manifest.json"):
        manifest.write_text("gone")
    done = train(world, "none", "--resume")
    assert done.returncode == 0 and done.stderr.count("passed over") >= 2
    assert_same_run(run, world / "plain")


def test_resume_without_a_run_starts_one(world):
    run = fresh(world, "new")
    assert train(world, "new", "--resume").returncode == 0
    assert_same_run(run, world / "plain")


def test_more_epochs_go_on_where_training_ended(world):
    # A constant rate does not look ahead, so two epochs and two more are four.
    constant = {"training": {"schedule": {"kind": "constant", "warmup_fraction": 0.0}}}
    run = fresh(world, "longer", changes=constant)
    finished(world, "longer")
    assert train(world, "longer", "--resume", "training.epochs=4").returncode == 0
    recipe_in(world, "four", merge(constant, {"training": {"epochs": 4}}))
    finished(world, "four")
    assert_same_run(run, world / "four")


def test_killed_while_a_finished_run_becomes_a_longer_one(world, tmp_path):
    # At no point do old metrics stand beside the new recipe, or the next start would take the run for a finished one.
    constant = {"training": {"schedule": {"kind": "constant", "warmup_fraction": 0.0}}}
    recipe_in(world, "short", constant)
    finished(world, "short")
    recipe_in(world, "whole", merge(constant, {"training": {"epochs": 3}}))
    finished(world, "whole")
    recipe_in(world, "grown", constant)
    longer = ["--resume", "training.epochs=3", "output.directory=grown"]

    def start(fault):
        shutil.rmtree(world / "grown", ignore_errors=True)
        shutil.copytree(world / "short", world / "grown")
        return train(world, "grown", *longer, fault=fault)

    assert start({"CHORALE_FAULT_LOG": str(tmp_path / "log")}).returncode == 0
    points = [line.split(" ", 2) for line in (tmp_path / "log").read_text().splitlines()]
    removed = next(int(number) for number, operation, path in points if operation == "unlink" and path.endswith("metrics.json"))
    rewritten = next(int(number) for number, operation, path in points if operation == "rename" and "recipe.yaml" in path)
    assert removed < rewritten
    for number in range(removed, rewritten + 3):
        assert start({"CHORALE_FAULT_AT": str(number)}).returncode == -signal.SIGKILL
        again = train(world, "grown", *longer)
        assert again.returncode == 0 and "nothing is left to do" not in again.stderr, (points[number - 1], again.stderr)
        assert_same_run(world / "grown", world / "whole")


def test_what_may_change_and_what_may_not(world):
    run = fresh(world, "changed")
    finished(world, "changed")
    may = ["evaluation.ece_bins=9", "checkpoint.keep=1", "distributed.watchdog_seconds=50", "data.shifted=[]", "data.test.limit=8"]
    done = train(world, "changed", "--resume", *may)
    assert done.returncode == 0, done.stderr
    assert set(metrics_of(run)["datasets"]) == {"validation", "test"}
    refused = {
        "training.learning_rate=0.01": "training.learning_rate", "training.batch_size=7": "training.batch_size",
        "adapter.rank=2": "adapter.rank", "seed=3": "seed", "data.train.limit=5": "data.train",
        "task.prompt='{thing}:'": "task.prompt", "ensemble.members=2": "ensemble.members",
        "base.dtype=bfloat16": "base.dtype", "name=other": "name", "data.max_tokens=63": "data.max_tokens",
        "adapter.dropout=0.2": "adapter.dropout", "training.schedule.kind=constant": "training.schedule.kind",
    }
    before = (run / "metrics.json").read_bytes()
    for change, key in refused.items():
        done = train(world, "changed", "--resume", *may, change)
        assert done.returncode == 2 and key in done.stderr, (change, done.stderr)
        assert (run / "metrics.json").read_bytes() == before
    several = train(world, "changed", "--resume", *may, "seed=3", "adapter.rank=2")
    assert several.returncode == 2 and "seed" in several.stderr and "adapter.rank" in several.stderr


def test_another_base_is_refused(world):
    run = fresh(world, "base")
    finished(world, "base")
    (run / "metrics.json").unlink()
    shutil.copytree(world / "model", world / "other")
    path = world / "other/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    shutil.move(world / "model", world / "kept")
    shutil.move(world / "other", world / "model")
    try:
        done = train(world, "base", "--resume")
    finally:
        shutil.rmtree(world / "model")
        shutil.move(world / "kept", world / "model")
    assert done.returncode == 3 and "another base model" in done.stderr and "group_000.h5" in done.stderr


def test_a_directory_in_use_is_refused_and_named(world):
    run = fresh(world, "used", changes={"training": {"epochs": 2000}})
    first = subprocess.Popen(
        [BIN, "train", "used.yaml", "--quiet"], cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        for _ in range(200):
            if (run / "checkpoints").exists():
                break
            time.sleep(0.05)
        second = train(world, "used", "--resume")
        assert second.returncode == 2 and str(first.pid) in second.stderr and "used" in second.stderr
    finally:
        first.kill()
        first.wait()
    changes = {"training": {"epochs": 2}}
    recipe_in(world, "used", changes)  # a lock left by a process that is no more does no harm
    assert train(world, "used", "--resume").returncode == 0


def test_a_directory_that_is_no_run_is_refused(world):
    fresh(world, "foreign")
    (world / "foreign").mkdir()
    (world / "foreign/thesis.tex").write_text("years of work")
    done = train(world, "foreign", "--resume")
    assert done.returncode == 2 and "foreign" in done.stderr
    assert (world / "foreign/thesis.tex").read_text() == "years of work"


def test_a_torn_line_of_the_log_is_dropped(world):
    run = fresh(world, "torn")
    finished(world, "torn")
    (run / "metrics.json").unlink()
    with open(run / "log.jsonl", "a") as log:
        log.write('{"member": 0, "st')
    assert train(world, "torn", "--resume").returncode == 0
    assert_same_run(run, world / "plain")
    (run / "metrics.json").unlink()
    lines = (run / "log.jsonl").read_text().splitlines()
    lines[1] = "what is this"
    (run / "log.jsonl").write_text("\n".join(lines) + "\n")
    done = train(world, "torn", "--resume")
    assert done.returncode == 3 and "log.jsonl:2" in done.stderr


def test_h5py_reads_it_all(world):
    import h5py

    with h5py.File(latest(world / "early") / "group_000.h5") as file:
        assert file.attrs["format"] == "chorale-checkpoint" and file.attrs["format_version"] == 1
        assert json.loads(file.attrs["placement"])["members"] == 3
        member = file["members/001"]
        assert set(member) == {"adapter", "optimizer", "progress"}
        a = member["adapter/model.layers.1.self_attn.q_proj/A"]
        b = member["adapter/model.layers.1.self_attn.q_proj/B"]
        assert a.shape[0] == b.shape[1] == 3 and member["optimizer/first_moment"].shape == member["optimizer/continued"].shape
        assert member["progress"].attrs["best_step"] > 0 and member["progress"].attrs["tokens"] > 0
