"""Runs of several ranks that are started twice the same way end with the same bits, and what is said about it."""

import re

import pytest

from runs_helpers import *

ONE_GROUP = {"distributed": {"groups": 1, "deterministic": True}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("deterministic"))


def bits_of(value):
    array = numpy.asarray(value)
    return array.tolist() if array.dtype == object else array.tobytes()  # texts, or numbers


@pytest.mark.parametrize("ranks", [2, 3])
def test_two_runs_have_the_same_bits(world, ranks):
    """All ranks share every batch, so that every gradient is a sum of theirs, rounded as it goes."""
    runs = []
    for name in ("once", "again"):
        run = recipe_in(world, f"{name}{ranks}", ONE_GROUP)
        done = train(world, run.name, ranks=ranks)
        assert done.returncode == 0, done.stderr
        assert re.findall(r"deterministic: (\S+)", done.stderr) == [
            "CUBLAS_WORKSPACE_CONFIG=:4096:8", "NCCL_ALGO=Ring", "NCCL_PROTO=Simple", "NCCL_NVLS_ENABLE=0"]
        runs.append(run)
    once, again = (sorted(run.glob("checkpoints/step_*/group_*.h5")) for run in runs)
    assert [path.parent.name for path in once] == [path.parent.name for path in again] and once
    for one, other in [*zip(once, again), tuple(run / "predictions.h5" for run in runs)]:
        left, right = arrays(one), arrays(other)
        assert left.keys() == right.keys()
        for name in left:
            assert bits_of(left[name]) == bits_of(right[name]), name
    assert metrics_of(runs[0])["datasets"] == metrics_of(runs[1])["datasets"]


def test_ranks_do_sum_so_that_bits_could_differ(world):
    """The test above means something: another number of ranks adds in another order, and that shows."""
    one, two = (finished(world, recipe_in(world, f"sum{ranks}", ONE_GROUP).name, ranks=ranks) for ranks in (1, 2))
    left, right = (arrays(run / "predictions.h5")["/predictions/test/log_probabilities".strip("/")] for run in (one, two))
    assert (left != right).any()
    numpy.testing.assert_allclose(left, right, atol=1e-3)


def test_the_recipe_counts_and_the_environment_is_told_of(world):
    recipe_in(world, "told", ONE_GROUP)
    done = train(world, "told", fault={"NCCL_ALGO": "Tree", "NCCL_PROTO": "Simple"})
    assert done.returncode == 0, done.stderr
    assert "deterministic: NCCL_ALGO=Ring (the environment has Tree; the recipe counts)" in done.stderr
    assert re.search(r"deterministic: NCCL_PROTO=Simple$", done.stderr, re.MULTILINE)
    recipe_in(world, "free")
    done = train(world, "free", fault={"NCCL_ALGO": "Tree"})
    assert done.returncode == 0, done.stderr
    assert "NCCL_ALGO=Tree comes from the environment, not from the recipe" in done.stderr
    assert "deterministic" not in done.stderr
