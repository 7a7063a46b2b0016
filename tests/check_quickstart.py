"""Checks the run directory of the shortened quick start without the program's own code: files present, numbers sane, and
metrics.json in agreement with predictions.h5 as h5py and numpy see it.

Usage: check_quickstart.py RUN_DIRECTORY TABLE, where TABLE is what the program printed on standard output.
"""

import contextlib
import io
import json
import math
import re
import sys
from pathlib import Path

import h5py
import numpy
import yaml

MEMBERS, CATEGORIES = 2, 25
SIZES = {"test": 40, "validation": 24, "verbs": 16}
ROWS = ("ensemble", "ensemble_geometric", "single_temperature_scaled", "ensemble_temperature_scaled")
problems = []


def expect(condition, message):
    if not condition:
        problems.append(message)


def close(actual, wanted, tolerance=1e-5):
    return isinstance(actual, (int, float)) and math.isclose(actual, wanted, rel_tol=tolerance, abs_tol=tolerance)


def log_mean_exp(values):
    highest = values.max(axis=0)
    return highest + numpy.log(numpy.exp(values - highest).mean(axis=0))


def check_row(name, row):
    expect(0 <= row["accuracy"] <= 1, f"{name}.accuracy is {row['accuracy']}")
    expect(row["nll"] is not None and 0 < row["nll"] < 50, f"{name}.nll is {row['nll']}")
    expect(0 <= row["brier"] <= 2, f"{name}.brier is {row['brier']}")
    for key in ("ece", "ece_10", "ece_20", "mce"):
        expect(0 <= row[key] <= 1, f"{name}.{key} is {row[key]}")


def check_labelled(name, result, log_probabilities, labels):
    for row in ROWS:
        check_row(f"{name}.{row}", result[row])
    for row in ROWS[2:]:
        expect(result[row]["temperature"] > 0, f"{name}.{row}.temperature is {result[row]['temperature']}")
    members = result["members"]
    expect(len(members["each"]) == MEMBERS, f"{name}.members.each has {len(members['each'])} entries")
    rows = numpy.arange(len(labels))
    for index, member in enumerate(members["each"]):
        wanted = -log_probabilities[index, rows, labels].mean()
        expect(close(member["nll"], wanted), f"{name}: member {index} has NLL {member['nll']}, its predictions say {wanted}")
        wanted = (log_probabilities[index].argmax(axis=1) == labels).mean()
        expect(close(member["accuracy"], wanted), f"{name}: member {index} has accuracy {member['accuracy']}, its predictions say {wanted}")
    pooled = log_mean_exp(log_probabilities)
    wanted = -pooled[rows, labels].mean()
    expect(close(result["ensemble"]["nll"], wanted), f"{name}: ensemble NLL {result['ensemble']['nll']}, predictions say {wanted}")
    # Jensen: the mixture's NLL is never above the members' mean.
    expect(result["ensemble"]["nll"] <= members["mean"]["nll"] + 1e-9, f"{name}: the ensemble's NLL is above the members' mean")


def check_uncertainty(name, result, log_probabilities):
    parts = result["uncertainty"]
    pooled = log_mean_exp(log_probabilities)
    wanted = -(numpy.exp(pooled) * pooled).sum(axis=1).mean()
    expect(close(parts["total"], wanted), f"{name}: total uncertainty {parts['total']}, predictions say {wanted}")
    expect(close(parts["aleatoric"] + parts["epistemic"], parts["total"]), f"{name}: aleatoric + epistemic is not total")
    expect(0 <= parts["epistemic"] <= math.log(MEMBERS), f"{name}.epistemic is {parts['epistemic']}")


def check_run(run, table):
    for name in ("recipe.yaml", "log.jsonl", "metrics.json", "predictions.h5", "report.html", "checkpoints/LATEST"):
        expect((run / name).is_file(), f"{name} is missing")
    if problems:
        return
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    expect(recipe["ensemble"]["members"] == MEMBERS, "recipe.yaml does not hold the overrides")
    losses = [entry["loss"] for entry in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if "loss" in entry]
    expect(losses and all(loss is not None and math.isfinite(loss) for loss in losses), f"losses in log.jsonl: {losses}")
    datasets = json.loads((run / "metrics.json").read_text())["datasets"]
    expect(sorted(datasets) == sorted(SIZES), f"metrics.json has data sets {sorted(datasets)}")
    with h5py.File(run / "predictions.h5") as file:
        for name, size in SIZES.items():
            group = file[f"predictions/{name}"]
            log_probabilities, labels = group["log_probabilities"][...].astype(numpy.float64), group["labels"][...]
            expect(log_probabilities.shape == (MEMBERS, size, CATEGORIES), f"{name}: shape {log_probabilities.shape}")
            expect(numpy.allclose(numpy.exp(log_probabilities).sum(axis=2), 1, atol=1e-5), f"{name}: probabilities do not sum to 1")
            expect(len(set(group["example_ids"][...])) == size, f"{name}: example ids are not {size} different ones")
            # Members start from different adapters and see different orders; equal predictions mean one was used twice.
            expect(not numpy.allclose(log_probabilities[0], log_probabilities[1], atol=1e-4), f"{name}: both members predict the same")
            if name == "verbs":
                expect((labels == -1).all(), "verbs carry labels")
            else:
                check_labelled(name, datasets[name], log_probabilities, labels)
            check_uncertainty(name, datasets[name], log_probabilities)
    for score, value in datasets["verbs"]["detection"]["ensemble"]["auroc"].items():
        expect(0 <= value <= 1, f"verbs: detection by {score} is {value}")
    expect("nsemble" in table and max(map(len, table.splitlines())) <= 80, "no result table of at most 80 columns on standard output")


def check_readme_example(run):
    """The Python example of the README, run on this directory, prints the accuracy that metrics.json has."""
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text()
    example = re.search(r"<<'END'\n(import h5py.*?)\nEND\n", readme, re.DOTALL).group(1)
    expect("runs/quickstart" in example, "the README's example does not read the quick start's run")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example.replace("runs/quickstart", str(run)), {})
    accuracy = json.loads((run / "metrics.json").read_text())["datasets"]["test"]["ensemble"]["accuracy"]
    expect(f"accuracy {accuracy}\n" in printed.getvalue(), f"the README's example printed {printed.getvalue()!r}, not accuracy {accuracy}")


def main(run, table):
    try:
        check_run(Path(run), Path(table).read_text())
        if not problems:
            check_readme_example(Path(run))
    except (KeyError, TypeError, ValueError, OSError) as error:
        problems.append(f"{type(error).__name__}: {error}")
    for problem in problems:
        print(f"   quick start: {problem}", file=sys.stderr)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main(*sys.argv[1:])
