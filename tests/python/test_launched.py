"""A launcher that hangs is told from ranks that hang: stand-ins for mpirun that do either."""

import pathlib
import subprocess
import time

import pytest
from launched import below, launched, state


def script(place, text):
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return place


def test_what_a_command_says_and_returns(tmp_path):
    done = launched([script(tmp_path / "l", 'echo "said $WORD"; echo wrong >&2; exit 75')], 30, env={"WORD": "so"})
    assert (done.returncode, done.stdout, done.stderr) == (75, "said so\n", "wrong\n")


def test_a_launcher_that_hangs_is_started_again(tmp_path):
    """exec: the sleeping process is the launcher itself."""
    hangs_once = script(tmp_path / "l", f'[ -e {tmp_path}/was ] && echo second && exit 3\n: >{tmp_path}/was; exec sleep 60')
    with pytest.warns(UserWarning, match="(?s)no process.*sleep 60"):
        done = launched([hangs_once], 2, again=1)
    assert (done.returncode, done.stdout) == (3, "second\n")


def test_a_launcher_that_crashes_while_it_ends_is_started_again(tmp_path):
    crash = "echo 'libpmix.so.2(PMIx_server_finalize+0xb08)' >&2; kill -SEGV $$"
    text = f"[ -e {tmp_path}/was ] && exit 4\n: >{tmp_path}/was; {crash}"
    with pytest.warns(UserWarning, match="crashed"):
        assert launched([script(tmp_path / "l", text)], 30, again=1).returncode == 4
    other = script(tmp_path / "o", "echo 'libmpi.so.40(MPI_Init+0x1)' >&2; kill -SEGV $$")
    assert launched([other], 30, again=1).returncode == -11


def test_it_is_started_again_only_as_often_as_allowed(tmp_path):
    hangs = script(tmp_path / "l", f"echo >>{tmp_path}/starts; echo heard; exec sleep 60")
    with pytest.raises(AssertionError, match="(?s)no process.*heard"):
        launched([hangs], 1)
    with pytest.warns(UserWarning), pytest.raises(AssertionError, match="no process"):
        launched([hangs], 1, again=1)
    assert (tmp_path / "starts").read_text() == "\n" * 3


def test_ranks_that_hang_fail_at_once_and_are_ended(tmp_path):
    hangs = script(tmp_path / "l", f"echo >>{tmp_path}/starts; sleep 61 & sleep 62 & wait")
    with pytest.raises(AssertionError, match="(?s)2 process.*sleep 6[12]"):
        launched([hangs], 2, again=5)
    assert (tmp_path / "starts").read_text() == "\n"
    assert subprocess.run(["pgrep", "-fx", "sleep 6[12]"], capture_output=True).stdout == b""


def test_a_rank_that_waits_to_be_collected_runs_no_more(tmp_path):
    uncollected = script(tmp_path / "l", "true & exec sleep 63")
    job = subprocess.Popen([uncollected])
    time.sleep(1)
    children = pathlib.Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    assert [state(child) for child in children] == ["Z"]
    assert below(job.pid) == []
    job.kill()
    job.wait()
