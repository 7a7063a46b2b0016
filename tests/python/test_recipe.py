"""Recipes through the command line: the shipped ones, overrides, files, and the resolved text."""

import os
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

BIN = Path(os.environ["CHORALE_BIN"]) / "chorale"
SOURCE = Path(os.environ["CHORALE_SOURCE"])
RECIPES = sorted((SOURCE / "recipes").glob("*.yaml"))


def validate(*arguments, cwd=SOURCE):
    return subprocess.run(
        [BIN, "validate", *map(str, arguments)], text=True, capture_output=True, cwd=cwd, timeout=60
    )


def test_there_are_recipes():
    assert {"quickstart.yaml", "openbookqa.yaml", "commonsenseqa.yaml"} <= {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path):
    done = validate(path, "--no-files")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path} is valid\n"
    assert done.stderr == ""


def is_part_of(part, whole, path=""):
    """What the recipe says is what the resolved recipe says, as PyYAML reads both."""
    if isinstance(part, dict):
        for key, value in part.items():
            if value is not None or whole.get(key) is not None:
                is_part_of(value, whole[key], f"{path}.{key}")
    elif isinstance(part, list):
        assert len(part) == len(whole), path
        for left, right in zip(part, whole):
            is_part_of(left, right, path)
    elif path == ".adapter.targets" and part == "all_linear":
        assert len(whole) == 7
    else:
        assert part == whole, path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_resolved_recipe_says_what_the_recipe_says_and_resolves_to_itself(path, tmp_path):
    resolved = validate(path, "--no-files", "--print").stdout
    is_part_of(yaml.safe_load(path.read_text()), yaml.safe_load(resolved))
    again = tmp_path / "recipe.yaml"
    again.write_text(resolved)
    assert validate(again, "--no-files", "--print").stdout == resolved


def test_keys_stand_in_the_documented_order():
    resolved = yaml.safe_load(validate(RECIPES[0], "--no-files", "--print").stdout)
    assert list(resolved) == [
        "name", "seed", "base", "data", "task", "ensemble", "adapter", "training", "evaluation", "checkpoint",
        "output", "distributed",
    ]


def test_overrides_from_the_shell():
    done = validate(
        SOURCE / "recipes/quickstart.yaml", "--no-files", "--print",
        "data.shifted=[]", "data.train.limit=20", "training.learning_rate=[1.0e-3, 2.0e-3]", "ensemble.members=2",
        "name=short",
    )
    resolved = yaml.safe_load(done.stdout)
    assert resolved["data"]["shifted"] == []
    assert resolved["data"]["train"]["limit"] == 20
    assert resolved["training"]["learning_rate"] == [0.001, 0.002]
    assert resolved["name"] == "short"


def test_all_mistakes_at_once_with_places_and_files(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "base: {path: model.gguf, dtype: float16}\n"
        "data:\n"
        "  train: {path: train.jsonl}\n"
        "  test: {path: .}\n"
        "  shifted:\n"
        "    - {name: far, path: far.jsonl}\n"
        "task: {prompt: '{question} {choices}', choices: choices}\n"
        "trainig: {epochs: 1}\n"
    )
    done = validate("r.yaml", "seed=-1", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "chorale: error:"
    starts = [
        "r.yaml:1:14: base.path: there is no model 'model.gguf'",
        "r.yaml:1:33: base.dtype: ",
        "r.yaml:3:17: data.train.path: there is no file 'train.jsonl'",
        "r.yaml:4:16: data.test.path: '.' is a directory",
        "r.yaml:6:25: data.shifted.0.path: there is no file 'far.jsonl'",
        "r.yaml:8:1: trainig: unknown key; did you mean 'training'?",
        "override 'seed=-1': seed: must be a whole number",
    ]
    assert len(lines) == 1 + len(starts)
    for line, start in zip(lines[1:], starts):
        assert line.startswith(start)


def test_the_reference_in_the_readme_is_the_programs():
    reference = validate("--reference").stdout
    assert reference.count("\n| `") > 60
    assert reference in (SOURCE / "recipes/README.md").read_text()
