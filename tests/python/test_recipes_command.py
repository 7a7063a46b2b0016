"""chorale recipes: every shipped recipe is listed, shown as it is, and copied into a place that has no checkout."""

import json
import shutil
import subprocess

import pytest
from e2e_helpers import SOURCE, chorale

SHIPPED = sorted((SOURCE / "recipes").glob("*.yaml"))
NAMES = [path.stem for path in SHIPPED]


def test_all_of_the_folder_are_listed_with_what_they_do_and_need():
    done = chorale("recipes", "list", "--format", "json")
    assert done.returncode == 0 and done.stderr == ""
    listed = json.loads(done.stdout)
    assert [recipe["name"] for recipe in listed] == NAMES and len(NAMES) >= 3
    readme = (SOURCE / "recipes/README.md").read_text(encoding="utf-8")
    table = chorale("recipes", "list").stdout
    words = " ".join(table.split())  # lines are broken where the terminal ends
    for recipe in listed:
        assert len(recipe["what"]) > 20 and len(recipe["data"]) > 10
        assert recipe["what"] in words and recipe["data"] in words
        assert f"| `{recipe['name']}.yaml` | {recipe['what']} | {recipe['data']} |" in readme
    assert max(map(len, table.splitlines())) <= 80


@pytest.mark.parametrize("path", SHIPPED, ids=NAMES)
def test_a_copy_is_the_file_and_valid(path, tmp_path):
    assert chorale("recipes", "show", path.stem).stdout == path.read_text(encoding="utf-8")
    done = chorale("recipes", "copy", path.stem, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    copy = tmp_path / path.name
    assert copy.read_bytes() == path.read_bytes()
    assert f"chorale validate {path.name}, then chorale train {path.name}" in done.stdout
    valid = chorale("validate", path.name, "--no-files", cwd=tmp_path)
    assert valid.returncode == 0, valid.stderr


def test_nothing_is_overwritten_and_directories_take_the_recipe(tmp_path):
    (tmp_path / "mine.yaml").write_text("mine")
    (tmp_path / "link.yaml").symlink_to("nowhere")
    for name in ("mine.yaml", "link.yaml"):
        done = chorale("recipes", "copy", "quickstart", name, cwd=tmp_path)
        assert done.returncode == 2 and name in done.stderr and done.stdout == ""
    assert (tmp_path / "mine.yaml").read_text() == "mine" and (tmp_path / "link.yaml").is_symlink()
    (tmp_path / "folder").mkdir()
    assert chorale("recipes", "copy", "quickstart", "folder", cwd=tmp_path).returncode == 0
    assert (tmp_path / "folder/quickstart.yaml").exists()
    done = chorale("recipes", "copy", "quickstart", "gone/mine.yaml", cwd=tmp_path)
    assert done.returncode == 5 and "gone/mine.yaml" in done.stderr


def test_words_that_are_nearly_right():
    for arguments, meant in ((["lst"], "'list'"), (["copy", "quickstrt"], "'quickstart'"), (["list", "--formt", "x"], "'--format'")):
        done = chorale("recipes", *arguments)
        assert done.returncode == 2 and f"Did you mean {meant}?" in done.stderr


def test_an_installed_program_has_them(tmp_path):
    build = SOURCE / "build"
    if shutil.which("cmake") is None:
        pytest.skip("no cmake")
    from e2e_helpers import BIN

    done = subprocess.run(["cmake", "--install", BIN.parent.parent, "--prefix", tmp_path / "installed"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    program = tmp_path / "installed/bin/chorale"
    shown = subprocess.run([program, "recipes", "show", "quickstart"], capture_output=True, text=True, timeout=60,
                           cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == (SOURCE / "recipes/quickstart.yaml").read_text(encoding="utf-8")
    assert build.exists()
