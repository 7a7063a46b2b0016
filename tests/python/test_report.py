"""report.html and `chorale report` without a browser: what the page carries, computed again with numpy from predictions.h5,
and what the command says and leaves."""

import itertools
import json
import re
import shutil

import h5py
import numpy
import pytest

from e2e_helpers import COLOURS, chorale, colour_records, write_jsonl
from runs_helpers import finished, make_world, recipe_in, train

BINS = 7  # runs_helpers.RECIPE


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = make_world(tmp_path_factory.mktemp("report"))
    write_jsonl(directory / "test.jsonl", colour_records(60, 3, options=5, key="test"))
    recipe_in(directory, "first")
    recipe_in(directory, "second", {"name": "other", "ensemble": {"members": 2}})
    finished(directory, "first")
    finished(directory, "second")
    return directory


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text()).group(1))


@pytest.fixture(scope="module")
def run(world):
    return data_of(world / "first/report.html")["runs"][0]


@pytest.fixture(scope="module")
def stored(world):
    with h5py.File(world / "first/predictions.h5") as file:
        return {name: (group["log_probabilities"][:].astype(float), group["labels"][:]) for name, group in file["predictions"].items()}


def metrics(world):
    return json.loads((world / "first/metrics.json").read_text())


def bins_of(probabilities, labels):
    """Bin number, confidence, correctness of every example: (lo, hi], the first closed at 0."""
    confidence = probabilities.max(axis=-1)
    edges = numpy.arange(1, BINS + 1) / BINS
    return numpy.searchsorted(edges, confidence - 1e-12), confidence, probabilities.argmax(axis=-1) == labels


def ece(probabilities, labels):
    index, confidence, correct = bins_of(probabilities, labels)
    gaps = [abs((correct[index == b] - confidence[index == b]).sum()) for b in range(BINS)]
    return sum(gaps) / len(labels)


def test_training_leaves_a_report_and_says_the_same_as_the_command(world, run):
    again = world / "again.html"
    done = chorale("report", "first", "--output", again, cwd=world)
    assert done.returncode == 0, done.stderr
    assert data_of(again)["runs"][0] == run
    assert run["problems"] == [] and run["finished"] and run["sets"] == ["test", "validation", "far"]
    assert run["metrics"] == metrics(world)
    assert run["timings"]["placement"]["ranks"] == 1 and run["timings"]["versions"]["torch"]


def test_reliability_bins_are_numpys(run, stored):
    for name, (log_p, labels) in stored.items():
        if (labels < 0).any():
            continue
        diagrams = run["charts"][name]["reliability"]
        pooled = numpy.exp(log_p).mean(axis=0)
        index, confidence, correct = bins_of(pooled, labels)
        assert [round(b["low"] * BINS) for b in diagrams["ensemble"]] == sorted(set(index))
        for b in diagrams["ensemble"]:
            inside = index == round(b["low"] * BINS)
            assert b["count"] == inside.sum()
            assert b["confidence"] == pytest.approx(confidence[inside].mean(), abs=1e-5)
            assert b["accuracy"] == pytest.approx(correct[inside].mean(), abs=1e-5)
            assert (b["band"] is None) == (inside.sum() < 5)
        of_members = [bins_of(numpy.exp(member), labels) for member in log_p]
        for b in diagrams["members_mean"]:
            k = round(b["low"] * BINS)
            inside = numpy.concatenate([correct[index == k] for index, _, correct in of_members])
            assert b["count"] * len(log_p) == pytest.approx(len(inside), abs=1e-3)
            assert b["accuracy"] == pytest.approx(inside.mean(), abs=1e-5)


def test_every_diagram_sums_to_its_ece(world, run):
    for name, chart in run["charts"].items():
        values = metrics(world)["datasets"][name]
        assert set(chart["reliability"]) == {"members_mean", "ensemble", "single_temperature_scaled", "ensemble_temperature_scaled"}
        for row, bins in chart["reliability"].items():
            wanted = (values["members"]["mean"] if row == "members_mean" else values[row])["ece"]
            assert sum(b["count"] * b["gap"] for b in bins) / values["labelled"] == pytest.approx(wanted, abs=1e-5)


def test_metrics_by_number_of_members_are_means_over_all_subsets(run, stored):
    log_p, labels = stored["test"]
    rows = numpy.arange(len(labels))
    for entry in run["charts"]["test"]["members"]:
        subsets = list(itertools.combinations(range(len(log_p)), entry["members"]))
        assert entry["subsets"] == len(subsets) and entry["all"]
        found = []
        for subset in subsets:
            p = numpy.exp(log_p[list(subset)]).mean(axis=0)
            one_hot = numpy.eye(p.shape[1])[labels]
            found.append(((p.argmax(axis=1) == labels).mean(), -numpy.log(p[rows, labels]).mean(), ((p - one_hot) ** 2).sum(axis=1).mean(), ece(p, labels)))
        for key, values in zip(("accuracy", "nll", "brier", "ece"), numpy.array(found).T):
            assert entry[key] == pytest.approx([values.mean(), values.std()], rel=1e-4, abs=1e-6), key


def test_matrix_and_histograms_are_numpys(run, stored):
    log_p, _ = stored["test"]
    votes = log_p.argmax(axis=2)
    assert run["charts"]["test"]["disagreement"] == pytest.approx((votes[:, None] != votes[None]).mean(axis=2), abs=1e-5)
    for score, of_set in run["uncertainty"].items():
        assert set(of_set["counts"]) == {"test", "far"}
        for name, counts in of_set["counts"].items():
            p = numpy.exp(stored[name][0])
            pooled = p.mean(axis=0)
            total = -(pooled * numpy.log(pooled)).sum(axis=1)
            values = total if score == "entropy" else total + (p * numpy.log(p)).sum(axis=2).mean(axis=0)
            # A value next to an edge may fall to either side.
            wanted, _ = numpy.histogram(values, bins=24, range=(0, of_set["top"] * (1 + 1e-5)))
            assert sum(counts) == len(values) and abs(numpy.array(counts) - wanted).sum() <= 2


def test_examples_are_quoted_as_the_model_read_them(world, run, stored):
    log_p, labels = stored["test"]
    pooled = numpy.exp(log_p).mean(axis=0)
    records = [json.loads(line) for line in (world / "test.jsonl").read_text().splitlines()]
    of_test = run["examples"]["test"]
    wrong = [n for n in numpy.argsort(-pooled.max(axis=1), kind="stable") if pooled[n].argmax() != labels[n]]
    assert of_test["lists"]["wrong"] == wrong[:6]
    for number, example in of_test["examples"].items():
        record = records[int(number)]
        assert example["id"] == record["id"] and example["text"] == f"{record['thing']} {record['note']}\nColour:"
        for option in example["options"]:
            assert option["name"] == COLOURS[option["choice"]]
            assert option["probability"] == pytest.approx(pooled[int(number), option["choice"]], rel=1e-4)
            assert option["votes"] == (log_p[:, int(number)].argmax(axis=1) == option["choice"]).sum()
            assert option["is_label"] == (option["choice"] == labels[int(number)])


def test_curves_are_those_of_the_log(world, run):
    lines = [json.loads(line) for line in (world / "first/log.jsonl").read_text().splitlines()]
    for curve in run["curves"]["training"]["members"]:
        own = [line for line in lines if line["member"] == curve["member"] and "loss" in line]
        assert curve["steps"] == [line["step"] for line in own]
        assert curve["loss"] == pytest.approx([line["loss"] for line in own], rel=1e-5)
    pooled = {line["step"]: line["pooled_validation"] for line in lines if "pooled_validation" in line}
    assert pooled and run["curves"]["validation"]["pooled"]["steps"] == sorted(pooled)
    assert run["curves"]["validation"]["pooled"]["nll"] == pytest.approx([pooled[step]["nll"] for step in sorted(pooled)], rel=1e-5)


def test_several_runs_side_by_side(world):
    place = world / "elsewhere"
    place.mkdir()
    before = [path.stat().st_mtime_ns for path in (world / "first/report.html", world / "second/report.html")]
    done = chorale("report", world / "first", world / "second", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "report in report.html" in done.stdout and (place / "report.html").exists()
    assert all(len(line) <= 80 for line in done.stdout.splitlines()[:-1])
    for name in ("tiny", "other"):
        assert done.stdout.count(f"  {name}") == 4  # once in every row's part
    page = data_of(place / "report.html")
    assert [run["label"] for run in page["runs"]] == ["tiny", "other"]
    # The recipes' relative paths lead nowhere from here, which the page says in the text's place.
    example = next(iter(page["runs"][0]["examples"]["test"]["examples"].values()))
    assert example["text"] is None and "is not there" in example["problem"] and example["options"]
    assert before == [path.stat().st_mtime_ns for path in (world / "first/report.html", world / "second/report.html")]


def test_an_evaluation_that_changes_a_run_renews_its_report(world):
    shutil.copytree(world / "second", world / "evaluated")
    done = chorale("evaluate", "evaluated", "--data", "far.jsonl", "--name", "again", cwd=world)
    assert done.returncode == 0, done.stderr
    run = data_of(world / "evaluated/report.html")["runs"][0]
    assert run["sets"] == ["test", "validation", "again", "far"] and "reliability" in run["charts"]["again"]
    assert run["metrics"] == json.loads((world / "evaluated/metrics.json").read_text())
    example = next(iter(run["examples"]["again"]["examples"].values()))
    assert example["text"] is None and "names no data file" in example["problem"]


def test_an_unfinished_run_has_its_curves(world):
    shutil.copytree(world / "first", world / "unfinished")
    for name in ("metrics.json", "predictions.h5", "timings.json", "report.html"):
        (world / "unfinished" / name).unlink()
    done = chorale("report", "unfinished", cwd=world)
    assert done.returncode == 0, done.stderr
    assert "not finished" in done.stdout
    run = data_of(world / "unfinished/report.html")["runs"][0]
    assert not run["finished"] and run["curves"]["training"]["members"] and "not finished" in run["headline"][0]


def test_damaged_predictions_cost_their_charts_alone(world):
    shutil.copytree(world / "first", world / "odd")
    (world / "odd/predictions.h5").write_bytes(b"no predictions")
    done = chorale("report", "odd", cwd=world)
    assert done.returncode == 0 and "left out" in done.stderr
    run = data_of(world / "odd/report.html")["runs"][0]
    assert run["problems"] and run["charts"] == {} and run["metrics"] == metrics(world)


def test_a_report_that_cannot_be_written_does_not_lose_the_run(world):
    recipe_in(world, "blocked")
    # A directory stands where the page should go once the run is resumed.
    stopped = train(world, "blocked", "training.epochs=1")
    assert stopped.returncode == 0
    (world / "blocked/report.html").unlink()
    (world / "blocked/report.html").mkdir()
    done = train(world, "blocked", "--resume", "training.epochs=2")
    assert done.returncode == 0 and "report.html was not written, the results are" in done.stderr
    assert json.loads((world / "blocked/metrics.json").read_text())["training"]["steps"] == 8


@pytest.mark.parametrize("arguments, phrase", [
    (["nowhere"], "there is no such run directory"), (["model"], "is no run directory"), ([], "RUN is required"),
])
def test_what_is_no_run(world, arguments, phrase):
    done = chorale("report", *arguments, cwd=world)
    assert done.returncode == 2 and phrase in done.stderr and done.stdout == ""


def test_help_has_examples(world):
    done = chorale("report", "--help", cwd=world)
    assert done.returncode == 0 and "chorale report runs/three runs/five --output comparison.html" in done.stdout
