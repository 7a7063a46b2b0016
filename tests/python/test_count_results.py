"""tests/count_results.py on what ctest really writes: a small CMake project with every kind of outcome."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("CHORALE_SOURCE", Path(__file__).resolve().parents[2]))


def count(folder, entries):
    """Runs ctest over `entries` ({name: shell command}); returns exit code, printed counts, failing names, reasons."""
    lines = ["cmake_minimum_required(VERSION 3.25)", "project(outcomes NONE)", "enable_testing()"]
    for name, command in entries.items():
        lines.append(f'add_test(NAME [[{name}]] COMMAND sh -c [[{command}]])')
        lines.append(f'set_tests_properties([[{name}]] PROPERTIES TIMEOUT 2)')
    (folder / "CMakeLists.txt").write_text("\n".join(lines) + "\n")
    subprocess.run(["cmake", "-G", "Ninja", "-S", folder, "-B", folder / "build"], check=True, capture_output=True)
    subprocess.run(["ctest", "--test-dir", folder / "build", "--output-junit", folder / "junit.xml",
                    "--test-output-size-passed", "1000000"], capture_output=True)
    done = subprocess.run([sys.executable, "-B", SOURCE / "tests" / "count_results.py", folder / "junit.xml", folder / "failing"],
                          capture_output=True, text=True)
    failing = (folder / "failing").read_text().splitlines() if done.returncode == 0 else []
    return done.returncode, done.stdout.strip(), failing, done.stderr


@pytest.mark.parametrize("name, command, counts", [
    ("case passes", "echo fine", "1 0 0"),
    ("case fails", "exit 1", "0 1 0"),
    ("case hangs", "exec sleep 30", "0 1 0"),
    ("case crashes", "kill -SEGV $$", "0 1 0"),
    ("case lacks data", "echo 'a_test.cpp:3: warning:'; echo '  SKIPPED: no model'", "0 0 1"),
    ("late skip", "seq 2000; echo '  SKIPPED: no model'", "0 0 1"),
    ("fails after a skip", "echo 'SKIPPED: no model'; exit 1", "0 1 0"),
    ("python: passes", "echo '5 passed in 0.31s'", "5 0 0"),
    ("python: partly skipped", "echo 'SKIPPED [1] a.py:3: no data'; echo '5 passed, 1 skipped in 0.31s'", "5 0 1"),
    ("python: fails", "echo '2 failed, 3 passed, 1 error, 4 warnings in 62.31s (0:01:02)'; exit 1", "3 3 0"),
    ("python: wrong exit code", "echo '3 passed in 0.1s'; exit 3", "0 1 0"),
    ("gpu tests", "echo 'SKIPPED: one GPU'; echo '20 passed, 0 failed, 2 skipped'", "20 0 2"),
    ("gpu tests fail", "echo '20 passed, 2 failed, 0 skipped'; exit 1", "20 2 0"),
    ("python: nothing collected", "echo 'no tests ran in 0.01s'; exit 5", "0 1 0"),
])
def test_one_outcome(tmp_path, name, command, counts):
    code, printed, failing, said = count(tmp_path, {name: command})
    assert (code, printed) == (0, counts)
    assert failing == ([name] if counts.split()[1] != "0" else [])
    assert ("SKIPPED" in said) == (counts.split()[2] != "0")


def test_sum(tmp_path):
    _, printed, failing, _ = count(tmp_path, {"a": "true", "b": "false", "python: c": "echo '7 passed, 2 skipped in 1.0s'"})
    assert printed == "8 1 2" and failing == ["b"]


def test_no_tests_at_all_is_a_failure(tmp_path):
    assert count(tmp_path, {})[0] != 0
