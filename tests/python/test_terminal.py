"""What a person sees: the bar on terminals of several widths, lines in a file, silence where it is wished, and tables of
80 columns."""

import json
import re

import pytest

from runs_helpers import *
from terminal_helpers import *

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
LONG = {"training": {"epochs": 24}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = make_world(tmp_path_factory.mktemp("terminal"))
    recipe_in(directory, "run", {"data": {"shifted": [{"name": "a_set_whose_name_is_long", "path": "far.jsonl"}]}})
    finished(directory, "run")
    return directory


@pytest.mark.parametrize("columns", [80, 40, 20])
def test_a_bar_never_wraps_and_leaves_only_messages(world, columns):
    recipe_in(world, f"bar{columns}", LONG)
    code, seen, results = on_a_terminal_train(f"bar{columns}", world, columns=columns)
    assert code == 0 and "members' mean" in results
    bars = [line for line in drawn(seen) if re.match(r"(training|evaluation) (\[|  ?\d)", line)]
    assert len(bars) > 3 and max(map(width, bars)) < columns
    assert any(re.search(r"/96", bar) for bar in bars)
    if columns == 80:
        shown = bars[len(bars) // 2]
        for part in ("training [", "%", "loss ", "tok/s", "ETA", "MB"):
            assert part in shown
    screen = Screen(columns)
    screen.feed(seen.replace("\r\n", "\n\r"))
    assert not [line for line in screen.lines() if re.search(r"\[[=> ]+\]|/96", line)]
    whole = Screen(500)
    whole.feed(seen.replace("\r\n", "\n\r"))
    for line in filter(None, whole.lines()):
        assert re.match(r"chorale \d|(train|test|far|validation): \d+ examples|\d+ members x|validation after step|training: |evaluation: ", line), line


def test_a_window_that_becomes_narrower_is_not_garbled(world):
    recipe_in(world, "narrower", LONG)
    code, seen, _ = on_a_terminal_train("narrower", world, columns=100, after=("validation after step 8:", 50))
    assert code == 0
    # The first thing drawn for the new width takes the rows of the old bar away.
    erased = re.search("\r\x1b\\[1A\x1b\\[J", seen)
    assert erased
    late = [line for line in drawn(seen[erased.end():]) if line.startswith("training [")]
    assert len(late) > 2 and max(map(width, late)) < 50
    screen = Screen(100)
    screen.feed(seen[:erased.start()].replace("\r\n", "\n\r"))
    screen.resize(50)
    screen.feed(seen[erased.start():].replace("\r\n", "\n\r"))
    assert not [line for line in screen.lines() if re.search(r"\[[=> ]+\]", line)]


def test_no_escape_codes_where_colour_is_not_wished_or_the_terminal_is_dumb(world):
    recipe_in(world, "plain", LONG)
    code, seen, _ = on_a_terminal_train("plain", world, NO_COLOR="1", streams=("stdout", "stderr"))
    assert code == 0 and "\x1b" not in seen and "training [" in seen and "members' mean" in seen
    screen = Screen(80)
    screen.feed(seen.replace("\r\n", "\n\r"))
    assert not [line for line in screen.lines() if re.search(r"\[[=> ]+\]", line)]
    recipe_in(world, "dumb")
    code, seen, _ = on_a_terminal_train("dumb", world, TERM="dumb", streams=("stdout", "stderr"))
    assert code == 0 and "\x1b" not in seen and "training [" not in seen
    assert re.search(rf"^{STAMP}training: 8 steps in ", seen, re.MULTILINE)
    recipe_in(world, "coloured")
    _, seen, _ = on_a_terminal_train("coloured", world, streams=("stdout", "stderr"))
    assert "\x1b[1maccuracy\x1b[0m" in seen


def test_quiet_says_nothing_about_a_good_run(world):
    recipe_in(world, "quiet")
    done = train(world, "quiet", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "members' mean" in done.stdout and "results in    quiet" in done.stdout
    recipe_in(world, "silent")
    code, seen, results = on_a_terminal_train("silent", world, "--quiet")
    assert (code, seen) == (0, "") and "members' mean" in results


def test_without_progress_messages_stay_and_levels_choose_them(world):
    recipe_in(world, "none")
    done = train(world, "none", "--no-progress")
    assert "validation after step 4" in done.stderr and not re.search("training( |:)|evaluation", done.stderr)
    recipe_in(world, "warnings")
    done = train(world, "warnings", "--log-level", "warning", "--no-progress")
    assert (done.returncode, done.stderr) == (0, "")


def test_in_a_file_every_line_has_its_time(world):
    # Slow enough for lines: an interval takes about as long as they are apart at least.
    recipe_in(world, "file", {"training": {"epochs": 40, "log_every": 50}})
    done = train(world, "file")
    assert done.returncode == 0 and "\x1b" not in done.stderr and "\r" not in done.stderr
    lines = done.stderr.splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    text = "\n".join(lines)
    assert re.search(r"training: 160 steps in .*, loss \d\.\d+, \S+ tokens/s, \d+ MB$", text, re.MULTILINE)
    assert re.search(r"evaluation: 20 examples in ", text)  # test and far; validation is known
    # Of logging intervals: nothing in between, and never two within five seconds.
    steps = [int(step) for step in re.findall(r"training  step (\d+)/160", text)]
    assert all(step % 50 == 0 or step == 160 for step in steps) and steps == sorted(set(steps))


COMMANDS = {
    "train": ["train", "run.yaml", "--resume"], "calibrate": ["calibrate", "run/predictions.h5"],
    "plan": ["plan", "run.yaml", "--ranks", "5"], "doctor": ["doctor"], "data": ["inspect", "train.jsonl"],
    "model": ["inspect", "model"], "predictions": ["inspect", "run/predictions.h5"],
    "tokenizer": ["inspect", "model/tokenizer.json"], "validate": ["validate", "run.yaml"],
    "checkpoint": ["inspect", "run/checkpoints/step_00000008"], "report": ["report", "run"],
    "evaluate": ["evaluate", "run", "--output", "again"], "recipes": ["recipes", "list"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_results_fit_80_columns(world, name):
    done = chorale(*COMMANDS[name], cwd=world)
    assert done.returncode == 0 and done.stdout
    assert [line for line in done.stdout.splitlines() if width(line) > 80] == []


def test_help_fits_80_columns(world):
    listed = chorale("--help").stdout
    commands = re.findall(r"^  ([a-z]+) ", listed.split("Subcommands:")[1].split("Example:")[0], re.MULTILINE)
    assert len(commands) >= 7
    for command in [None, *commands]:
        text = chorale(*filter(None, [command]), "--help").stdout
        assert [line for line in text.splitlines() if width(line) > 80] == [], command


def test_a_wider_terminal_is_used(world):
    names = {}
    for columns in (80, 120):
        code, seen, _ = on_terminal([str(BIN), *COMMANDS["calibrate"]], world, columns=columns, streams=("stdout",))
        assert code == 0 and max(map(width, seen.splitlines())) <= columns
        names[columns] = "a_set_whose_name_is_long  " in seen
    assert names == {80: False, 120: True}


def test_the_last_table_says_how_fast_how_large_and_where(world):
    run = world / "run"
    text = chorale("train", "run.yaml", "--resume", cwd=world).stdout
    timings = json.loads((run / "timings.json").read_text())
    for phase in ("loading", "training", "saving", "evaluation"):
        assert f"{phase} {timings['seconds'][phase]:.1f} s" in text
    assert re.search(r"^speed +\S+ tokens/s in training", text, re.MULTILINE)
    assert f"peak memory   {max(timings['peak_memory_bytes']) * 1e-9:.2f} GB" in text
    named = text.split("results in")[1].replace(",", " ").split()
    assert named[0] == "run" and all((run / name).exists() for name in named[1:]) and len(named) == 8
    # Tokens of all members over the time from the first step to the last.
    tokens = metrics_of(run)["training"]["tokens"]
    assert 0.4 * tokens < timings["tokens_per_second"] * timings["seconds"]["training"] < 1.01 * tokens / 0.5
