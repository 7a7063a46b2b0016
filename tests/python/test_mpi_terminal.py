"""Progress over several ranks: rank 0 alone speaks, and speaks for all."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

import pytest

from runs_helpers import *
from terminal_helpers import on_terminal
from test_tensorboard import assert_shows_its_log

GROUPS = {"distributed": {"groups": 2}}  # of one and of two members


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("ranks,changes", [(2, {}), (2, GROUPS), (3, {}), (4, GROUPS)])
def test_rank_0_alone_shows_what_all_have_done(world, ranks, changes):
    name = f"run{ranks}{len(changes)}"
    run = recipe_in(world, name, merge(changes, {"training": {"epochs": 12}}))
    done = train(world, name, ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert len(re.findall("training: 48 steps in ", done.stderr)) == 1
    assert len(re.findall("evaluation: 20 examples in ", done.stderr)) == 1  # whatever the shares
    assert len(re.findall("validation after step 4:", done.stderr)) == 1
    timings = json.loads((run / "timings.json").read_text())
    memory = max(timings["peak_memory_bytes"]) * 1e-6
    shown = float(re.search(r"training: .* (\d+) MB", done.stderr)[1])
    assert memory * 0.6 < shown <= memory + 1
    # Tokens of all groups: one group's own would be two thirds of them or less.
    tokens = metrics_of(run)["training"]["tokens"]
    counted = timings["tokens_per_second"] * timings["seconds"]["training"]
    assert 0.8 * tokens < counted < 1.5 * tokens
    # The loss is the mean over all members' last interval.
    last = [line["loss"] for line in log_of(run) if line["step"] == 48 and "loss" in line]
    assert len(last) == 3
    assert float(re.search(r"training: .* loss ([\d.]+)", done.stderr)[1]) == pytest.approx(sum(last) / 3, abs=6e-4)
    assert_shows_its_log(run)


def test_the_slowest_group_is_named(world):
    # They seldom meet, so that a rank that is held up is at work and not waiting itself.
    changes = {"training": {"epochs": 240, "log_every": 40}, "evaluation": {"every_epochs": 120}, "checkpoint": {"every_steps": 200}}
    recipe_in(world, "uneven", merge(GROUPS, changes))
    job = subprocess.Popen(
        [*launcher(2, 80), BIN, "train", "uneven.yaml"], cwd=world, env=environment(), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    for _ in range(400):
        if (world / "uneven/log.jsonl").exists() and (world / "uneven/log.jsonl").stat().st_size > 0:
            break
        time.sleep(0.02)
    ranks = subprocess.run(["pgrep", "-P", str(job.pid), "-f", "uneven.yaml"], text=True, capture_output=True).stdout.split()
    assert len(ranks) == 2
    with contextlib.suppress(ProcessLookupError):  # a quick machine is through earlier
        for _ in range(5):  # held up again and again; the other waits for it where they meet
            os.kill(int(ranks[1]), signal.SIGSTOP)
            time.sleep(1.2)
            os.kill(int(ranks[1]), signal.SIGCONT)
            time.sleep(0.1)
    _, errors = job.communicate(timeout=80)
    assert job.returncode == 0, errors
    found = re.search(r"slowest: group 1 \(rank 1\) (\d+\.\d)x the time per step", errors)
    assert found and float(found[1]) > 1.2  # alone it is about 1.0; a crowded machine holds up both
    # A line is due every five seconds; a quick machine may be through before a second one.
    for line in re.findall(r"training  step \d+/960 .*slowest: .*", errors):
        assert re.search(r"slowest: group 1 \(rank 1\) \d+\.\dx$", line)


def test_quiet_and_a_launcher_on_a_terminal(world):
    recipe_in(world, "quiet", GROUPS)
    done = train(world, "quiet", "--quiet", ranks=2)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("results in ") == 1
    # The launcher passes standard error on through a pipe: no bar, whose codes would meet other ranks' messages.
    recipe_in(world, "seen", GROUPS)
    code, seen, _ = on_terminal([*launcher(2, 80), str(BIN), "train", "seen.yaml"], world, streams=("stdout", "stderr"))
    assert code == 0 and "\x1b" not in seen and "training [" not in seen and seen.count("training: 8 steps in ") == 1
