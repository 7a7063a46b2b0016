"""`chorale merge`: independent runs become one ensemble that says what numpy makes of their predictions, and what the
model says when it is evaluated anew; mixed bases and tasks are refused with the field's name."""

import json
import shutil

import h5py
import numpy
import pytest
from e2e_helpers import BIN, checksum, llama_tensors, write_model
from launched import launched
from runs_helpers import environment, finished, latest, launcher, make_world, metrics_of, recipe_in


def command(directory, *arguments, ranks=1):
    return launched([*(launcher(ranks, 60) if ranks > 1 else []), BIN, *arguments], timeout=80, cwd=directory,
                    env=environment())


def refusal(directory, *arguments, code=2):
    done = command(directory, *arguments)
    assert done.returncode == code and not done.stdout, (done.returncode, done.stderr)
    assert done.stderr.count("chorale: error:") == 1
    return done.stderr


def contents(run):
    """Of all files but the lock, which whoever looks at the run to go on with it takes."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}


def predictions(run, name="test"):
    with h5py.File(run / "predictions.h5") as file:
        group = file["predictions"][name]
        return group["log_probabilities"][()].astype(numpy.float64), group["labels"][()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = make_world(tmp_path_factory.mktemp("merge"))
    for name, changes in {
        "one": {"seed": 1, "ensemble": {"members": 2}},
        "two": {"seed": 2, "ensemble": {"members": 3}, "training": {"learning_rate": [0.02, 0.01, 0.03], "epochs": 3}},
        "three": {"seed": 3, "ensemble": {"members": 1}, "adapter": {"dropout": 0.0}},
    }.items():
        recipe_in(directory, name, changes)
        finished(directory, name)
    return directory


@pytest.fixture(scope="module")
def merged(place):
    before = [checksum(place / name) for name in ("one", "two", "three")]
    done = command(place, "merge", "one", "two", "three", "--output", "all")
    assert done.returncode == 0, done.stderr
    assert "6 members of 3 runs" in done.stdout and "ensemble + temperature" in done.stdout
    assert [checksum(place / name) for name in ("one", "two", "three")] == before
    return place / "all"


def test_members_stand_one_behind_the_other_and_the_ensemble_is_their_mean(place, merged):
    for name in ("test", "validation", "far"):
        parts = [predictions(place / run, name)[0] for run in ("one", "two", "three")]
        together, labels = predictions(merged, name)
        assert numpy.array_equal(together, numpy.concatenate(parts))
        nll = -numpy.log(numpy.exp(together).mean(axis=0)[numpy.arange(len(labels)), labels]).mean()
        assert metrics_of(merged)["datasets"][name]["ensemble"]["nll"] == pytest.approx(nll, rel=1e-6)
    metrics = metrics_of(merged)
    assert metrics["members"] == 6 and len(metrics["training"]["members"]) == 6
    assert metrics["training"]["steps"] == 12  # of the longest run
    assert metrics["training"]["tokens"] == sum(metrics_of(place / run)["training"]["tokens"] for run in ("one", "two", "three"))
    with h5py.File(latest(merged) / "group_000.h5") as file, h5py.File(latest(place / "two") / "group_000.h5") as two:
        assert list(file["members"]) == [f"{m:03}" for m in range(6)]
        site = "adapter/model.layers.1.mlp.up_proj/B"
        assert numpy.array_equal(file[f"members/003/{site}"], two[f"members/001/{site}"])
    lines = [json.loads(line) for line in (merged / "log.jsonl").read_text().splitlines()]
    assert {line["member"] for line in lines} == set(range(6)) and lines[-1]["step"] == 12
    sources = json.loads((merged / "merged.json").read_text())["runs"]
    assert [(source["seed"], source["members"]) for source in sources] == [(1, 2), (2, 3), (3, 1)]


@pytest.mark.parametrize("ranks", [1, 3])
def test_the_model_evaluated_anew_says_the_same(place, merged, ranks):
    done = command(place, "evaluate", "all", "--output", f"anew{ranks}", ranks=ranks)
    assert done.returncode == 0, done.stderr
    found = predictions(place / f"anew{ranks}")[0]
    assert abs(found - predictions(merged)[0]).max() < 1e-5


def test_a_merged_run_is_merged_again_but_never_trained_on(place, merged):
    recipe_in(place, "four", {"seed": 4, "ensemble": {"members": 1}})
    finished(place, "four")
    done = command(place, "merge", "all", "four", "--output", "more")
    assert done.returncode == 0 and metrics_of(place / "more")["members"] == 7, done.stderr
    again = command(place, "train", "all/recipe.yaml", "--resume")
    assert again.returncode == 0 and "nothing is left to do" in again.stderr  # finished, as it stands
    before = contents(merged)
    assert "merged from several runs" in refusal(place, "train", "all/recipe.yaml", "--resume", "training.epochs=9")
    assert contents(merged) == before


def test_what_cannot_be_one_ensemble_is_refused_by_its_field(place):
    write_model(place / "other", tensors=llama_tensors(seed=5))
    for name, changes in {
        "base": {"base": {"path": "other"}}, "rank": {"adapter": {"rank": 2}},
        "prompt": {"task": {"prompt": "{thing}\nColour:"}}, "test": {"data": {"test": {"path": "far.jsonl"}}},
    }.items():
        recipe_in(place, name, {"seed": 9, "ensemble": {"members": 1}, "training": {"epochs": 1}, **changes})
        finished(place, name)
    assert "base_fingerprint is" in refusal(place, "merge", "one", "base", "--output", "x")
    assert "adapter.rank is 3 and 2" in refusal(place, "merge", "one", "rank", "--output", "x")
    assert "task.prompt is" in refusal(place, "merge", "one", "prompt", "--output", "x")
    assert "their sets 'test' differ: 13 and 7 examples" in refusal(place, "merge", "one", "test", "--output", "x")
    assert "the same adapters bit for bit" in refusal(place, "merge", "one", "one", "--output", "x")
    assert "Give two runs or more" in refusal(place, "merge", "one", "--output", "x")
    assert "already holds a run" in refusal(place, "merge", "one", "two", "--output", "three")
    assert not (place / "x").exists()
    begun = shutil.copytree(place / "two", place / "begun")
    (begun / "metrics.json").unlink()
    assert "is not finished" in refusal(place, "merge", "one", "begun", "--output", "x")


def test_completions_are_evaluated_by_the_model(place):
    task = {"kind": "completion", "prompt": "{thing} is", "answer": "colour", "choices": None, "labels": None}
    for seed, name in ((1, "text1"), (2, "text2")):
        recipe_in(place, name, {"seed": seed, "task": task, "ensemble": {"members": 2}, "training": {"epochs": 1}})
        finished(place, name)
    for ranks in (1, 2):
        done = command(place, "merge", "text1", "text2", "--output", f"texts{ranks}", ranks=ranks)
        assert done.returncode == 0, done.stderr
        test = metrics_of(place / f"texts{ranks}")["datasets"]["test"]
        each = [metrics_of(place / name)["datasets"]["test"]["members"]["each"] for name in ("text1", "text2")]
        assert [one["nll"] for one in test["members"]["each"]] == pytest.approx([m["nll"] for run in each for m in run], rel=1e-5)
        assert test["ensemble"]["nll"] < test["members"]["mean"]["nll"]
