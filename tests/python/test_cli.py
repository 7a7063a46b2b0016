"""The command line as a user meets it: help, exit codes, what goes to which stream."""

import json
import os
import pty
import re
import select
import subprocess
from pathlib import Path

import pytest

BIN = Path(os.environ["CHORALE_BIN"]) / "chorale"
SOURCE = Path(os.environ["CHORALE_SOURCE"])
QUICKSTART = str(SOURCE / "recipes" / "quickstart.yaml")


def chorale(*arguments, **options):
    options.setdefault("capture_output", True)
    options.setdefault("timeout", 60)
    return subprocess.run([BIN, *map(str, arguments)], text=True, cwd=options.pop("cwd", SOURCE), **options)


def commands():
    listed = chorale("--help").stdout.split("Subcommands:")[1].split("Example:")[0]
    return re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)


def test_version_names_the_program_and_torch():
    done = chorale("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"chorale \d+\.\d+\.\d+ \(torch 2\.11\.\S+\)\n", done.stdout)
    assert done.stderr == ""


def test_every_command_has_help_with_an_example_and_the_common_options():
    assert {"train", "calibrate", "score", "validate", "inspect"} <= set(commands())
    for command in commands():
        done = chorale(command, "--help")
        assert done.returncode == 0, command
        assert done.stderr == ""
        assert f"chorale {command}" in done.stdout.split("Example")[1], command
        for option in ("--quiet", "--no-progress", "--log-level"):
            assert option in done.stdout, command


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        ([], "subcommand is required"),
        (["trian"], "Did you mean 'train'?"),
        (["zzzzzzzzzzzz"], "`chorale --help` lists all"),
        (["validate", QUICKSTART, "--no-file"], "Did you mean '--no-files'?"),
        (["validate"], "no recipe given"),
        (["validate", "nowhere.yaml"], "nowhere.yaml: cannot read the recipe"),
        (["validate", QUICKSTART, "--no-files", "seed"], "not of the form key=value"),
        (["validate", QUICKSTART, "--log-level", "loud"], "--log-level"),
        (["inspect"], "PATH is required"),
        (["inspect", QUICKSTART, "--format", "xml"], "--format"),
    ],
)
def test_usage_mistakes_exit_with_2_and_say_so_on_standard_error(arguments, phrase):
    done = chorale(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("chorale: error: ")
    assert phrase in done.stderr


def test_bad_files_exit_with_3(tmp_path):
    empty, text, damaged, nothing = (tmp_path / name for name in ("e.jsonl", "t.bin", "d.gguf", "n.h5"))
    empty.write_bytes(b"")
    text.write_text("hello\n")
    damaged.write_bytes(b"GGUF" + b"\xff" * 100)
    nothing.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    (tmp_path / "dir").mkdir()
    for path in (empty, text, damaged, nothing, tmp_path / "dir", tmp_path / "missing"):
        done = chorale("inspect", path)
        assert done.returncode == 3, (path, done.stderr)
        assert done.stdout == ""
        assert done.stderr.startswith("chorale: error: ")
        assert path.name in done.stderr


def test_inspect_data(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "one", "label": 1}\n{"text": "three", "label": 0}\n')
    done = chorale("inspect", path, "--format", "json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["kind"] == "data"
    assert found["records"] == 2
    assert found["fields"]["text"]["length"] == {"min": 3, "mean": 4.0, "max": 5}
    table = chorale("inspect", path)
    assert "records        2" in table.stdout
    assert "  length 3 to 5, mean 4.0" in table.stdout


def test_inspect_the_model():
    model = SOURCE / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    if not model.exists():
        pytest.skip(f"no model at {model.relative_to(SOURCE)}; launch/setup fetches it")
    found = json.loads(chorale("inspect", model, "--format", "json").stdout)
    assert found["kind"] == "gguf"
    assert found["parameters"] == 134515008
    assert "49152 tokens" in found["tokenizer"]
    table = chorale("inspect", model).stdout
    assert re.search(r"^ +30 x blk\.\*\.attn_q\.weight +Q4_1 +\[576,576\]$", table, re.MULTILINE)
    assert len(table.splitlines()) < 90
    assert max(map(len, table.splitlines())) <= 100


def test_inspect_predictions(tmp_path):
    h5py = pytest.importorskip("h5py")
    numpy = pytest.importorskip("numpy")
    path = tmp_path / "p.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("/predictions/test")
        group["log_probabilities"] = numpy.full((2, 5, 4), numpy.log(0.25), dtype="float32")
        group["labels"] = numpy.array([0, 1, 2, -1, 3], dtype="int32")
    found = json.loads(chorale("inspect", path, "--format", "json").stdout)
    assert found["sets"] == [{"name": "test", "members": 2, "examples": 5, "choices": 4, "labelled": 4}]
    assert re.search(r"^test +2 +5 +4 +4$", chorale("inspect", path).stdout, re.MULTILINE)


def test_warnings_go_to_standard_error_and_quiet_keeps_them(tmp_path):
    arguments = ("validate", QUICKSTART, "--no-files", "data.validation=null")
    for extra in ((), ("--quiet",)):
        done = chorale(*arguments, *extra)
        assert done.returncode == 0
        assert done.stdout == f"{QUICKSTART} is valid\n"
        assert "warning: evaluation.temperature is on" in done.stderr
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d warning: ", done.stderr)
        assert "\033" not in done.stderr
    assert chorale(*arguments, "--log-level", "error").stderr == ""


def on_terminal(*arguments, **environment):
    """Standard error of a run whose standard error is a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [BIN, *arguments], stdout=subprocess.DEVNULL, stderr=follower, cwd=SOURCE,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(follower)
    seen = b""
    while select.select([leader], [], [], 30)[0]:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(leader)
    assert process.wait(timeout=30) == 0
    return seen.decode()


def test_colour_on_terminals_only_and_not_against_the_users_wish():
    arguments = ("validate", QUICKSTART, "--no-files", "data.validation=null")
    no_wish = {"NO_COLOR": ""}
    assert on_terminal(*arguments, **no_wish).startswith("\033[33mwarning: \033[0mevaluation.temperature")
    assert on_terminal(*arguments, NO_COLOR="1").startswith("warning: evaluation.temperature")
    assert "\033" not in on_terminal(*arguments, TERM="dumb")


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [BIN, "validate", "--reference"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=SOURCE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=30) == 0


def test_a_full_disk_is_a_storage_error():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        done = chorale("validate", "--reference", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 5
    assert "cannot write to standard output: No space left on device" in done.stderr
