"""A training that is killed again and again, at random moments: what `tests/soak` and its short form in the suite share."""

import collections
import contextlib
import hashlib
import json
import random
import re
import subprocess
import time

from runs_helpers import *

# Long enough to be hit often, with checkpoints, validations and an evaluation to hit; early stopping that stops nobody adds
# the best adapters to what a checkpoint holds.
SOAK = {
    "training": {"epochs": 24, "log_every": 5, "early_stopping": {"patience": 1000}},
    "evaluation": {"every_epochs": 3, "bootstrap": 200}, "checkpoint": {"every_steps": 5, "keep": 2},
}
LAST = f"checkpoints/step_{24 * 4:08}"
# Ranks and groups. Within one of these the end is the undisturbed run's bit for bit.
LAYOUTS = {"1 rank": (1, 1), "2 ranks, 1 group": (2, 1), "2 ranks, 2 groups": (2, 2), "3 ranks, 3 groups": (3, 3),
           "4 ranks, 2 groups": (4, 2)}
CHANGING = "1 to 4 ranks, changing"  # another number in every life: the same to rounding
VICTIMS = ("one rank", "all ranks", "the launcher and all ranks")


def children(process):
    """The ranks of a launcher."""
    found = subprocess.run(["pgrep", "-P", str(process), "chorale"], text=True, capture_output=True).stdout
    return [int(line) for line in found.split()]


def is_there(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def verified_step(run):
    """The step of the newest whole checkpoint, judged without the program: manifest, sizes, digests, every number finite,
    every member there. 0 when there is none."""
    for directory in sorted((run / "checkpoints").glob("step_????????"), reverse=True):
        manifest = json.loads((directory / "manifest.json").read_text())
        step, members = int(directory.name.removeprefix("step_")), []
        assert manifest["step"] == step
        for name, entry in manifest["files"].items():
            content = (directory / name).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"]), directory / name
            with h5py.File(directory / name) as file:
                assert file.attrs["step"] == step
                members += [int(member) for member in file["members"]]
                file.visititems(lambda _, item: isinstance(item, h5py.Dataset) and finite(item))
        assert members == list(range(RECIPE["ensemble"]["members"])), directory
        return step
    return 0


def finite(dataset):
    assert numpy.isfinite(dataset[...]).all(), dataset.name


class Soak:
    """Kills in a world of tiny runs, counted by layout in `tally`: kills, lives that came after one and were as they should
    be ("survived"), and those that were not ("lost")."""

    def __init__(self, world, seed, say=lambda text: None):
        self.world, self.draw, self.say = world, random.Random(seed), say
        self.tally = collections.defaultdict(collections.Counter)
        self.lost = []
        self.expected, self.seconds = {}, {}

    def undisturbed(self, layout):
        """The run of this layout that nobody kills, made once."""
        if layout not in self.expected:
            ranks, groups = LAYOUTS[layout]
            name = f"undisturbed-{ranks}-{groups}"
            recipe_in(self.world, name, merge(SOAK, {"distributed": {"groups": groups}}))
            begun = time.monotonic()
            self.expected[layout] = finished(self.world, name, ranks=ranks)
            self.seconds[layout] = time.monotonic() - begun
        return self.expected[layout]

    def ranks_of(self, layout):
        if layout != CHANGING:
            return LAYOUTS[layout]
        ranks = self.draw.randint(1, 4)
        return ranks, self.draw.randint(1, min(3, ranks))  # no more groups than members

    def life(self, name, ranks, groups, seconds):
        """`--resume` of the run, killed after so many seconds; whether it was, what it had said, and how long it was."""
        arguments = [BIN, "train", f"{name}.yaml", "--resume", f"distributed.groups={groups}", "--no-progress"]
        begun = time.monotonic()
        with open(self.world / f"{name}.log", "w+") as log:
            job = subprocess.Popen([*(launcher(ranks, 100) if ranks > 1 else []), *arguments], cwd=self.world, env=environment(),
                                   stdout=log, stderr=subprocess.STDOUT)
            try:
                job.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                pass
            killed = job.poll() is None
            if killed:
                self.kill(job, ranks)
            job.wait(timeout=60)
            log.seek(0)
            said = log.read()
        assert killed or job.returncode == 0, said
        killed = job.returncode != 0  # too late for some
        return killed, said, time.monotonic() - begun

    def kill(self, job, ranks):
        victim = self.draw.choice(VICTIMS) if ranks > 1 else "one rank"
        processes = children(job.pid) if ranks > 1 else [job.pid]
        chosen = [self.draw.choice(processes)] if victim == "one rank" and processes else list(processes)
        if victim == VICTIMS[2] or not processes:
            chosen.append(job.pid)
        for process in chosen:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(process, signal.SIGKILL)
        job.wait(timeout=60)
        end = time.monotonic() + 30
        while any(is_there(process) for process in processes):  # until then the run is in use
            assert time.monotonic() < end, "ranks outlive their killed launcher"
            time.sleep(0.01)

    def episode(self, layout, kills):
        """One run, killed up to `kills` times and then let go on to its end, which is compared."""
        changing = layout == CHANGING
        expected = self.undisturbed("1 rank" if changing else layout)
        name = "soaked"
        shutil.rmtree(self.world / name, ignore_errors=True)
        run = recipe_in(self.world, name, SOAK)
        timed = "1 rank" if changing else layout
        committed, pending, fruitless = 0, False, 0
        try:
            while True:
                ranks, groups = self.ranks_of(layout)
                left = kills > 0
                seconds = self.draw.uniform(0.1, 0.8) * self.seconds[timed] * (1 + 0.3 * fruitless) if left else 90
                killed, said, lasted = self.life(name, ranks, groups, seconds)
                resumed = re.search(r"going on from step (\d+) of", said)
                # It goes on from the newest checkpoint there was, neither an older one nor a damaged one.
                assert "passed over" not in said, said
                ended = "nothing is left to do" in said  # the kill came after the last file
                assert int(resumed.group(1)) == committed if resumed else committed == 0 or killed or ended, (committed, said)
                if pending:
                    self.tally[layout]["survived"] += 1
                step = verified_step(run)
                assert step >= committed, (step, committed)
                fruitless = fruitless + 1 if step == committed else 0
                committed, pending = step, killed
                if not killed:
                    if not changing and not resumed:  # all of it at one go: the machine may be less busy by now
                        self.seconds[timed] = min(self.seconds[timed], lasted)
                    break
                kills -= 1
                self.tally[layout]["kills"] += 1
                self.tally[layout]["before the first checkpoint" if step == 0 else
                                   "after training" if (run / LAST).exists() else "in training"] += 1
            assert_nothing_left(run)
            self.same_end(run, expected, changing)
        except (AssertionError, subprocess.SubprocessError, OSError) as error:
            self.lost.append(f"{layout}: {error}")
            self.tally[layout]["lost"] += 1
            self.say(f"LOST: {layout}: {error}")
        self.tally[layout]["runs"] += 1

    def same_end(self, run, expected, changing):
        if not changing:
            assert_same_run(run, expected)
            return
        ours, theirs = (members_of(directory) for directory in (run, expected))
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert numpy.allclose(ours[name], value, rtol=1e-3, atol=2e-4), name
        ours, theirs = (arrays(directory / "predictions.h5") for directory in (run, expected))
        for name, value in theirs.items():
            if value.dtype.kind == "f":
                assert numpy.allclose(ours[name], value, rtol=1e-3, atol=1e-3), name
        assert metrics_of(run)["training"] == metrics_of(expected)["training"]

    def kills(self):
        return sum(counts["kills"] for counts in self.tally.values())


def members_of(run):
    """The adapters of the newest checkpoint, whatever files they lie in."""
    found = {}
    for path in latest(run).glob("*.h5"):
        found |= {name: value for name, value in arrays(path).items() if "/adapter/" in name and "@" not in name}
    return found


__all__ = [name for name in dir() if not name.startswith("_")]
