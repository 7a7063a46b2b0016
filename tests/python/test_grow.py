"""Members added to a finished run: it ends as a run that had all of them from the beginning, whatever stops it on the way."""

import os
import random
import shutil
import signal

import pytest

from runs_helpers import *

EVERY = os.environ.get("CHORALE_ALL_FAULTS") == "1"  # every fault point instead of a sample
RATES = [0.02, 0.15, 0.001, 0.05, 0.01]
SEVERAL = {"plain": {}, "early": EARLY}


def more(members, kind="plain"):
    """The command line that makes a run one of so many members."""
    rates = f"training.learning_rate={RATES[:members]}" if kind == "early" else None
    return ["--resume", f"ensemble.members={members}", *([rates] if rates else [])]


def of(members, kind="plain"):
    rates = {"training": {"learning_rate": RATES[:members]}} if kind == "early" else {}
    return merge(SEVERAL[kind], merge(rates, {"ensemble": {"members": members}}))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Finished runs of both kinds: three members, five members, and three that grew to five undisturbed."""
    directory = make_world(tmp_path_factory.mktemp("grow"))
    for kind in SEVERAL:
        for members in (3, 5):
            recipe_in(directory, f"{kind}{members}", of(members, kind))
            finished(directory, f"{kind}{members}")
        copy_of(directory, f"{kind}3", f"{kind}-grown")
        finished(directory, f"{kind}-grown", *more(5, kind))
    return directory


def copy_of(directory, run, name):
    """The run once more under another name, with a recipe to go on with."""
    shutil.rmtree(directory / name, ignore_errors=True)
    shutil.copytree(directory / run, directory / name)
    recipe = (directory / f"{run}.yaml").read_text().replace(f"directory: {run}\n", f"directory: {name}\n")
    (directory / f"{name}.yaml").write_text(recipe)
    return directory / name


def content(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}


def assert_close(one, other, tolerance=1e-5):
    """Two JSON values, numbers to rounding."""
    assert type(one) is type(other) or {type(one), type(other)} == {int, float}, (one, other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_close(one[key], other[key], tolerance)
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other):
            assert_close(a, b, tolerance)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=tolerance, abs=tolerance)
    else:
        assert one == other


def lines_of(run):
    """The log as a set of members' lines; what an ensemble of other members said at validations is nobody's."""
    lines = [{key: value for key, value in line.items() if key != "pooled_validation"} for line in log_of(run)]
    return sorted(lines, key=lambda line: (line["step"], "validation" in line, line["member"]))


def assert_grown(run, expected):
    """As `expected`, which had all members from the beginning, to rounding; nothing left of the way there."""
    assert metrics_of(run)["training"] == metrics_of(expected)["training"]
    assert_close(metrics_of(run), metrics_of(expected), 1e-4)
    assert_close(lines_of(run), lines_of(expected), 1e-4)
    assert latest(run).name == latest(expected).name
    for name in ("predictions.h5", f"checkpoints/{latest(expected).name}/group_000.h5"):
        ours, theirs = arrays(run / name), arrays(expected / name)
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            if value.dtype.kind == "f":
                assert numpy.allclose(ours[key], value, rtol=1e-4, atol=1e-5), key
            else:
                assert numpy.array_equal(ours[key], value), key
    assert (run / "recipe.yaml").read_text().replace(run.name, "R") == (expected / "recipe.yaml").read_text().replace(expected.name, "R")
    assert not (run / "growth").exists()
    assert_nothing_left(run)


@pytest.mark.parametrize("kind", SEVERAL)
def test_three_and_two_are_five(world, kind):
    run, expected = world / f"{kind}-grown", world / f"{kind}5"
    assert_grown(run, expected)
    # The old members are as they were, bit for bit.
    before, after = arrays(latest(world / f"{kind}3") / "group_000.h5"), arrays(latest(run) / "group_000.h5")
    old = {name: value for name, value in before.items() if name.startswith("members/")}
    assert old and all(numpy.array_equal(after[name], value) for name, value in old.items())
    assert (run / "report.html").stat().st_size > 100000
    curves = {path.name for path in (run / "tensorboard").iterdir()}
    assert curves == {path.name for path in (expected / "tensorboard").iterdir()}
    if kind == "early":  # they stopped at different steps, the new ones too
        assert len({member["stopped_at"] for member in metrics_of(run)["training"]["members"]}) > 1


def test_a_grown_run_is_a_run(world):
    run = world / "plain-grown"
    before = content(run)
    again = train(world, "plain-grown", *more(5))
    assert again.returncode == 0 and "nothing is left to do" in again.stderr and content(run) == before
    fewer = train(world, "plain-grown", *more(4))
    assert fewer.returncode == 2 and "not taken from it" in fewer.stderr and content(run) == before
    done = chorale("evaluate", "plain-grown", "--output", "anew", cwd=world)
    assert done.returncode == 0, done.stderr
    same_arrays(arrays(world / "anew/predictions.h5"), arrays(run / "predictions.h5"))
    done = chorale("export", "plain-grown", "--format", "peft", "--output", "exported", cwd=world)
    assert done.returncode == 0 and len(list((world / "exported").glob("member_*"))) == 5, done.stderr
    shown = json.loads(chorale("inspect", "plain-grown", "--format", "json", cwd=world).stdout)
    assert (shown["state"], shown["members"]) == ("finished", 5)
    recipe_in(world, "other", {"seed": 5, "ensemble": {"members": 1}})
    finished(world, "other")
    done = chorale("merge", "plain-grown", "other", "--output", "merged", cwd=world)
    assert done.returncode == 0 and metrics_of(world / "merged")["members"] == 6, done.stderr
    done = chorale("train", "merged/recipe.yaml", "--resume", "ensemble.members=7", cwd=world)
    assert done.returncode == 2 and "merged from several runs" in done.stderr


def test_a_grown_run_grows_again(world):
    recipe_in(world, "twice", of(2))
    finished(world, "twice")
    for members in (3, 5):
        finished(world, "twice", *more(members))
    assert_grown(world / "twice", world / "plain5")


def fault_points_of(world, log, kind):
    copy_of(world, f"{kind}3", "counted")
    done = train(world, "counted", *more(5, kind), fault={"CHORALE_FAULT_LOG": str(log)})
    assert done.returncode == 0, done.stderr
    return [line.split(" ", 2) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("kind", SEVERAL)
def test_killed_at_any_change_of_a_file(world, tmp_path, kind):
    points = fault_points_of(world, tmp_path / "log", kind)
    paths = [path for _, _, path in points]
    # The new members' training, then the checkpoint of all, then the join.
    training = next(i for i, path in enumerate(paths) if "growth/joined" in path)
    joining = next(i for i, path in enumerate(paths) if path == f"counted/checkpoints/{latest(world / 'counted').name}")
    rewritten = next(i for i, (_, operation, path) in enumerate(points) if operation == "rename" and path == "counted/recipe.yaml")
    assert 20 < training < joining < rewritten < len(points) - 5
    draw = random.Random(kind)
    sample = [draw.randrange(2, training), draw.randrange(training, joining), joining, joining + 1,
              *draw.sample(range(joining + 2, rewritten), 2), rewritten, rewritten + 1,
              *draw.sample(range(rewritten + 2, len(points)), 2), len(points) - 1]
    before = content(world / f"{kind}3")
    for index in range(len(points)) if EVERY else sorted(sample):
        run = copy_of(world, f"{kind}3", "killed")
        done = train(world, "killed", *more(5, kind), fault={"CHORALE_FAULT_AT": str(index + 1)})
        assert done.returncode == -signal.SIGKILL, (index, points[index], done.stderr)
        if index < joining:  # the run is what it was
            after = {path.relative_to(run): data for path, data in content(run).items() if "growth" not in path.parts}
            assert after == {path.relative_to(world / f"{kind}3"): data for path, data in before.items()}, points[index]
        again = train(world, "killed", *more(5, kind))
        assert again.returncode == 0, (index, points[index], again.stderr)
        assert_same_run(run, world / f"{kind}-grown")
        assert_nothing_left(run)
        assert not (run / "growth").exists()


@pytest.mark.parametrize("place,call", [("layer", 1), ("step", 2), ("batch", 2), ("batch", 9), ("resample", 2)])
def test_preempted_anywhere_it_goes_on(world, place, call):
    run = copy_of(world, "plain3", "preempted")
    before = (run / "metrics.json").read_bytes()
    done = train(world, "preempted", *more(5), fault=asked(place, call))
    assert done.returncode == 75 and done.stderr.count("chorale: stopped") == 1, done.stderr
    # Until the new members are part of it the run is the finished one it was.
    assert (run / "metrics.json").read_bytes() == before
    same = train(world, "preempted", "--resume")
    assert same.returncode == 0 and "nothing is left to do" in same.stderr
    begun = (run / "growth/recipe.yaml").exists()
    assert ("is on its way from 3 to 5 members" in same.stderr) == begun
    if begun:
        fewer = train(world, "preempted", *more(4))
        assert fewer.returncode == 2 and "on its way from 3 to 5 members, the recipe asks for 4" in fewer.stderr
    shown = json.loads(chorale("inspect", "preempted", "--format", "json", cwd=world).stdout)
    assert ("is on its way" in shown["state"]) == begun and shown["members"] == 3
    finished(world, "preempted", *more(5))
    assert_same_run(run, world / "plain-grown")
    assert not (run / "growth").exists()


def test_a_larger_growth_comes_after_the_one_that_has_begun(world):
    run = copy_of(world, "plain3", "larger")
    assert train(world, "larger", *more(4), fault=asked("step", 3)).returncode == 75
    finished(world, "larger", *more(5))
    assert_grown(run, world / "plain5")


def test_an_unfinished_run_is_finished_first(world):
    recipe_in(world, "unfinished", of(3))
    assert train(world, "unfinished", fault=asked("step", 5)).returncode == 75
    done = train(world, "unfinished", *more(5))
    assert done.returncode == 0 and done.stderr.count("going on from step 4 of 8") == 1, done.stderr
    assert_same_run(world / "unfinished", world / "plain-grown")


def test_members_and_evaluation_change_together(world):
    run = copy_of(world, "plain3", "measured")
    done = chorale("evaluate", "measured", "--data", "far.jsonl", "--name", "extra", cwd=world)
    assert done.returncode == 0, done.stderr
    changes = ["data.shifted=[]", "evaluation.bootstrap=10", "checkpoint.every_steps=2"]
    done = train(world, "measured", *more(5), *changes)
    # What was measured with three members alone is not kept.
    assert done.returncode == 0 and "predictions of 'extra' were of fewer members" in done.stderr
    recipe_in(world, "measured5", merge(of(5), {"data": {"shifted": []}, "evaluation": {"bootstrap": 10},
                                                "checkpoint": {"every_steps": 2}}))
    assert_grown(run, finished(world, "measured5"))


def test_completions_grow_too(world):
    task = {"kind": "completion", "prompt": "{thing} is", "answer": "colour", "choices": None, "labels": None}
    for name, members in (("text", 1), ("text3", 3)):
        recipe_in(world, name, {"task": task, "ensemble": {"members": members}, "training": {"epochs": 1}})
        finished(world, name)
    finished(world, "text", *more(3))
    assert_close(metrics_of(world / "text"), metrics_of(world / "text3"), 1e-3)


def test_new_members_that_diverge_do_not_end_the_run(world):
    run = copy_of(world, "plain3", "wild")
    done = train(world, "wild", "--resume", "ensemble.members=4", "training.learning_rate=[0.02,0.02,0.02,1e30]")
    assert done.returncode == 0, done.stderr
    assert [member["diverged"] for member in metrics_of(run)["training"]["members"]] == [False] * 3 + [True]


def test_what_cannot_grow_is_refused_and_left_as_it_is(world):
    run = copy_of(world, "plain3", "refused")
    before = content(run)
    for changes, text in ((["seed=3"], "seed: was 11, is now 3"),
                          (["training.learning_rate=0.3"], "training.learning_rate: was 0.02"),
                          (["training.learning_rate=[0.02,0.02,0.1,0.1,0.1]"], "training.learning_rate")):
        done = train(world, "refused", *more(5), *changes)
        assert done.returncode == 2 and text in done.stderr, done.stderr
        assert content(run) == before
    without = train(world, "refused", "ensemble.members=5")
    assert without.returncode == 2 and "already holds a run" in without.stderr and content(run) == before
    (latest(run) / "group_000.h5").write_bytes(b"damaged")
    done = train(world, "refused", *more(5))
    assert done.returncode == 3 and "training ended after step 8" in done.stderr, done.stderr
    (run / "metrics.json").unlink()  # as the message says
    finished(world, "refused", *more(5))
    assert_same_run(run, world / "plain-grown")
