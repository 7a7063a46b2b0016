"""A virtual Slurm (cluster/virtual) and jobs of the tiny runs in it: what those tests share."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from runs_helpers import *
from e2e_helpers import SOURCE

VIRTUAL = SOURCE / "cluster/virtual/slurm"
SUBMIT = SOURCE / "cluster/slurm/submit"
MISSING = [name for name in ("slurmctld", "slurmd", "munged", "sbatch", "mpirun")
           if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
needs_slurm = pytest.mark.skipif(
    bool(MISSING) or os.geteuid() != 0,
    reason=f"not installed: {' '.join(MISSING)} (tests/packages.txt)" if MISSING else "a virtual Slurm is started as root",
)


def virtual(command, directory, *arguments, timeout=120):
    return subprocess.run([VIRTUAL, command, directory, *map(str, arguments)], text=True, capture_output=True, timeout=timeout)


def short_directory():
    """Sockets' paths are short, pytest's own directories are not."""
    return Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))


class Cluster:
    """A running virtual Slurm, and `place`, the directory jobs are submitted from."""

    def __init__(self, directory, place):
        self.directory, self.place = directory, place
        site = place / "site.sh"
        site.write_text(f"chorale=({BIN})\nsite_environment() {{ :; }}\n")
        self.environment = environment(CHORALE_SITE=str(site))

    def run(self, *command, check=True, **more):
        """A command as the cluster's user gives it; its output."""
        done = subprocess.run([VIRTUAL, "run", self.directory, *map(str, command)], text=True, capture_output=True, timeout=60,
                              cwd=self.place, env={**self.environment, **more})
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def submit(self, script, *arguments, **more):
        """Number of the job that `cluster/slurm/submit SCRIPT ARGUMENTS` queued: two nodes with a rank each, unless the
        arguments say something else."""
        return self.run(SUBMIT, script, "--parsable", "--nodes=2", "--ntasks-per-node=1", *arguments, **more)

    def facts(self, job):
        """What `scontrol show job` says, by key."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def await_state(self, job, *states, seconds=90):
        """Waits until the job is in one of these states; its facts."""
        end = time.monotonic() + seconds
        while (facts := self.facts(job))["JobState"] not in states:
            assert time.monotonic() < end, f"job {job} is {facts['JobState']}, not {states}\n{self.log(job)}"
            time.sleep(0.2)
        return facts

    def ended(self, job, seconds=90):
        return self.await_state(job, *ENDED, seconds=seconds)

    def await_requeue(self, job, restarts=1, seconds=90):
        """Waits until the job is queued for its life number `restarts` + 1."""
        end = time.monotonic() + seconds
        while True:
            facts = self.facts(job)
            if int(facts["Restarts"]) >= restarts and facts["JobState"] == "PENDING":
                return
            assert time.monotonic() < end and facts["JobState"] not in ENDED, (
                f"job {job} is {facts['JobState']} after {facts['Restarts']} restarts\n{self.log(job)}")
            time.sleep(0.2)

    def start_again_at_once(self, job, restarts=1):
        """A requeued job waits two minutes; this one does not."""
        self.await_requeue(job, restarts)
        # Its earlier life's credential was revoked, to the second: who is started in the same one is refused by the nodes
        # and has failed for good ("Job credential revoked").
        time.sleep(3)
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now")
        self.await_state(job, "RUNNING", *ENDED)

    def log(self, job):
        return "\n".join(path.read_text() for path in self.place.glob(f"*-{job}.log"))

    def ranks(self, job):
        """Process ids of the job's ranks, by rank; all nodes are this machine."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                entries = (path / "environ").read_bytes().split(b"\0")
                program = os.readlink(path / "exe")
            except OSError:
                continue
            values = dict(entry.decode(errors="replace").split("=", 1) for entry in entries if b"=" in entry)
            ours = values.get("SLURM_CONF") == f"{self.directory}/slurm.conf" and values.get("SLURM_JOB_ID") == job
            if ours and program == str(BIN.resolve()) and "PMIX_RANK" in values:
                found[int(values["PMIX_RANK"])] = int(path.name)
        return [found[rank] for rank in sorted(found)]

    def await_ranks(self, job, seconds=60):
        end = time.monotonic() + seconds
        while len(ranks := self.ranks(job)) < 2:
            assert time.monotonic() < end, f"job {job} has {len(ranks)} ranks\n{self.log(job)}"
            time.sleep(0.05)
        return ranks


ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
# Some seconds long, and saved often enough.
LONG = {"training": {"epochs": 60}, "evaluation": {"every_epochs": 60}, "checkpoint": {"every_steps": 20}}


def await_checkpoint(run, seconds=60):
    end = time.monotonic() + seconds
    while not (run / "checkpoints/LATEST").exists():
        assert time.monotonic() < end, f"no checkpoint in {run}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    directory = short_directory()
    try:
        started = virtual("start", directory)
        assert started.returncode == 0, started.stderr
        yield Cluster(directory, make_world(tmp_path_factory.mktemp("jobs")))
    finally:
        stopped = virtual("stop", directory)
        shutil.rmtree(directory)
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="module")
def undisturbed(cluster):
    """The run of LONG on two ranks that nobody disturbs."""
    recipe_in(cluster.place, "undisturbed", LONG)
    return finished(cluster.place, "undisturbed", ranks=2)


__all__ = [name for name in dir() if not name.startswith("_")]
