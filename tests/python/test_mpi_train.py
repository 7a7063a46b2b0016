"""The same job on 1 to 4 ranks under a real mpirun: the same predictions, gradients and results, however members and ranks
divide, and nothing lost when a rank is killed."""

import json
import os
import shutil
import signal
import subprocess
import time

import h5py
import numpy
import pytest

from launched import launched
from runs_helpers import *

# (members, ranks): as many, fewer and more members than ranks, even and uneven.
LAYOUTS = [(3, 2), (3, 3), (3, 4), (1, 3), (4, 2), (5, 4), (2, 4)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def alone(world):
    """Runs on one rank, by number of members and changes; each made once."""
    runs = {}

    def run(members, changes=None):
        key = json.dumps([members, changes])
        if key not in runs:
            name = f"alone{len(runs)}"
            recipe_in(world, name, merge(changes or {}, {"ensemble": {"members": members}}))
            runs[key] = finished(world, name)
        return runs[key]

    return run


def log_probabilities(run):
    with h5py.File(run / "predictions.h5") as file:
        return {name: group["log_probabilities"][...] for name, group in file["predictions"].items()}


def largest_difference(first, second):
    assert first.keys() == second.keys()
    worst = 0.0
    for name, value in first.items():
        assert value.shape == second[name].shape
        assert (numpy.isinf(value) == numpy.isinf(second[name])).all()
        worst = max(worst, numpy.abs(numpy.nan_to_num(value, neginf=0) - numpy.nan_to_num(second[name], neginf=0)).max())
    return worst


def members_of(run, step=None):
    """Everything stored of each member, whichever group's file it is in."""
    directory = latest(run) if step is None else run / f"checkpoints/step_{step:08d}"
    members = {}
    for path in sorted(directory.glob("group_*.h5")):
        with h5py.File(path) as file:
            for name, member in file["members"].items():
                assert name not in members
                members[name] = {"progress": dict(member["progress"].attrs)}
                for key, value in member["optimizer"].items():
                    members[name][key] = value[...]
                members[name]["adapters"] = numpy.concatenate(
                    [value[...].ravel() for _, value in sorted(leaves(member["adapter"]).items())]
                )
    return members


def leaves(group):
    found = {}
    group.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.parametrize("members,ranks", LAYOUTS)
def test_same_adapters_predict_the_same(world, alone, members, ranks):
    # Only the evaluation is left to do, with the adapters of one rank.
    name = f"evaluate{members}x{ranks}"
    recipe_in(world, name, {"ensemble": {"members": members}})
    expected = alone(members)
    shutil.copytree(expected, world / name)
    for lost in ("metrics.json", "predictions.h5"):
        (world / name / lost).unlink()
    run = finished(world, name, "--resume", ranks=ranks)
    assert largest_difference(log_probabilities(run), log_probabilities(expected)) < 1e-5


@pytest.mark.parametrize("members,ranks", LAYOUTS)
def test_gradients_of_one_step_are_the_same(world, alone, members, ranks):
    # After one step AdamW's first moment is a tenth of the gradient.
    changes = {"training": {"steps": 1, "epochs": None, "clip_norm": None}, "adapter": {"dropout": 0.1}}
    expected = members_of(alone(members, changes))
    name = f"step{members}x{ranks}"
    recipe_in(world, name, merge(changes, {"ensemble": {"members": members}}))
    found = members_of(finished(world, name, ranks=ranks))
    assert sorted(found) == sorted(expected) == [f"{m:03d}" for m in range(members)]
    for member, values in expected.items():
        scale = numpy.linalg.norm(values["first_moment"])
        assert scale > 0
        assert numpy.linalg.norm(found[member]["first_moment"] - values["first_moment"]) < 1e-6 * scale


@pytest.mark.parametrize("kind,members,ranks", [("plain", m, r) for m, r in LAYOUTS] + [("early", 3, 2), ("early", 3, 3), ("early", 5, 4)])
def test_a_whole_training_is_the_same_but_for_rounding(world, alone, kind, members, ranks):
    changes = merge(EARLY, {"training": {"learning_rate": 0.02}}) if kind == "early" else {}
    expected = alone(members, changes)
    name = f"{kind}{members}x{ranks}"
    recipe_in(world, name, merge(changes, {"ensemble": {"members": members}}))
    run = finished(world, name, ranks=ranks)
    # Measured: 5e-7 to 2.6e-6.
    assert largest_difference(log_probabilities(run), log_probabilities(expected)) < 5e-5
    first, second = metrics_of(run), metrics_of(expected)
    assert first["training"] == second["training"]  # steps, tokens, who stopped where
    ours, theirs = first["datasets"]["test"], second["datasets"]["test"]
    for row in ("ensemble", "ensemble_temperature_scaled"):
        assert ours[row]["nll"] == pytest.approx(theirs[row]["nll"], abs=1e-3)
    assert [(line["step"], line["member"]) for line in log_of(run)] == [(line["step"], line["member"]) for line in log_of(expected)]
    for one, other in zip(log_of(run), log_of(expected), strict=True):
        assert one.get("tokens") == other.get("tokens")
        if "loss" in one:
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


def test_the_placement_is_stored_and_every_group_writes_its_file(world):
    run = recipe_in(world, "placed", {"ensemble": {"members": 5}})
    done = train(world, "placed", ranks=4, fault={"TERM": "xterm-256color"})
    assert done.returncode == 0, done.stderr
    # The launcher's own terminal is nobody's: what is sent to a file stays plain text, and is said once.
    assert "\x1b" not in done.stdout and done.stdout.count("members' mean  ") == 1
    files = sorted(path.name for path in latest(run).glob("*.h5"))
    with h5py.File(latest(run) / files[0]) as file:
        placement = json.loads(file.attrs["placement"])
    assert placement["members"] == 5 and placement["ranks"] == 4 and len(files) == len(placement["groups"])
    assert json.loads((run / "timings.json").read_text())["ranks"] == 4
    assert len(json.loads((run / "timings.json").read_text())["peak_memory_bytes"]) == 4


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("kind", ["plain", "early"])
def test_the_same_layout_gives_the_same_bits_and_so_does_a_killed_and_resumed_run(world, ranks, kind):
    changes = EARLY if kind == "early" else {}
    for name in ("first", "second", "killed"):
        shutil.rmtree(world / f"{kind}{name}{ranks}", ignore_errors=True)
        recipe_in(world, f"{kind}{name}{ranks}", changes)
    expected = finished(world, f"{kind}first{ranks}", ranks=ranks)
    assert_same_run(finished(world, f"{kind}second{ranks}", ranks=ranks), expected)
    name = f"{kind}killed{ranks}"
    # Each rank counts its own changes to files; only rank 0 comes to these numbers.
    for point in (75, 60):
        done = train(world, name, "--resume", ranks=ranks, fault={"CHORALE_FAULT_AT": str(point)})
        assert done.returncode != 0
    finished(world, name, "--resume", ranks=ranks)
    assert_same_run(world / name, expected)
    assert_nothing_left(world / name)


def test_a_killed_rank_ends_the_job_and_loses_nothing(world):
    recipe_in(world, "victim", {"training": {"epochs": 40}})
    recipe_in(world, "healthy", {"training": {"epochs": 40}})
    expected = finished(world, "healthy", ranks=2)
    job = subprocess.Popen(
        [*launcher(2, 100), BIN, "train", "victim.yaml", "--quiet"], cwd=world, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    for _ in range(400):
        if (world / "victim/checkpoints/LATEST").exists():
            break
        time.sleep(0.02)
    ranks = subprocess.run(["pgrep", "-P", str(job.pid), "-f", "victim.yaml"], text=True, capture_output=True).stdout.split()
    assert len(ranks) == 2
    os.kill(int(ranks[1]), signal.SIGKILL)
    assert job.wait(timeout=60) != 0
    assert not (world / "victim/metrics.json").exists()
    finished(world, "victim", "--resume", ranks=2)
    assert_same_run(world / "victim", expected)


@pytest.mark.parametrize("first,then", [(1, 3), (4, 1), (3, 2), (2, 4)])
def test_a_killed_run_goes_on_on_another_number_of_ranks(world, alone, first, then):
    name = f"crashed{first}to{then}"
    recipe_in(world, name)
    done = train(world, name, ranks=first, fault={"CHORALE_FAULT_AT": "7", "CHORALE_FAULT_ONLY": "rename"})
    assert done.returncode != 0 and (world / name / "checkpoints/LATEST").exists() and not (world / name / "metrics.json").exists()
    run = finished(world, name, "--resume", ranks=then)
    expected = alone(3)
    assert largest_difference(log_probabilities(run), log_probabilities(expected)) < 5e-5
    assert metrics_of(run)["training"] == metrics_of(expected)["training"]
    assert [(line["step"], line["member"]) for line in log_of(run)] == [(line["step"], line["member"]) for line in log_of(expected)]


# Mistakes and failures: one message, by one rank, and the documented code out of the launcher.
MISTAKES = {
    "small batch": (["ensemble.members=1", "training.batch_size=2"], 3, 2, ["training.batch_size", "3 ranks"]),
    "too many groups": (["distributed.groups=3"], 2, 2, ["distributed.groups"]),
    "more groups than members": (["ensemble.members=2", "distributed.groups=3"], 4, 2, ["distributed.groups"]),
    "no groups": (["distributed.groups=0"], 2, 2, ["distributed.groups"]),
    "negative groups": (["distributed.groups=-1"], 2, 2, ["distributed.groups"]),
    "groups in words": (["distributed.groups=many"], 2, 2, ["distributed.groups"]),
    "unknown backend": (["distributed.backend=gloo"], 2, 2, ["distributed.backend"]),
    "nccl without a GPU": (["distributed.backend=nccl"], 2, 2, ["distributed.backend"]),
    "watchdog": (["distributed.watchdog_seconds=0"], 2, 2, ["distributed.watchdog_seconds"]),
    "checkpoint interval": (["checkpoint.every_steps=0"], 2, 2, ["checkpoint.every_steps"]),
    "checkpoints kept": (["checkpoint.keep=0"], 2, 2, ["checkpoint.keep"]),
    "checkpoint key": (["checkpoint.every=5"], 2, 2, ["checkpoint.every", "every_steps"]),
    "distributed key": (["distributed.group=2"], 2, 2, ["distributed.group", "groups"]),
    "no recipe": (["no.such=1"], 3, 2, ["no"]),
    "no data": (["data.train.path=nowhere.jsonl"], 2, 2, ["nowhere.jsonl"]),
    "no model": (["base.path=nowhere"], 3, 2, ["nowhere"]),
    "layers": (["adapter.layers=5-9"], 2, 2, ["layer"]),
    "not a directory": (["output.directory=train.jsonl"], 2, 2, ["train.jsonl"]),
    "below a file": (["output.directory=train.jsonl/run"], 2, 5, ["train.jsonl"]),
    "all diverge": (["training.learning_rate=1e30", "training.clip_norm=null"], 2, 4, ["diverged"]),
    "all diverge in groups": (["training.learning_rate=1e30", "training.clip_norm=null"], 3, 4, ["diverged"]),
    "too long": (["data.max_tokens=3"], 2, 3, [".jsonl:1", "data.max_tokens"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_once_and_ends_with_its_code(world, mistake):
    arguments, ranks, code, words = MISTAKES[mistake]
    name = "mistake"
    shutil.rmtree(world / name, ignore_errors=True)
    recipe_in(world, name)
    done = train(world, name, *arguments, ranks=ranks, timeout=60)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("chorale: error:") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert not (world / name / "metrics.json").exists()


def test_bad_data_for_one_rank_alone_is_everybodys_error(world):
    # Rank 1 works in another directory, where the test set is broken.
    (world / "elsewhere").mkdir()
    for path in world.iterdir():
        if path.is_file() or path.name == "model":
            (world / "elsewhere" / path.name).symlink_to(path)
    (world / "elsewhere/test.jsonl").unlink()
    (world / "elsewhere/test.jsonl").write_text('{"thing": "sky", "note": "no. 1", "colour": "mauve"}\n')
    recipe_in(world, "torn", {"output": {"directory": str(world / "torn")}})
    shutil.copyfile(world / "torn.yaml", world / "elsewhere/torn.yaml")
    wrapper = f'[ "$OMPI_COMM_WORLD_RANK" = 1 ] && cd elsewhere; exec {BIN} train torn.yaml --quiet'
    done = launched([*launcher(2, 40), "sh", "-c", wrapper], timeout=60, cwd=world, env=environment())
    assert done.returncode == 3 and done.stderr.count("chorale: error:") == 1 and "test.jsonl:1" in done.stderr
    assert "rank 1" in done.stderr


def test_disk_full_for_one_group_is_everybodys_error_and_keeps_the_earlier_checkpoint(world):
    recipe_in(world, "full")
    wrapper = (
        f'[ "$OMPI_COMM_WORLD_RANK" = 2 ] && export CHORALE_FAULT_AT=9 CHORALE_FAULT_ERRNO=ENOSPC; exec {BIN} train full.yaml --quiet'
    )
    done = launched([*launcher(3, 40), "sh", "-c", wrapper], timeout=60, cwd=world, env=environment())
    assert done.returncode == 5 and done.stderr.count("chorale: error:") == 1 and "rank 2" in done.stderr
    assert (latest(world / "full") / "manifest.json").exists()
    recipe_in(world, "whole")
    expected = finished(world, "whole", ranks=3)
    finished(world, "full", "--resume", ranks=3)
    assert_same_run(world / "full", expected)
