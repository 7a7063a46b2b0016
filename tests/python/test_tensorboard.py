"""Event files as TensorBoard itself reads them, number by number against log.jsonl and metrics.json: after a plain run, and
after one that was killed and gone on with."""

import json
import math
import random
import shutil
import signal
import time

import numpy
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runs_helpers import *

TRAIN = ("loss", "kl_to_base", "learning_rate", "gradient_norm", "tokens_per_second")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = make_world(tmp_path_factory.mktemp("tensorboard"))
    recipe_in(directory, "plain", EARLY)
    began = time.time()
    finished(directory, "plain")
    (directory / "times").write_text(json.dumps([began, time.time()]))
    return directory


def curves(directory):
    """{tag: [(step, value, wall time), ...]} of one run in TensorBoard's sense."""
    read = EventAccumulator(str(directory), size_guidance={"scalars": 0}, purge_orphaned_data=True)
    read.Reload()
    return {tag: [(event.step, event.value, event.wall_time) for event in read.Scalars(tag)]
            for tag in read.Tags()["scalars"]}


def points(directory):
    return {tag: [(step, value) for step, value, _ in events] for tag, events in curves(directory).items()}


def rounded(value):
    return float(numpy.float32(math.nan if value is None else value))


def expected_of(run):
    """What each directory must show, from log.jsonl and metrics.json."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    metrics = metrics_of(run)
    shown = {f"member_{m:03}": {} for m in range(metrics["members"])} | {"ensemble": {}}

    def add(directory, tag, step, value):
        shown[directory].setdefault(tag, []).append((step, rounded(value)))

    pooled = {}
    for line in lines:
        member = f"member_{line['member']:03}"
        for key in TRAIN:
            if key in line:
                add(member, f"train/{key}", line["step"], line[key])
        for key, value in line.get("validation", {}).items():
            add(member, f"validation/{key}", line["step"], value)
        if "pooled_validation" in line:
            assert pooled.setdefault(line["step"], line["pooled_validation"]) == line["pooled_validation"]
    for step, values in pooled.items():
        for key, value in values.items():
            add("ensemble", f"validation/{key}", step, value)
    step = metrics["training"]["steps"]
    for name, dataset in metrics["datasets"].items():
        if name == "validation":
            continue
        for key in ("nll", "accuracy", "ece", "brier"):
            for m, row in enumerate(dataset["members"]["each"]):
                add(f"member_{m:03}", f"{name}/{key}", step, row[key])
            add("ensemble", f"{name}/{key}", step, dataset["ensemble"][key])
        for key, value in dataset["uncertainty"].items():
            add("ensemble", f"{name}/uncertainty/{key}", step, value)
    return shown


def assert_shows_its_log(run):
    expected = expected_of(run)
    assert {path.name for path in (run / "tensorboard").iterdir()} == set(expected)
    for name, tags in expected.items():
        found = points(run / "tensorboard" / name)
        assert found.keys() == tags.keys(), name
        for tag, values in tags.items():
            assert [step for step, _ in found[tag]] == [step for step, _ in values], (name, tag)
            assert numpy.array_equal([v for _, v in found[tag]], [v for _, v in values], equal_nan=True), (name, tag)


def test_every_number_of_the_log_and_the_result(world):
    assert_shows_its_log(world / "plain")
    member = points(world / "plain/tensorboard/member_000")
    assert len(member["train/loss"]) > 3 and len(member["validation/nll"]) > 1 and len(member["test/nll"]) == 1
    assert {f"train/{key}" for key in TRAIN} < set(member)


def test_times_of_day_and_names(world):
    began, ended = json.loads((world / "times").read_text())
    for directory in (world / "plain/tensorboard").iterdir():
        for events in curves(directory).values():
            times = [wall for _, _, wall in events]
            assert began <= times[0] and times[-1] <= ended and times == sorted(times)
        for path in directory.iterdir():
            assert began - 1 < int(path.name.split(".")[3]) < ended + 1
    # Points of different steps are as far apart as the log says.
    lines = [json.loads(line) for line in (world / "plain/log.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines if line.get("member") == 0 and "seconds" in line]
    times = [wall for _, _, wall in curves(world / "plain/tensorboard/member_000")["train/loss"]]
    assert numpy.diff(times) == pytest.approx(numpy.diff(seconds), abs=0.2)


def test_a_killed_run_shows_each_step_once(world, tmp_path):
    recipe_in(world, "counted", EARLY)
    calls = fault_points(world, "counted", tmp_path / "log")
    own = [(int(number), path) for number, _, path in calls if "/tensorboard/" in path]
    result = [number for number, path in own if path.endswith(".result")]
    opening = [number for number, path in own if number < own[0][0] + 15]
    training = [number for number, path in own if number not in result and number not in opening]
    draw = random.Random(2)
    for number in draw.sample(opening, 2) + draw.sample(training, 5) + draw.sample(result, 2):
        shutil.rmtree(world / "killed", ignore_errors=True)
        run = recipe_in(world, "killed", EARLY)
        assert train(world, "killed", fault={"CHORALE_FAULT_AT": str(number)}).returncode == -signal.SIGKILL
        finished(world, "killed", "--resume")
        assert_same_run(run, world / "plain")
        assert_shows_its_log(run)
        assert_nothing_left(run)


def test_killed_again_and_again(world, tmp_path):
    run = recipe_in(world, "often", EARLY)
    draw = random.Random(4)
    for _ in range(6):
        done = train(world, "often", "--resume", fault={"CHORALE_FAULT_AT": str(draw.randrange(60, 130))})
        if done.returncode == 0:
            break
    finished(world, "often", "--resume")
    assert len(list((run / "tensorboard/member_000").iterdir())) > 2
    assert_shows_its_log(run)


def test_a_longer_run_shows_one_result(world):
    constant = {"training": {"schedule": {"kind": "constant", "warmup_fraction": 0.0}}}
    run = recipe_in(world, "longer", constant)
    finished(world, "longer")
    finished(world, "longer", "--resume", "training.epochs=3", "ensemble.members=3")
    assert_shows_its_log(run)
    assert [step for step, _ in points(run / "tensorboard/ensemble")["test/nll"]] == [12]


def test_what_is_not_finite_is_not_a_number(world):
    run = recipe_in(world, "wild", {"training": {"learning_rate": [0.02, 1e30, 0.02], "clip_norm": None}})
    finished(world, "wild")
    assert_shows_its_log(run)
    assert any(line["member"] == 1 and line.get("loss", 0) is None for line in log_of(run)) or metrics_of(run)["training"][
        "members"][1]["diverged"]


def test_a_last_record_cut_short_is_passed_over(world, tmp_path):
    shutil.copytree(world / "plain/tensorboard/member_000", tmp_path / "cut")
    whole = points(tmp_path / "cut")
    (path,) = [path for path in (tmp_path / "cut").iterdir() if not path.name.endswith(".result")]
    path.write_bytes(path.read_bytes()[:-9])
    found = points(tmp_path / "cut")
    missing = [tag for tag in whole if found[tag] != whole[tag]]
    assert missing and all(found[tag] == whole[tag][:-1] for tag in missing)
    assert found["test/nll"] == whole["test/nll"]


def test_a_full_disk_is_a_storage_error_that_names_the_file(world, tmp_path):
    recipe_in(world, "full")
    calls = fault_points(world, "full", tmp_path / "log")
    writes = [int(number) for number, operation, path in calls if operation == "write" and "/tensorboard/" in path]
    shutil.rmtree(world / "full")
    fault = {"CHORALE_FAULT_AT": str(writes[len(writes) // 2]), "CHORALE_FAULT_ERRNO": "ENOSPC"}
    done = train(world, "full", fault=fault)
    assert done.returncode == 5 and "/tensorboard/member_" in done.stderr and "No space left" in done.stderr
    finished(world, "full", "--resume")
    assert_shows_its_log(world / "full")
