"""What `chorale doctor` finds out about clocks, disks and the job, and how it tells of what is wrong."""

import json
import os
import re
import shutil
import subprocess

import pytest

from e2e_helpers import BIN
from launched import launched
from runs_helpers import environment, launcher, only_on

KEYS = ["job", "name", "nodes", "partition", "array_job", "array_task", "restarts"]


def doctor(*arguments, ranks=1, cwd=None, prefix=(), **more):
    start = launcher(ranks, 50) if ranks > 1 else []
    return launched([*start, *prefix, BIN, "doctor", *arguments], timeout=60, again=1, cwd=cwd, env=environment(**more))


def facts_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("ranks", [1, 3])
def test_what_there_is_to_know(tmp_path, ranks):
    facts = facts_of(doctor("--format", "json", ranks=ranks, cwd=tmp_path))
    assert facts["versions"].keys() >= {"chorale", "torch", "MPI", "HDF5", "yaml-cpp", "compiler", "build"}
    assert 0 < facts["seconds"] < 30 and facts["slurm"] is None
    for rank in facts["ranks"]:
        # One machine has one clock: the error bound holds what is measured.
        assert abs(rank["clock"]["offset_seconds"]) <= rank["clock"]["error_seconds"] + 1e-6
        assert (rank["clock"]["error_seconds"] > 0) == (rank["rank"] > 0)
        assert rank["gpu_list"] == [] and rank["slurm_node"] == ""
    disk, = facts["disks"]
    assert disk["host"] == os.uname().nodename and disk["shares_output"] is None
    assert disk["output"]["directory"] == "."
    for place, directory in ((disk["output"], tmp_path), (disk["temporary"], "/tmp")):
        free = shutil.disk_usage(directory).free
        assert place["problem"] is None and place["writable"]
        assert place["free_bytes"] == pytest.approx(free, abs=2e9)
        assert place["bytes_per_second"] > 1e6 and 0 < place["sync_seconds"] < 5
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_the_table_says_the_same(tmp_path):
    (tmp_path / "runs").mkdir()
    done = doctor(ranks=2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^clocks +at most [\d.]+ ms from rank 0's \(rank 1 on \S+, known to [\d.]+ ms\)$", done.stdout.replace(
        "\n          ", " "), re.MULTILINE)
    assert re.search(r"^\S+ +runs +[\d.]+ GB +\d+ MB/s +[\d.]+ ms$", done.stdout, re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_job_is_told_of(tmp_path):
    job = {"SLURM_JOB_ID": "17", "SLURM_JOB_NAME": "mine", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_PARTITION": "gpu",
           "SLURM_ARRAY_JOB_ID": "15", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2", "SLURMD_NODENAME": "n1"}
    facts = facts_of(doctor("--format", "json", cwd=tmp_path, **job))
    assert facts["slurm"] == dict(zip(KEYS, ["17", "mine", "n[1-2]", "gpu", "15", "3", "2"]))
    assert facts["ranks"][0]["slurm_node"] == "n1"
    assert "Slurm     job 17 (mine) on n[1-2], task 3 of array 15, restarted 2 times" in doctor(cwd=tmp_path, **job).stdout


def test_a_directory_that_cannot_be_written_to_is_warned_of(tmp_path):
    facts = facts_of(doctor("--format", "json", "--output", tmp_path / "nowhere", cwd=tmp_path))
    warning, = [text for text in facts["warnings"] if "cannot be written to" in text]
    assert str(tmp_path / "nowhere") in warning and "No such file or directory" in warning and "output.directory" in warning
    facts = facts_of(doctor("--format", "json", "--output", "/proc", cwd=tmp_path))
    assert any(text.startswith("/proc cannot be written to") for text in facts["warnings"])


def test_a_clock_that_is_ahead_is_measured_and_warned_of(tmp_path):
    """One rank's clock, as its C library tells it, is five seconds ahead."""
    (tmp_path / "clock.c").write_text(
        "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <time.h>\n"
        "int clock_gettime(clockid_t id, struct timespec *out) {\n"
        "  static int (*real)(clockid_t, struct timespec *);\n"
        "  if (!real) *(void **)&real = dlsym(RTLD_NEXT, \"clock_gettime\");\n"
        "  int result = real(id, out);\n  if (id == CLOCK_REALTIME) out->tv_sec += 5;\n  return result;\n}\n")
    built = subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "clock.so", tmp_path / "clock.c", "-ldl"])
    if built.returncode != 0:
        pytest.skip("no C compiler")
    ahead = only_on(1, {"LD_PRELOAD": str(tmp_path / "clock.so")})
    facts = facts_of(doctor("--format", "json", ranks=3, cwd=tmp_path, prefix=ahead))
    offsets = [rank["clock"] for rank in facts["ranks"]]
    assert offsets[1]["offset_seconds"] == pytest.approx(5, abs=offsets[1]["error_seconds"] + 1e-6)
    assert abs(offsets[2]["offset_seconds"]) < 0.5
    host = os.uname().nodename
    assert any(f"the clock of {host} is 5.0 s ahead of that of {host}" in text for text in facts["warnings"])
