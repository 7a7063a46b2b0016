"""Jobs of the scripts in cluster/slurm in a real Slurm: the same results as without it, and the state, exit code and message
of what goes wrong."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from slurm_helpers import *
from slurm_helpers import cluster, undisturbed  # noqa: F401 (fixtures)

pytestmark = needs_slurm
all_faults = pytest.mark.skipif("CHORALE_ALL_FAULTS" not in os.environ, reason="only in tests/run --all: half a minute each")


@pytest.fixture(scope="module")
def direct(cluster):
    """The run of two ranks without Slurm."""
    recipe_in(cluster.place, "direct")
    return finished(cluster.place, "direct", ranks=2)


@pytest.mark.parametrize("script", ["mpirun", "srun-pmix"])
def test_a_job_on_two_nodes_gives_what_two_ranks_give(cluster, direct, script):
    run = recipe_in(cluster.place, script)
    job = cluster.submit(f"{script}.sbatch", "train", f"{script}.yaml")
    facts = cluster.ended(job)
    log = cluster.log(job)
    assert (facts["JobState"], facts["ExitCode"], facts["NumNodes"]) == ("COMPLETED", "0:0", "2"), log
    assert_same_run(run, direct)
    # Once in the log: the job, the version, the libraries.
    for line in (rf"-- job {job}, life 1, .*nodes n\[1-2\]", r"JobId=", r"-- chorale \d", r"libmpi\S+ /"):
        assert len(re.findall(line, log)) == 1, line


@pytest.mark.parametrize("script", ["mpirun", "srun-pmix"])
def test_a_refused_recipe_fails_the_job_with_its_code_and_message(cluster, script):
    recipe_in(cluster.place, "refused", {"training": {"epoch": 2}})
    job = cluster.submit(script, "train", "refused.yaml")
    facts = cluster.ended(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "2:0", "0")
    assert cluster.log(job).count("chorale: error:") == 1
    assert "training.epoch: unknown key; did you mean 'epochs'?" in cluster.log(job)


@pytest.mark.parametrize("script", ["requeue", "array"])
def test_scripts_that_read_the_recipe_first_refuse_it_as_well(cluster, script):
    recipe_in(cluster.place, "misread", {"training": {"epoch": 2}})
    options = ["--array=1"] if script == "array" else []
    job = cluster.submit(script, *options, "misread.yaml")
    facts = cluster.ended(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "2:0", "0")
    log = "".join(path.read_text() for path in cluster.place.glob(f"*-{job}*.log"))
    assert log.count("training.epoch: unknown key; did you mean 'epochs'?") == 1


@pytest.mark.parametrize("script", ["mpirun", pytest.param("srun-pmix", marks=all_faults)])
def test_a_killed_rank_fails_the_job_and_loses_nothing(cluster, undisturbed, script):
    name = f"victim-{script}"
    run = recipe_in(cluster.place, name, LONG)
    job = cluster.submit(script, "train", f"{name}.yaml")
    await_checkpoint(run)
    ranks = cluster.ranks(job)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    facts = cluster.ended(job, seconds=45)
    log = cluster.log(job)
    assert (facts["JobState"], facts["ExitCode"]) == ("FAILED", "137:0"), log
    assert ("task 1: Killed" if script == "srun-pmix" else "exited on signal 9") in log
    assert not cluster.ranks(job) and not (run / "metrics.json").exists()
    # Submitted again it goes on; the end is that of an undisturbed run.
    job = cluster.submit(script, "train", f"{name}.yaml", "--resume")
    assert cluster.ended(job)["JobState"] == "COMPLETED", cluster.log(job)
    assert_same_run(run, undisturbed)


@all_faults
def test_a_crash_queues_the_job_again_and_it_gives_up_when_nothing_gets_further(cluster, undisturbed):
    run = recipe_in(cluster.place, "again", LONG)
    settings = {"CHORALE_FRUITLESS_LIVES": "2", "CHORALE_LAUNCHER": "mpirun"}
    job = cluster.submit("requeue", "again.yaml", **settings)
    await_checkpoint(run)
    os.kill(cluster.ranks(job)[1], signal.SIGKILL)
    cluster.start_again_at_once(job)
    assert re.search(r"exit code 137; saved up to step \d+ \(from 0\): queueing the job again", cluster.log(job))
    # Two lives in a row that end before they have saved anything.
    for life in (2, 3):
        os.kill(cluster.await_ranks(job)[1], signal.SIGKILL)
        if life == 2:
            cluster.start_again_at_once(job, restarts=2)
    facts = cluster.ended(job)
    log = cluster.log(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "137:0", "2"), log
    assert "(1 in a row, 2 allowed)" in log and "(2 in a row, 2 allowed)" in log
    assert "error: 2 lives in a row brought again no further than step" in log
    assert not list(cluster.place.glob(".*.lives"))
    # Somebody mends what is wrong and submits it once more.
    job = cluster.submit("requeue", "again.yaml", **settings)
    assert cluster.ended(job)["JobState"] == "COMPLETED", cluster.log(job)
    assert_same_run(run, undisturbed)


def test_a_cancelled_job_is_not_queued_again(cluster):
    run = recipe_in(cluster.place, "cancelled", {"training": {"epochs": 4000}, "evaluation": {"every_epochs": 4000}})
    job = cluster.submit("requeue", "cancelled.yaml")
    await_checkpoint(run)
    cluster.run("scancel", job)
    assert cluster.ended(job)["JobState"] == "CANCELLED"
    time.sleep(1)
    facts = cluster.facts(job)
    assert (facts["JobState"], facts["Restarts"]) == ("CANCELLED", "0")
    assert not cluster.ranks(job)


def test_a_job_array_is_independent_runs_with_seeds_of_their_own(cluster):
    recipe_in(cluster.place, "array")
    job = cluster.run(SUBMIT, "array", "--parsable", "--array=3,5", "array.yaml", "ensemble.members=1")
    for task in (3, 5):
        facts = cluster.ended(f"{job}_{task}")
        assert facts["JobState"] == "COMPLETED", (cluster.place / f"chorale-array-{job}_{task}.log").read_text()
    assert sorted(path.name for path in cluster.place.glob("array-*") if path.is_dir()) == ["array-003", "array-005"]
    recipe_in(cluster.place, "single", {"seed": RECIPE["seed"] + 5, "ensemble": {"members": 1}})
    assert_same_run(cluster.place / "array-005", finished(cluster.place, "single"))
    # Later they become one ensemble.
    merged = chorale("merge", "array-003", "array-005", "--output", "array-merged", cwd=cluster.place)
    assert merged.returncode == 0, merged.stderr
    each = metrics_of(cluster.place / "array-merged")["datasets"]["test"]["members"]["each"]
    assert [member["nll"] for member in each] == [
        metrics_of(cluster.place / name)["datasets"]["test"]["ensemble"]["nll"] for name in ("array-003", "array-005")]
    assert each[0]["nll"] != each[1]["nll"]


@pytest.mark.parametrize("script", ["mpirun", "srun-pmix"])
def test_the_doctor_under_an_allocation(cluster, script):
    begun = time.monotonic()
    job = cluster.submit(script, "doctor", "--format", "json")
    assert cluster.ended(job)["JobState"] == "COMPLETED", cluster.log(job)
    assert time.monotonic() - begun < 30
    log = cluster.log(job)
    facts = json.loads(log[log.index("\n{\n"):log.rindex("\n}") + 3])
    assert facts["launcher"] == "MPI" and len(facts["ranks"]) == 2 and facts["faults"] == []
    # Two nodes, although one machine: nobody shares memory with anybody.
    assert [(rank["node_rank"], rank["node_size"]) for rank in facts["ranks"]] == [(0, 1), (0, 1)]
    assert (facts["slurm"]["job"], facts["slurm"]["array_task"]) == (str(job), None)
    names = {rank["slurm_node"] for rank in facts["ranks"]}
    assert "" not in names and (len(names) == 2 or script == "mpirun")
    # Each writes, and the second sees what the first has made.
    assert [disk["shares_output"] for disk in facts["disks"]] == [None, True]
    assert all(disk["output"]["bytes_per_second"] > 0 for disk in facts["disks"])
    assert facts["seconds"] < 30


def test_submit_tells_of_mistakes_and_of_a_wrong_program(cluster):
    done = subprocess.run([SUBMIT, "nonsense"], text=True, capture_output=True, timeout=20)
    assert done.returncode == 2 and "nonsense.sbatch" in done.stderr and "Usage: cluster/slurm/submit" in done.stderr
    done = subprocess.run([SUBMIT, "--help"], text=True, capture_output=True, timeout=20)
    assert done.returncode == 0 and "Example: cluster/slurm/submit" in done.stdout
    site = cluster.place / "elsewhere.sh"
    site.write_text("chorale=(no/such/chorale)\nsite_environment() { :; }\nexport SBATCH_PARTITION=urgent\n")
    job = cluster.submit("srun-pmix", "doctor", CHORALE_SITE=str(site))
    facts = cluster.ended(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Partition"]) == ("FAILED", "127:0", "urgent")
    assert "no/such/chorale is no program here" in cluster.log(job)
