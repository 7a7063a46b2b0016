"""cluster/virtual/slurm: starts, stops, half starts, two side by side, and what it says about mistakes."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from slurm_helpers import SOURCE, VIRTUAL, needs_slurm, short_directory, virtual

DAEMONS = {"munged", "slurmctld", "slurmd", "slurmstepd"}


def processes(directory):
    """(program, process id) of all that was started with this cluster's configuration, jobs included; zombies are not."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"SLURM_CONF={directory}/slurm.conf".encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append((os.path.basename(os.readlink(path / "exe")).removesuffix("-wlm"), int(path.name)))
        except OSError:
            continue
    return found


def programs(directory):
    return {name for name, _ in processes(directory)}


@pytest.fixture
def directory():
    path = short_directory()
    yield path
    virtual("stop", path)
    shutil.rmtree(path)


@needs_slurm
def test_two_clusters_side_by_side_start_work_and_stop_alone(directory):
    other = short_directory()
    try:
        starts = [subprocess.Popen([VIRTUAL, "start", path, "--nodes", str(nodes)], stderr=subprocess.PIPE, text=True)
                  for path, nodes in ((directory, 3), (other, 2))]
        for start in starts:
            assert start.wait(timeout=90) == 0, start.stderr.read()
        for path, nodes in ((directory, 3), (other, 2)):
            names = virtual("run", path, "srun", f"--nodes={nodes}", "printenv", "SLURMD_NODENAME").stdout.split()
            assert sorted(names) == [f"n{i + 1}" for i in range(nodes)]
            assert virtual("status", path).returncode == 0
        assert virtual("start", other).returncode == 1
        assert virtual("stop", other).returncode == 0
        assert not processes(other)
        assert virtual("status", other).returncode == 1
        status = virtual("status", directory)
        assert status.returncode == 0 and status.stdout.count(" idle ") == 6, status.stdout
    finally:
        virtual("stop", other)
        shutil.rmtree(other)
    # A job that listens to no signal, one that waits, and a controller that died: all of it ends.
    assert virtual("run", directory, "sbatch", "--nodes=3", "--exclusive", f"--output={directory}/job.log", "--wrap",
                   'srun sh -c "trap \\"\\" TERM INT; while :; do sleep 1; done"').returncode == 0
    assert virtual("run", directory, "sbatch", "--nodes=3", f"--output={directory}/later.log", "--wrap", "sleep 100").returncode == 0
    end = time.monotonic() + 20
    while "sleep" not in programs(directory):
        assert time.monotonic() < end
        time.sleep(0.1)
    for name, pid in processes(directory):
        if name == "slurmctld":
            os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    stopped = virtual("stop", directory)
    assert stopped.returncode == 0, stopped.stderr
    assert not processes(directory) and time.monotonic() - begun < 20
    # Stopped twice is stopped, and what was stopped starts again without its old jobs.
    assert virtual("stop", directory).returncode == 0
    assert virtual("start", directory).returncode == 0
    assert virtual("run", directory, "squeue", "--noheader").stdout == ""


@needs_slurm
@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_a_start_cut_short_leaves_nothing_that_stop_does_not_end(directory, name):
    seen = set()
    for moment in (0.05, 0.15, 0.3, 0.5, 0.8, 1.2):
        start = subprocess.Popen([VIRTUAL, "start", directory], stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            start.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            start.send_signal(getattr(signal, f"SIG{name}"))
            start.wait(timeout=30)
        seen |= programs(directory)
        # Below 0 the signal came when all was started and its own end was all that start had left to do.
        if name == "TERM" and start.returncode > 0:
            assert not programs(directory) & DAEMONS
        assert virtual("stop", directory).returncode == 0
        assert not programs(directory) & DAEMONS
    if name == "KILL":
        assert DAEMONS - {"slurmstepd"} <= seen  # some starts were far enough to leave daemons
    assert virtual("start", directory).returncode == 0
    assert virtual("run", directory, "srun", "--nodes=2", "true").returncode == 0


@needs_slurm
def test_ports_that_another_program_was_quicker_to_take_are_given_up_for_others(directory, tmp_path):
    # A copy that first chooses ports of which the second, n1's, is taken.
    for part in ("cluster/virtual", "launch/shell"):
        shutil.copytree(SOURCE / part, tmp_path / part)
    with socket.create_server(("127.0.0.1", 0)) as taken, open(tmp_path / "cluster/virtual/shell/ports.sh", "a") as ports:
        first = taken.getsockname()[1] - 1
        ports.write(f"""
eval "honest_$(declare -f choose_ports)"
choose_ports() {{ if [ -e {tmp_path}/tried ]; then honest_choose_ports "$1"; else touch {tmp_path}/tried && echo {first}; fi; }}
""")
        ports.flush()
        start = subprocess.run([tmp_path / "cluster/virtual/slurm", "start", directory], text=True, capture_output=True, timeout=90)
    assert start.returncode == 0, start.stderr
    assert (tmp_path / "tried").exists() and len(start.stderr.splitlines()) == 1
    assert f"SlurmctldPort={first}\n" not in (directory / "slurm.conf").read_text()
    assert virtual("run", directory, "srun", "--nodes=2", "true").returncode == 0


@needs_slurm
def test_a_folder_of_something_else_and_a_long_name_are_refused(directory):
    (directory / "letters.txt").write_text("dear")
    refused = virtual("start", directory)
    assert refused.returncode == 1 and "letters.txt" in refused.stderr and not processes(directory)
    refused = virtual("start", f"/tmp/{'long' * 20}")
    assert refused.returncode == 1 and "too long a name" in refused.stderr
    (directory / "letters.txt").unlink()
    refused = virtual("run", directory, "sinfo")
    assert refused.returncode == 1 and "holds no virtual Slurm" in refused.stderr


@pytest.mark.parametrize("arguments", [[], ["begin", "/tmp/x"], ["start"], ["start", "/tmp/x", "--nodes", "none"], ["start", "--nodes", "2"],
                                       ["start", "/tmp/x", "--nodes", "17"], ["start", "/tmp/x", "--hosts", "2"], ["run", "/tmp/x"]])
def test_mistakes_show_how_it_is_called(arguments):
    done = subprocess.run([VIRTUAL, *arguments], text=True, capture_output=True, timeout=20)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Usage: cluster/virtual/slurm" in done.stderr
    helped = subprocess.run([VIRTUAL, "--help"], text=True, capture_output=True, timeout=20)
    assert helped.returncode == 0 and "Example: cluster/virtual/slurm" in helped.stdout
