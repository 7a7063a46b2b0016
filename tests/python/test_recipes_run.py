"""The shipped recipes, shortened, on the real base and real data prepared by recipes/prepare."""

import json
import math
import subprocess
import sys
from pathlib import Path

import h5py
import numpy
import pytest
from e2e_helpers import MODEL, SOURCE, chorale, shared

WORDNET = Path("/usr/share/wordnet")
SHORT = [
    "ensemble.members=2", "adapter.layers=[29]", "training.epochs=null", "training.steps=2", "training.batch_size=4",
    "training.log_every=1", "evaluation.bootstrap=20", "evaluation.batch_size=8", "base.device=cpu",
]


def prepare(script, *arguments):
    command = [sys.executable, "-B", SOURCE / "recipes/prepare" / f"{script}.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def openbookqa_data(data):
    release = shared("openbookqa")
    for part in ("train", "dev", "test"):
        prepare("openbookqa", "--input", release / f"{part}.tsv", "--output", data / f"openbookqa/{part}.jsonl")
    prepare("mmlu", "--input", shared("mmlu/test"), "--max-characters", 400, "--limit", 500, "--output",
            data / "mmlu/test.jsonl")
    prepare("commonsenseqa", "--choices", 4, "--input", shared("commonsenseqa/dev.jsonl"), "--output",
            data / "commonsenseqa/dev_four.jsonl")


def commonsenseqa_data(data):
    for part in ("train", "dev"):
        prepare("commonsenseqa", "--input", shared(f"commonsenseqa/{part}.jsonl"), "--output",
                data / f"commonsenseqa/{part}.jsonl")
    prepare("openbookqa", "--input", shared("openbookqa/test.tsv"), "--output", data / "openbookqa/test.jsonl")


def wordnet_data(data):
    if not (WORDNET / "data.noun").exists():
        pytest.skip("no WordNet: the Debian package wordnet-base is not installed")
    prepare("wordnet", "--output", data / "wordnet")


# What a recipe needs, how it is shortened, and the largest number of options.
RECIPES = {
    "openbookqa": (openbookqa_data, ["data.train.limit=8", "data.validation.limit=8", "data.test.limit=12",
                                     "data.shifted.0.limit=6", "data.shifted.1.limit=6"], 4),
    "commonsenseqa": (commonsenseqa_data, ["data.train.limit=16", "data.validation={fraction: 0.4}",
                                           "data.test.limit=10", "data.shifted.0.limit=6"], 5),
    "quickstart": (wordnet_data, ["data.train.limit=12", "data.validation.limit=10", "data.test.limit=20",
                                  "data.shifted.0.limit=8"], 25),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_runs(name, tmp_path):
    if not MODEL.exists():
        pytest.skip(f"no model at {MODEL.relative_to(SOURCE)}; launch/setup fetches it")
    make, limits, choices = RECIPES[name]
    make(tmp_path / "data")
    done = chorale("train", SOURCE / f"recipes/{name}.yaml", f"base.path={MODEL}", "output.directory=run", *SHORT,
                   *limits, cwd=tmp_path, timeout=800)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100 and f"test set: {name}" in done.stdout
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["training"]["steps"] == 2
    results = metrics["datasets"]
    with h5py.File(tmp_path / "run/predictions.h5") as file:
        sets = {key: (group["log_probabilities"][...].astype(float), group["labels"][...])
                for key, group in file["predictions"].items()}
    assert sorted(sets) == sorted(results) and {"test", "validation"} < set(sets)
    for key, (log_p, labels) in sets.items():
        assert log_p.shape == (2, results[key]["examples"], log_p.shape[2]) and log_p.shape[2] <= choices
        assert numpy.allclose(numpy.exp(log_p).sum(axis=2), 1, atol=1e-5)
        # The members are still close to the base, and so to each other, after two steps, but not the same.
        assert 0 < numpy.abs(numpy.exp(log_p[0]) - numpy.exp(log_p[1])).max() < 0.9
        if key != "verbs":
            rows = numpy.arange(len(labels))
            nll = [-member[rows, labels].mean() for member in log_p]
            found = [member["nll"] for member in results[key]["members"]["each"]]
            assert found == pytest.approx(nll, abs=1e-6)
            # Two steps do not ruin the base, which is uncalibrated: about 4 nats on some of these questions.
            assert 0 < results[key]["ensemble"]["nll"] < 8
    test = results["test"]
    assert {"ensemble_temperature_scaled", "single_temperature_scaled", "intervals"} <= set(test)
    assert 0 <= test["ensemble"]["accuracy"] <= 1 and 0 <= test["uncertainty"]["epistemic"] <= math.log(2)
    shifted = set(results) - {"test", "validation"}
    assert shifted and all(0 <= results[key]["detection"]["ensemble"]["auroc"]["entropy"] <= 1 for key in shifted)
    losses = [json.loads(line).get("loss") for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    losses = [loss for loss in losses if loss is not None]
    assert len(losses) == 4 and all(0 < loss < 25 for loss in losses)
