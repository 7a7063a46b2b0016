"""Members added to a finished run by several ranks: the same numbers as when all were trained at once."""

import shutil

import pytest

from runs_helpers import *
from soak_helpers import members_of


def copy_of(directory, run, name, changes):
    shutil.rmtree(directory / name, ignore_errors=True)
    shutil.copytree(directory / run, directory / name)
    return recipe_in(directory, name, changes)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two members on two ranks, a group each, and four on four likewise."""
    directory = make_world(tmp_path_factory.mktemp("grow"))
    for members in (2, 4):
        recipe_in(directory, f"of{members}", {"ensemble": {"members": members}})
        finished(directory, f"of{members}", ranks=members)
    return directory


def test_in_groups_of_the_same_shape_two_and_two_are_four_bit_for_bit(world):
    run = copy_of(world, "of2", "grown", {"ensemble": {"members": 2}})
    finished(world, "grown", "--resume", "ensemble.members=4", ranks=2)
    same_arrays(members_of(run), members_of(world / "of4"))
    assert metrics_of(run)["training"] == metrics_of(world / "of4")["training"]
    ours, theirs = (arrays(directory / "predictions.h5") for directory in (run, world / "of4"))
    for name, value in theirs.items():
        assert numpy.allclose(ours[name], value, atol=1e-6) if value.dtype.kind == "f" else numpy.array_equal(ours[name], value)


def assert_four(world, run):
    expected = members_of(world / "of4")
    for name, value in members_of(run).items():
        assert numpy.allclose(value, expected[name], rtol=1e-3, atol=1e-5), name
    assert metrics_of(run)["training"] == metrics_of(world / "of4")["training"] and metrics_of(run)["members"] == 4
    assert not (run / "growth").exists()
    assert_nothing_left(run)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for member in range(4):  # whichever rank wrote them, a member's seconds go on
        seconds = [line["seconds"] for line in lines if line["member"] == member and "seconds" in line]
        assert len(seconds) == 4 and seconds == sorted(seconds), (member, seconds)
    again = train(world, run.name, "--resume", "ensemble.members=4")
    assert again.returncode == 0 and "nothing is left to do" in again.stderr


# More ranks than new members, so that they share batches; and groups chosen for the whole.
@pytest.mark.parametrize("ranks,groups", [(3, 0), (3, 3), (1, 0)])
def test_on_any_number_of_ranks(world, ranks, groups):
    run = copy_of(world, "of2", "other", {"ensemble": {"members": 2}})
    finished(world, "other", "--resume", "ensemble.members=4", *([f"distributed.groups={groups}"] if groups else []), ranks=ranks)
    assert_four(world, run)


@pytest.mark.parametrize("place,call,rank", [("step", 3, 1), ("batch", 9, 0)])
def test_one_rank_is_asked_to_stop_and_other_ranks_go_on(world, place, call, rank):
    run = copy_of(world, "of2", "asked", {"ensemble": {"members": 2}})
    before = (run / "metrics.json").read_bytes()
    done = train_with(world, "asked", rank, asked(place, call), "--resume", "ensemble.members=4", ranks=2)
    assert done.returncode == 75 and done.stderr.count("chorale: stopped") == 1, done.stderr
    assert (run / "metrics.json").read_bytes() == before and (run / "growth/checkpoints").exists()
    finished(world, "asked", "--resume", "ensemble.members=4", ranks=3)
    assert_four(world, run)


@pytest.mark.parametrize("place,call,rank", [("step", 5, 1), ("batch", 8, 0)])
def test_a_killed_rank_loses_nothing(world, place, call, rank):
    run = copy_of(world, "of2", "killed", {"ensemble": {"members": 2}})
    fault = {"CHORALE_FAULT_ONLY": place, "CHORALE_FAULT_AT": str(call)}
    done = train_with(world, "killed", rank, fault, "--resume", "ensemble.members=4", ranks=2)
    assert done.returncode not in (0, 75), done.stderr
    assert metrics_of(run)["members"] == 2
    finished(world, "killed", "--resume", "ensemble.members=4", ranks=1)
    assert_four(world, run)
