"""Every command on the run directory of a (shortened) quick start, on one rank and on two where ranks share the work.

Usage: check_commands.py RUN PROGRAM"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy
import yaml

RUN, PROGRAM = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
VERBS, TEST = "data/wordnet/verbs.jsonl", "data/wordnet/test.jsonl"
ENVIRONMENT = {
    **os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_plm": "isolated",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}


def run(*arguments, ranks=1):
    launcher = ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks > 1 else []
    environment = {**ENVIRONMENT, "OMP_NUM_THREADS": "1"} if ranks > 1 else ENVIRONMENT
    done = subprocess.run([*launcher, PROGRAM, *map(str, arguments)], text=True, capture_output=True, timeout=400,
                          env=environment)
    assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{done.stderr}"
    return done.stdout


def stored(path, name):
    with h5py.File(path) as file:
        return file[f"predictions/{name}/log_probabilities"][()]


def check(scratch):
    metrics = json.loads((RUN / "metrics.json").read_text())
    expected = stored(RUN / "predictions.h5", "test")
    limit = expected.shape[1]

    for ranks in (1, 2):
        lines = [json.loads(line)
                 for line in run("predict", RUN, "--data", TEST, "--limit", limit, ranks=ranks).splitlines()]
        found = numpy.array([line["members"] for line in lines]).transpose(1, 0, 2)
        assert abs(found - numpy.exp(expected)).max() < 1e-5
        assert all(line["calibrated"]["temperature"] > 0 for line in lines)
    for ranks in (1, 2):
        output = scratch / f"evaluated{ranks}"
        found = json.loads(run("evaluate", RUN, "--data", VERBS, "--limit", 16, "--name", "verbs", "--unlabelled", "--output",
                               output, "--format", "json", ranks=ranks))["datasets"]["verbs"]
        wanted = metrics["datasets"]["verbs"]
        assert abs(found["uncertainty"]["total"] - wanted["uncertainty"]["total"]) < 1e-5
        assert set(found["detection"]) == set(wanted["detection"])
        assert (output / "metrics.json").exists() and (output / "predictions.h5").exists()

    assert (RUN / "report.html").stat().st_size > 300_000
    assert "ensemble" in run("report", RUN, "--output", scratch / "report.html")
    page = (scratch / "report.html").read_text()
    assert "src=\"http" not in page and "href=\"http" not in page and "Category:" in page

    assert len(run("export", RUN, "--format", "peft", "--output", scratch / "peft").splitlines()) == expected.shape[0]
    again = json.loads(run("evaluate", "--adapters", scratch / "peft", "--recipe", RUN / "recipe.yaml", "--data", TEST,
                           "--limit", limit, "--name", "again", "--output", scratch / "brought", "--format", "json", ranks=2))
    assert abs(stored(scratch / "brought" / "predictions.h5", "again") - expected).max() < 1e-4
    assert abs(again["datasets"]["again"]["ensemble"]["nll"] - metrics["datasets"]["test"]["ensemble"]["nll"]) < 1e-4
    (scratch / "texts.jsonl").write_text('{"text": "a main course served on a plate"}\n')
    scores = [json.loads(line) for line in run("score", base(), "--data", scratch / "texts.jsonl", "--adapters",
                                               scratch / "peft").splitlines()]
    assert len(scores) == expected.shape[0] and len({score["nll"] for score in scores}) == len(scores)

    for path in (RUN, RUN / "predictions.h5", RUN / "checkpoints" / (RUN / "checkpoints/LATEST").read_text().strip(),
                 scratch / "peft", scratch / "peft" / "member_000", base(), TEST):
        assert run("inspect", path)
    plan = json.loads(run("plan", RUN / "recipe.yaml", "--ranks", 4, "--format", "json"))
    assert plan["placement"]["ranks"] == 4
    for ranks in (1, 2):
        assert "torch" in run("doctor", ranks=ranks)


def base():
    return yaml.safe_load((RUN / "recipe.yaml").read_text())["base"]["path"]


if __name__ == "__main__":
    directory = Path(tempfile.mkdtemp())
    try:
        check(directory)
    finally:
        shutil.rmtree(directory)
