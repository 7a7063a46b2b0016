"""Ranks that stand still, fail or start from other things than the rest: who it was is said once, every process ends with the
documented code, and nobody waits for ever."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from launched import launched
from runs_helpers import *

HANG = 70


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("watchdog"))


def fresh(world, name, changes=None):
    shutil.rmtree(world / name, ignore_errors=True)
    return recipe_in(world, name, changes)


def told_once(done, code, *words):
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stderr.count("chorale: error:") == 1, done.stderr
    for word in words:
        assert word in done.stderr, (word, done.stderr)


# A rank that stops (SIGSTOP) at a place, with groups and ranks; and what its peers wait in.
STOPPED = {
    "in a step of one group": ("step", 5, 2, 1, 1),
    "the first rank, in a step": ("step", 5, 2, 1, 0),
    "in a step of another group": ("step", 5, 3, 3, 2),
    "behind a rank that waits itself": ("step", 5, 3, 2, 2),
    "while loading": ("layer", 2, 2, 1, 1),
    "in the data": ("record", 9, 2, 1, 0),
    "in a validation": ("batch", 1, 2, 1, 1),
    "in the evaluation": ("batch", 3, 2, 1, 1),
    "in the metrics": ("resample", 3, 2, 1, 0),
}


@pytest.mark.parametrize("where", STOPPED)
def test_a_rank_that_stands_still_is_named_and_the_run_ends(world, where):
    place, call, ranks, groups, rank = STOPPED[where]
    run = fresh(world, "still", {"distributed": {"groups": groups}})
    begun = time.monotonic()
    # The recipe is known only when it is read: until then the limit is ten minutes.
    done = train_with(world, "still", rank, asked(place, call, signal.SIGSTOP), "distributed.watchdog_seconds=4", ranks=ranks, timeout=60)
    told_once(done, HANG, f"for rank {rank} on", "stood still", "distributed.watchdog_seconds", "--resume")
    assert "has waited" in done.stderr and time.monotonic() - begun < 35
    assert not (run / "metrics.json").exists()
    if where not in ("in a step of one group", "behind a rank that waits itself"):
        return
    expected = fresh(world, "moved", {"distributed": {"groups": groups}})
    finished(world, "moved", ranks=ranks)
    finished(world, "still", "--resume", ranks=ranks)
    assert_same_run(run, expected)


def test_a_rank_that_goes_on_in_time_does_no_harm(world):
    more = {"training": {"epochs": 200}, "evaluation": {"every_epochs": 50}, "checkpoint": {"every_steps": 50}}
    expected = fresh(world, "straight", more)
    finished(world, "straight", ranks=2)
    run = fresh(world, "paused", more)
    job = subprocess.Popen(
        [*launcher(2, 100), BIN, "train", "paused.yaml", "--quiet", "distributed.watchdog_seconds=4"], cwd=world,
        env=environment(), text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    for _ in range(500):
        if (run / "checkpoints/LATEST").exists():
            break
        time.sleep(0.02)
    ranks = subprocess.run(["pgrep", "-P", str(job.pid), "-f", "paused.yaml"], text=True, capture_output=True).stdout.split()
    for rank in ranks:  # one after the other
        os.kill(int(rank), signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(int(rank), signal.SIGCONT)
        time.sleep(0.2)
    for rank in ranks:  # and all of them, for longer than the limit: nobody waited for anybody
        os.kill(int(rank), signal.SIGSTOP)
    time.sleep(5)
    for rank in ranks:
        os.kill(int(rank), signal.SIGCONT)
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 0, errors
    assert_same_run(run, expected)


# An exception on rank 1 at places of its work: found by an agreement, or told by the rank that ends all others.
@pytest.mark.parametrize("place,call,groups,ranks", [
    ("record", 9, 1, 2), ("layer", 1, 3, 3), ("step", 1, 1, 2), ("step", 6, 3, 3), ("batch", 1, 1, 2), ("batch", 1, 3, 3),
    ("batch", 3, 1, 2),
])
def test_an_error_of_one_rank_at_any_place_ends_all(world, place, call, groups, ranks):
    fresh(world, "broken", {"distributed": {"groups": groups}})
    fault = {"CHORALE_FAULT_ONLY": place, "CHORALE_FAULT_AT": str(call), "CHORALE_FAULT_ERRNO": "EIO"}
    begun = time.monotonic()
    done = train_with(world, "broken", 1, fault, ranks=ranks, timeout=60)
    told_once(done, 70, f"at '{place}'", "(rank 1 on")
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("operation,call", [("open", 1), ("write", 1), ("fsync", 1), ("rename", 1)])
def test_a_disk_that_fails_one_group_is_everybodys_error(world, operation, call):
    fresh(world, "disk", {"distributed": {"groups": 2}})
    fault = {"CHORALE_FAULT_ONLY": operation, "CHORALE_FAULT_AT": str(call), "CHORALE_FAULT_ERRNO": "EIO"}
    done = train_with(world, "disk", 1, fault, ranks=2)
    told_once(done, 5, "Input/output error", "(rank 1 on")


def twin(world, name):
    """A directory whose ranks see the same as those in `world`, but for what a test changes."""
    shutil.rmtree(world / "twin", ignore_errors=True)
    (world / "twin").mkdir()
    for path in world.iterdir():
        if path.suffix in (".jsonl", ".yaml"):
            shutil.copyfile(path, world / "twin" / path.name)
    shutil.copytree(world / "model", world / "twin/model")
    return world / "twin"


def side_by_side(world, name, first=BIN, second=BIN, arguments=(), more=()):
    """Two ranks, the second in the twin directory."""
    def context(directory, program, extra):
        return ["-n", "1", "--wdir", str(directory), str(program), "train", f"{name}.yaml", *arguments, *extra]

    base = ["mpirun", "--oversubscribe", "--bind-to", "none", "--timeout", "40"]
    begun = time.monotonic()
    done = launched([*base, *context(world, first, ()), ":", *context(world / "twin", second, more)], timeout=60, cwd=world,
                    env=environment())
    assert time.monotonic() - begun < 30
    return done


def test_ranks_in_different_places_with_the_same_things_run(world):
    fresh(world, "same", {"output": {"directory": str(world / "same")}})
    twin(world, "same")
    done = side_by_side(world, "same")
    assert done.returncode == 0, done.stderr


def test_another_recipe_is_named_by_its_keys(world):
    fresh(world, "recipe")
    recipe_in(twin(world, "recipe"), "recipe", {"training": {"learning_rate": 0.03}, "seed": 12})
    done = side_by_side(world, "recipe")
    told_once(done, 2, "rank 1 on", "training.learning_rate is 0.03 there and 0.02 on rank 0", "seed is 12 there and 11")
    assert not (world / "recipe").exists()


@pytest.mark.parametrize("change", ["record", "fewer", "tokenizer"])
def test_other_data_are_named_by_their_file(world, change):
    fresh(world, "data")
    other = twin(world, "data")
    if change == "tokenizer":
        path = other / "model/tokenizer.json"
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
        ids = tokenizer["model"]["vocab"]
        ids[":"], ids["."] = ids["."], ids[":"]  # both stand in every prompt
        path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    else:
        lines = (other / "test.jsonl").read_text().splitlines()
        lines = lines[:-1] if change == "fewer" else [lines[0].replace("no. ", "no. 1"), *lines[1:]]
        (other / "test.jsonl").write_text("\n".join(lines) + "\n")
    done = side_by_side(world, "data")
    told_once(done, 3, "rank 1 on", "examples" if change == "tokenizer" else "test.jsonl")


def test_another_base_is_named(world):
    fresh(world, "base")
    path = twin(world, "base") / "model/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    told_once(side_by_side(world, "base"), 3, "model", "rank 1 on", "another base model")


def test_other_arguments_and_other_programs_are_named(world):
    fresh(world, "program")
    other = twin(world, "program")
    told_once(side_by_side(world, "program", more=("seed=3",)), 2, "rank 1", "seed=3")
    # Another build of the same version: the same program but for the linker's mark.
    mark = subprocess.run(["readelf", "-n", BIN], text=True, capture_output=True).stdout
    identity = bytes.fromhex(mark.split("Build ID:")[1].split()[0])
    content = open(BIN, "rb").read()
    assert content.count(identity) == 1
    program = other / "chorale"
    program.write_bytes(content.replace(identity, bytes(reversed(identity))))
    program.chmod(0o755)
    told_once(side_by_side(world, "program", second=program), 2, "rank 1", "build " + bytes(reversed(identity)).hex()[:12])
