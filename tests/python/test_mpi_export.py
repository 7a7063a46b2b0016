"""`chorale export` of runs whose members were spread over ranks, and of merged runs: the checkpoints' own numbers."""

import json
import subprocess

import h5py
import numpy
import pytest
from e2e_helpers import merge
from launched import launched
from runs_helpers import BIN, environment, finished, latest, launcher, make_world, recipe_in
from safetensors.numpy import load_file

QUICK = {"evaluation": {"bootstrap": 0}, "adapter": {"layers": "all"}}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = make_world(tmp_path_factory.mktemp("world"))
    recipe_in(place, "spread", merge(QUICK, {"distributed": {"groups": 2}}))
    finished(place, "spread", ranks=2)
    recipe_in(place, "other", merge(QUICK, {"seed": 12, "ensemble": {"members": 1}}))
    finished(place, "other")
    done = subprocess.run([BIN, "merge", "spread", "other", "--output", "both"], cwd=place, capture_output=True, text=True,
                          timeout=100, env=environment())
    assert done.returncode == 0, done.stderr
    return place


def stored_members(run):
    """{member: {tensor's name in PEFT: values}} of the newest checkpoint, by h5py."""
    members = {}
    for path in latest(run).glob("*.h5"):
        with h5py.File(path) as file:
            for number, group in file["members"].items():
                adapter = group["adapter"]
                members[int(number)] = {
                    f"base_model.model.{module}.lora_{factor}.weight": adapter[module][factor][...]
                    for module in adapter for factor in "AB"
                }
    return members


@pytest.mark.parametrize("run, files, members", [("spread", 2, 3), ("both", 1, 4)])
@pytest.mark.parametrize("ranks", [1, 2])
def test_exported_factors_are_those_of_the_checkpoint(place, run, files, members, ranks):
    output = place / f"{run}_{ranks}"
    done = launched([*(launcher(ranks, 80) if ranks > 1 else []), BIN, "export", run, "--output", output], timeout=100,
                    cwd=place, env=environment())
    assert done.returncode == 0, done.stderr
    directories = [output / f"member_{member:03}" for member in range(members)]
    assert done.stdout.split() == [str(directory) for directory in directories]
    assert len(list(latest(place / run).glob("*.h5"))) >= files
    stored = stored_members(place / run)
    assert sorted(stored) == list(range(members))
    for member, directory in enumerate(directories):
        exported = load_file(directory / "adapter_model.safetensors")
        assert exported.keys() == stored[member].keys()
        for name, values in exported.items():
            assert numpy.array_equal(values, stored[member][name])
    assert len(json.loads((output / "ensemble.json").read_text())["members"]) == members
