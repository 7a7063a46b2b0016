"""Jobs that Slurm takes the nodes from, for another job or at their time limit: queued again, they end as if nothing had been.
The time limit takes more than a minute and is in tests/run --all only."""

import os
import re

import pytest

from slurm_helpers import *
from slurm_helpers import cluster, undisturbed  # noqa: F401 (fixtures)

pytestmark = needs_slurm
all_faults = pytest.mark.skipif("CHORALE_ALL_FAULTS" not in os.environ, reason="only in tests/run --all: more than a minute each")


@pytest.mark.parametrize("launcher", ["srun", pytest.param("mpirun", marks=all_faults)])
def test_a_preempted_job_is_queued_again_and_ends_as_if_undisturbed(cluster, undisturbed, launcher):
    name = f"preempted-{launcher}"
    run = recipe_in(cluster.place, name, LONG)
    job = cluster.submit("requeue", f"{name}.yaml", CHORALE_LAUNCHER=launcher)
    await_checkpoint(run)
    urgent = cluster.run("sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive", "--output=urgent.log", "--wrap", "true")
    cluster.start_again_at_once(job)
    assert "DUE TO PREEMPTION" in cluster.log(job)
    assert cluster.ended(urgent)["JobState"] == "COMPLETED"
    facts = cluster.ended(job)
    log = cluster.log(job)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), log
    # It was not begun again.
    assert re.search(rf"-- {name}: goes on from step [1-9]", log)
    assert_same_run(run, undisturbed)
    assert_nothing_left(run)


# Longer than Slurm takes to notice that a minute is nearly up, which it looks for every half a minute.
LONGER = merge(LONG, {"training": {"epochs": 1500}, "evaluation": {"every_epochs": 1500}, "checkpoint": {"every_steps": 100}})


@pytest.fixture(scope="module")
def undisturbed_for_long(cluster):
    recipe_in(cluster.place, "unlimited", LONGER)
    return finished(cluster.place, "unlimited", ranks=2, timeout=400)


@all_faults
@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
def test_a_job_at_its_time_limit_is_queued_again_and_ends_as_if_undisturbed(cluster, undisturbed_for_long, launcher):
    name = f"limited-{launcher}"
    run = recipe_in(cluster.place, name, LONGER)
    job = cluster.submit("requeue", "--time=1", "--signal=B:USR2@50", f"{name}.yaml", CHORALE_LAUNCHER=launcher)
    cluster.await_requeue(job, seconds=120)
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=20")  # once is enough
    cluster.start_again_at_once(job)
    facts = cluster.ended(job, seconds=400)
    log = cluster.log(job)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), log
    assert log.count("the time is nearly up: asking all ranks to save and end") == 1
    assert_same_run(run, undisturbed_for_long)
    assert_nothing_left(run)
