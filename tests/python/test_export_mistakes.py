"""`chorale export` and exported directories when something is wrong: refusals, kills, full disks, changed files."""

import json
import shutil
import signal
import subprocess

import pytest
from e2e_helpers import BIN, chorale, llama_config, llama_tensors, merge, write_model
from helpers_export import MEMBERS, QUICK, QUIET, TEXTS, export, exported, world
from helpers_score import score_lines
from runs_helpers import environment, finished, make_world, recipe_in

__all__ = ["exported", "world"]  # fixtures
pytestmark = QUIET


def refused(place, *arguments, code):
    before = sorted(path.name for path in place.iterdir())
    done = chorale("export", *arguments, cwd=place)
    assert done.returncode == code and done.stdout == "", done.stderr
    assert sorted(path.name for path in place.iterdir()) == before
    return done.stderr


def test_mistakes_are_refused_before_anything_is_written(world, exported, tmp_path):
    base, adapters, _ = exported("q and v")
    run = adapters.name.removesuffix("_peft")
    out = tmp_path / "out"
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("x")
    cases = [
        ((run, "--output", taken), 2, "nothing in it is overwritten"),
        ((run, "--output", taken / "mine.txt"), 2, "is no directory"),
        ((run, "--output", out, "--members", "0,2"), 2, "there is no member 2; the run has members 0 to 1"),
        ((run, "--output", out, "--members", "1,1"), 2, "named twice"),
        ((run, "--output", out, "--members", "-1"), 2, "--members"),
        ((run, "--output", out, "--members", "x"), 2, "--members"),
        ((run, "--output", out, "--format", "onnx"), 2, "--format"),
        ((run, "--output", out, "--dtype", "int8"), 2, "--dtype"),
        ((run, "--output", out, "--shard-size", "much"), 2, "--shard-size"),
        ((run,), 2, "--output is required"),
        (("nowhere", "--output", out), 2, "there is no such run directory"),
        (("tied", "--output", out), 2, "is no run directory"),
        ((run, "--output", out, "--base", "nowhere"), 2, "Give its place by --base"),
        ((run, "--output", out, "--base", "untied"), 3, "trained over another base model"),
        ((run, "--output", out, "--base", "train.jsonl"), 3, "train.jsonl"),
    ]
    for arguments, code, phrase in cases:
        message = refused(world, *arguments, code=code)
        assert phrase in message, (arguments, message)
    assert not out.exists() and [path.name for path in taken.iterdir()] == ["mine.txt"]
    shutil.copytree(world / run, tmp_path / "damaged")
    for path in (tmp_path / "damaged/checkpoints").glob("*/group_000.h5"):
        path.write_bytes(path.read_bytes()[:-100])
    assert "checkpoint" in refused(world, tmp_path / "damaged", "--output", out, code=3)
    (tmp_path / "there").mkdir()
    export(world, run, "--output", tmp_path / "there")  # an empty directory is as good as a new one


def test_values_beyond_float16_are_refused_and_nothing_stays(world, tmp_path):
    tensors = llama_tensors()
    tensors["model.layers.0.mlp.up_proj.weight"][3, 3] = 70000.0
    place = make_world(tmp_path)
    shutil.rmtree(place / "model")
    write_model(place / "model", llama_config(), tensors)
    recipe_in(place, "run", merge(QUICK, {"training": {"learning_rate": 1e-5}}))
    finished(place, "run")
    done = chorale("export", "run", "--format", "merged", "--dtype", "float16", "--output", "out", cwd=place)
    assert done.returncode == 3 and "up_proj.weight' holds 70000" in done.stderr
    assert list((place / "out").iterdir()) == []


@pytest.mark.parametrize("kind", ["peft", "merged"])
def test_a_killed_export_leaves_no_half_member(world, exported, tmp_path, kind):
    run = exported("q and v")[1].name.removesuffix("_peft")
    complete = {path.relative_to(world / f"{run}_{kind}"): path.read_bytes()
                for path in (world / f"{run}_{kind}").rglob("*") if path.is_file()}

    def attempt(number, **faults):
        output = tmp_path / str(number)
        done = subprocess.run(
            [BIN, "export", run, "--format", kind, "--output", output], cwd=world, capture_output=True,
            text=True, timeout=60, env=environment(**faults),
        )
        return output, done

    log = tmp_path / "log"
    assert attempt("whole", CHORALE_FAULT_LOG=str(log))[1].returncode == 0
    points = len(log.read_text().splitlines())
    assert points > 20
    for number in range(1, points + 1, max(1, points // 12)):
        output, done = attempt(number, CHORALE_FAULT_AT=str(number))
        assert done.returncode == -signal.SIGKILL
        for member in output.glob("member_*"):
            if not member.name.endswith(".tmp"):
                assert {p.relative_to(output): p.read_bytes() for p in member.iterdir()} == {
                    name: content for name, content in complete.items() if name.parts[0] == member.name}
        if (output / "ensemble.json").exists():
            assert len(list(output.glob("member_*"))) == MEMBERS
        output, done = attempt(f"full_{number}", CHORALE_FAULT_AT=str(number), CHORALE_FAULT_ERRNO="ENOSPC")
        assert done.returncode == 5 and "No space left" in done.stderr


def test_an_exported_directory_is_read_as_its_members(world, exported, tmp_path):
    base, adapters, merged = exported("q and v")
    copied = tmp_path / "moved"
    shutil.copytree(adapters, copied)
    (copied / "member_000/README.md").write_text("mine")  # people may say more about their adapters
    lines = score_lines(base, [{"ids": TEXTS[1]}], "--adapters", copied, adapters / "member_001")
    names = [copied / "member_000", copied / "member_001", adapters / "member_001"]
    assert [line["adapter"] for line in lines] == [str(name) for name in names]
    assert lines[1]["log_probabilities"] == lines[2]["log_probabilities"]

    def message(change):
        bad = tmp_path / f"bad_{len(list(tmp_path.iterdir()))}"
        shutil.copytree(adapters, bad)
        index = json.loads((bad / "ensemble.json").read_text())
        change(bad, index)
        (bad / "ensemble.json").write_text(json.dumps(index))
        (tmp_path / "one.jsonl").write_text('{"ids": [1, 2]}\n')
        done = chorale("score", base, "--data", tmp_path / "one.jsonl", "--adapters", bad, cwd=world)
        assert done.returncode == 3 and done.stdout == ""
        return done.stderr

    def changed(bad, index):
        with open(bad / "member_001/adapter_config.json", "a") as file:
            file.write("\n")

    assert "another SHA-256" in message(changed)
    assert "is missing" in message(lambda bad, index: (bad / "member_000/adapter_model.safetensors").unlink())
    assert "no plain name" in message(lambda bad, index: index["members"][0].update(directory="../elsewhere"))
    newer = message(lambda bad, index: index.update(format_version=9))
    assert "format_version 9" in newer and "reads up to 1. Use a newer chorale" in newer
    assert "not the index" in message(lambda bad, index: index.update(format="other"))
    assert "lists no members" in message(lambda bad, index: index.update(members=[]))
    done = chorale("score", base, "--data", tmp_path / "one.jsonl", "--adapters", merged, cwd=world)
    assert done.returncode == 3 and "whole models" in done.stderr
    # Over another base of the same shape: possible, for a base may be stored in two ways, but told.
    shutil.copytree(base, tmp_path / "twin")
    write_model(tmp_path / "stranger", json.loads((base / "config.json").read_text()))
    done = chorale("score", tmp_path / "stranger", "--data", tmp_path / "one.jsonl", "--adapters", adapters, cwd=world)
    assert done.returncode == 0 and "trained over another file" in done.stderr
    done = chorale("score", tmp_path / "twin", "--data", tmp_path / "one.jsonl", "--adapters", adapters, cwd=world)
    assert done.returncode == 0 and "another file" not in done.stderr
