"""Whole runs of a tiny model that are stopped, gone on with, spread over ranks and compared: what those tests share."""

import json
import os
import shutil
import signal

import h5py
import numpy

from e2e_helpers import BIN, COLOURS, chorale, colour_records, merge, write_jsonl, write_model, write_recipe
from launched import launched

RECIPE = {
    "name": "tiny",
    "seed": 11,
    "base": {"path": "model", "device": "cpu"},
    "data": {
        "train": {"path": "train.jsonl"}, "validation": {"path": "validation.jsonl"}, "test": {"path": "test.jsonl"},
        "shifted": [{"name": "far", "path": "far.jsonl"}], "max_tokens": 64,
    },
    "task": {"prompt": "{thing} {note}\nColour:", "choices": COLOURS, "answer": "colour", "labels": "options"},
    "ensemble": {"members": 3},
    # The upper layer alone is adapted, so that there is a frozen part below.
    "adapter": {"rank": 3, "alpha": 6, "targets": "all_linear", "layers": [1], "dropout": 0.1},
    "training": {"epochs": 2, "batch_size": 6, "learning_rate": 0.02, "log_every": 2},
    "evaluation": {"batch_size": 5, "bootstrap": 40, "ece_bins": 7},
    "checkpoint": {"every_steps": 3, "keep": 2},
}
# 22 examples: epochs of four steps whose last batch is smaller, checkpoints in between.
SIZES = {"train": 22, "validation": 9, "test": 13, "far": 7}
EARLY = {"training": {"epochs": 6, "learning_rate": [0.02, 0.15, 0.001], "early_stopping": {"patience": 1},
                      "regularisers": [{"kind": "kl_to_base", "weight": 0.05}]}}


def make_world(directory):
    """Model and data in `directory`."""
    write_model(directory / "model")
    for seed, (name, count) in enumerate(SIZES.items()):
        write_jsonl(directory / f"{name}.jsonl", colour_records(count, seed, options=5, key=name))
    return directory


def recipe_in(directory, name, changes=None):
    """Writes NAME.yaml with output directory NAME; returns that directory."""
    recipe = merge(RECIPE, {"output": {"directory": name}})
    write_recipe(directory / f"{name}.yaml", merge(recipe, changes or {}))
    return directory / name


def fresh(directory, name, kind="plain", changes=None):
    """A recipe like that of the run `kind` (plain or early), with a directory of its own that is not there yet."""
    shutil.rmtree(directory / name, ignore_errors=True)
    return recipe_in(directory, name, merge(EARLY if kind == "early" else {}, changes or {}))


def undisturbed_world(directory):
    """make_world() with the finished runs `plain` and `early`, which others are compared with."""
    make_world(directory)
    for name, changes in (("plain", None), ("early", EARLY)):
        recipe_in(directory, name, changes)
        finished(directory, name)
    return directory


def environment(**more):
    """One thread, no GPU, and ranks allowed to root, as in containers."""
    return {
        **os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none", **more,
    }


def launcher(ranks, seconds):
    """mpirun on this machine, with an end of its own: it takes all ranks with it."""
    return ["mpirun", "--oversubscribe", "--bind-to", "none", "--timeout", str(seconds), "-n", str(ranks)]


def train(directory, name, *arguments, ranks=1, fault=None, timeout=120):
    """`chorale train NAME.yaml ARGUMENTS` on `ranks` ranks; `fault`: environment of the fault points."""
    command = [*(launcher(ranks, timeout - 20) if ranks > 1 else []), BIN, "train", f"{name}.yaml", *arguments]
    return launched(command, timeout=timeout, cwd=directory, env=environment(**(fault or {})))


def asked(place, call, number=signal.SIGTERM):
    """Environment in which call `call` of a place (core/base/fault_point.hpp) sends the process a signal."""
    return {"CHORALE_FAULT_ONLY": place, "CHORALE_FAULT_AT": str(call), "CHORALE_FAULT_SIGNAL": str(int(number))}


def only_on(rank, fault):
    """A program's prefix under mpirun: it exports `fault` on that rank and then becomes the program."""
    exports = " ".join(f"{name}={value}" for name, value in fault.items())
    return ["sh", "-c", f'[ "$OMPI_COMM_WORLD_RANK" = {rank} ] && export {exports}; exec "$@"', "sh"]


def train_with(directory, name, rank, fault, *arguments, ranks=2, timeout=90):
    """`chorale train NAME.yaml` on `ranks` ranks, with the fault on one of them."""
    command = [*launcher(ranks, timeout - 20), *only_on(rank, fault), BIN, "train", f"{name}.yaml", *arguments]
    return launched(command, timeout=timeout, cwd=directory, env=environment())


def finished(directory, name, *arguments, **options):
    done = train(directory, name, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return directory / name


def arrays(path):
    """Every data set and attribute of an HDF5 file but the ones that name where a run was."""
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[...]
        for key, value in item.attrs.items():
            if key not in ("recipe", "placement"):
                found[f"{name}@{key}"] = numpy.asarray(value)

    with h5py.File(path) as file:
        take("/", file)
        file.visititems(take)
    return found


def same_arrays(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype and numpy.array_equal(value, second[name]), name


def log_of(run):
    """Lines of the log without the times of day's work."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line if key not in ("seconds", "tokens_per_second")} for line in lines]


def latest(run):
    return run / "checkpoints" / (run / "checkpoints/LATEST").read_text().strip()


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


def assert_same_run(run, expected):
    """Bit for bit: metrics, log, predictions, and everything in the last checkpoint."""
    assert (run / "metrics.json").read_bytes() == (expected / "metrics.json").read_bytes()
    assert log_of(run) == log_of(expected)
    same_arrays(arrays(run / "predictions.h5"), arrays(expected / "predictions.h5"))
    assert latest(run).name == latest(expected).name
    files = sorted(path.name for path in latest(expected).glob("*.h5"))
    assert files and sorted(path.name for path in latest(run).glob("*.h5")) == files
    for name in files:
        same_arrays(arrays(latest(run) / name), arrays(latest(expected) / name))
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for member in {line["member"] for line in lines}:
        seconds = [line["seconds"] for line in lines if line["member"] == member and "seconds" in line]
        assert seconds == sorted(seconds)


def assert_nothing_left(run):
    """No unfinished file, and no more checkpoints than asked for."""
    assert not [path for path in run.rglob("*") if ".tmp" in path.name]
    assert len(list((run / "checkpoints").glob("step_*"))) <= 2


def fault_points(directory, name, log, **options):
    """What a run does to files: (operation, path) in order, from a run of its own that is thrown away."""
    finished(directory, name, **options, fault={"CHORALE_FAULT_LOG": str(log)})
    return [line.split(" ", 2) for line in log.read_text().splitlines()]


__all__ = [name for name in dir() if not name.startswith("_")] + ["chorale"]
