"""`chorale predict` and `chorale evaluate` on what a run has left: the same numbers as in its files and as numpy computes
them from there, on one rank and on several; what they refuse; and that they change nothing they should not."""

import csv
import fcntl
import io
import json
import shutil

import h5py
import numpy
import pytest
from e2e_helpers import BIN, checksum, colour_records, llama_tensors, write_jsonl, write_model
from launched import launched
from runs_helpers import environment, finished, launcher, make_world, metrics_of, recipe_in, train


def command(directory, *arguments, ranks=1):
    return launched([*(launcher(ranks, 60) if ranks > 1 else []), BIN, *arguments], timeout=80, cwd=directory,
                    env=environment())


def output_of(directory, *arguments, **options):
    done = command(directory, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(directory, *arguments, code=2, **options):
    done = command(directory, *arguments, **options)
    assert done.returncode == code and not done.stdout, (done.returncode, done.stderr)
    return done.stderr[done.stderr.index("chorale: error:"):]


def stored(run, name):
    with h5py.File(run / "predictions.h5") as file:
        group = file["predictions"][name]
        return {key: group[key][()] for key in group}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A finished run of five fixed options, one of options that differ in number, and one that completes text."""
    directory = make_world(tmp_path_factory.mktemp("predict"))
    recipe_in(directory, "run")
    finished(directory, "run")
    write_jsonl(directory / "mixed.jsonl", colour_records(24, 7, options=(2, 5), key="m"))
    own_options = {"prompt": "{thing}\n{choices}\nAnswer:", "choices": "choices", "answer": "answer", "labels": "letters"}
    data = {name: {"path": "mixed.jsonl"} for name in ("train", "test")}
    recipe_in(directory, "mixed", {"task": own_options, "data": {**data, "validation": None, "shifted": []},
                                   "training": {"epochs": 1}})
    finished(directory, "mixed")
    recipe_in(directory, "text", {"task": {"kind": "completion", "prompt": "{thing} is", "answer": "colour",
                                           "choices": None, "labels": None}, "training": {"epochs": 1}})
    return directory


def test_predictions_are_those_of_the_run_and_numpy_gets_the_rest_from_them(place):
    lines = [json.loads(line) for line in output_of(place, "predict", "run", "--data", "test.jsonl").splitlines()]
    test = stored(place / "run", "test")
    members = numpy.exp(test["log_probabilities"].astype(numpy.float64))
    mean = members.mean(axis=0)

    def entropy(p):
        return -(p * numpy.log(p)).sum(axis=-1)

    temperature = metrics_of(place / "run")["datasets"]["test"]["ensemble_temperature_scaled"]["temperature"]
    scaled = mean ** (1 / temperature)
    scaled /= scaled.sum(axis=1, keepdims=True)
    assert [line["id"] for line in lines] == [name.decode() for name in test["example_ids"]]
    for n, line in enumerate(lines):
        assert numpy.allclose(line["members"], members[:, n], rtol=0, atol=1e-6)
        assert numpy.allclose(line["probabilities"], mean[n], rtol=0, atol=1e-6)
        assert line["prediction"] == mean[n].argmax() and line["confidence"] == max(line["probabilities"])
        assert line["label"] == test["labels"][n]
        uncertainty = line["uncertainty"]
        assert uncertainty["total"] == pytest.approx(entropy(mean[n]), abs=1e-6)
        assert uncertainty["aleatoric"] == pytest.approx(entropy(members[:, n]).mean(), abs=1e-6)
        assert uncertainty["epistemic"] == pytest.approx(uncertainty["total"] - uncertainty["aleatoric"], abs=1e-6)
        assert line["calibrated"]["temperature"] == temperature
        assert numpy.allclose(line["calibrated"]["probabilities"], scaled[n], atol=1e-6)
        assert line["calibrated"]["confidence"] == max(line["calibrated"]["probabilities"])


def test_csv_has_the_same_numbers_and_calibrate_takes_both(place):
    lines = [json.loads(line) for line in output_of(place, "predict", "run", "--data", "test.jsonl").splitlines()]
    output_of(place, "predict", "run", "--data", "test.jsonl", "--format", "csv", "--output", "p.csv")
    rows = list(csv.DictReader(io.StringIO((place / "p.csv").read_text())))
    assert [row["option"] for row in rows] == [line["option"] for line in lines]
    for row, line in zip(rows, lines, strict=True):
        assert [float(row[f"p{k}"]) for k in range(5)] == line["probabilities"]
        assert [float(row[f"calibrated_{k}"]) for k in range(5)] == line["calibrated"]["probabilities"]
        assert [[float(row[f"member_{m}_p{k}"]) for k in range(5)] for m in range(3)] == line["members"]
        assert float(row["epistemic"]) == line["uncertainty"]["epistemic"] and int(row["label"]) == line["label"]
    write_jsonl(place / "p.jsonl", lines)
    expected = metrics_of(place / "run")["datasets"]["test"]
    for file, members in (("p.csv", 1), ("p.jsonl", 3)):
        found = json.loads(output_of(place, "calibrate", file, "--format", "json"))
        assert len(found["members"]["each"]) == members
        for metric in ("accuracy", "nll", "brier"):
            assert found["ensemble"][metric] == pytest.approx(expected["ensemble"][metric], rel=1e-6)


def test_records_need_no_answer_and_may_have_options_of_their_own(place):
    records = colour_records(6, 3, options=(2, 5), key="n")
    for record in records:
        del record["answer"]
    records[0]["thing"] = 'a "quoted", comma'
    write_jsonl(place / "new.jsonl", records)
    lines = [json.loads(line) for line in output_of(place, "predict", "mixed", "--data", "new.jsonl").splitlines()]
    assert len({len(line["probabilities"]) for line in lines}) > 1
    for record, line in zip(records, lines, strict=True):
        assert len(line["probabilities"]) == len(record["choices"]) == len(line["members"][0])
        assert sum(line["probabilities"]) == pytest.approx(1, abs=1e-6)
        assert line["option"] == record["choices"][line["prediction"]]
        assert "label" not in line and "calibrated" not in line  # no validation set, no temperature
    rows = list(csv.DictReader(io.StringIO(output_of(place, "predict", "mixed", "--data", "new.jsonl", "--format", "csv"))))
    for line, row in zip(lines, rows, strict=True):
        cells = [row[f"p{k}"] for k in range(5)]
        assert [float(cell) for cell in cells if cell] == line["probabilities"] and row["label"] == "-1"


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_share_the_examples_and_the_answer_is_the_same(place, ranks):
    one = [json.loads(line) for line in output_of(place, "predict", "run", "--data", "test.jsonl").splitlines()]
    shared = [json.loads(line)
              for line in output_of(place, "predict", "run", "--data", "test.jsonl", ranks=ranks).splitlines()]
    assert [line["id"] for line in shared] == [line["id"] for line in one]
    for a, b in zip(one, shared, strict=True):
        assert numpy.allclose(a["members"], b["members"], atol=1e-6)
    alone = json.loads(output_of(place, "evaluate", "run", "--data", "far.jsonl", "--output", f"far{ranks}", "--format",
                                 "json", ranks=ranks))["datasets"]["far"]
    expected = metrics_of(place / "run")["datasets"]["far"]
    assert alone["ensemble"]["nll"] == pytest.approx(expected["ensemble"]["nll"], rel=1e-6)
    for who in ("ensemble", "members_mean"):
        assert alone["detection"][who]["auroc"] == pytest.approx(expected["detection"][who]["auroc"], abs=0.02)


def test_a_run_evaluated_again_is_what_it_was_and_takes_sets_in(place):
    run = shutil.copytree(place / "run", place / "again")
    before = {name: (run / name).read_bytes() for name in ("metrics.json", "predictions.h5")}
    table = output_of(place, "evaluate", "again")
    assert "test set" in table and "ensemble + temperature" in table and "AUROC" in table
    for name, content in before.items():
        assert (run / name).read_bytes() == content
    output_of(place, "evaluate", "again", "--data", "far.jsonl", "--name", "more")
    datasets = metrics_of(run)["datasets"]
    assert list(datasets) == ["far", "more", "test", "validation"]
    assert datasets["more"] == datasets["far"]  # temperatures and detection included
    assert numpy.array_equal(stored(run, "more")["log_probabilities"], stored(run, "far")["log_probabilities"])
    # Its own sets again: the one that came in stays.
    output_of(place, "evaluate", "again")
    assert metrics_of(run)["datasets"] == datasets


def test_results_elsewhere_leave_the_run_alone(place):
    before = checksum(place / "run")
    found = json.loads(output_of(place, "evaluate", "run", "--data", "far.jsonl", "--name", "test", "--output", "out",
                                 "--format", "json"))
    assert checksum(place / "run") == before
    metrics = metrics_of(place / "out")
    assert metrics["datasets"] == found["datasets"] and list(metrics["datasets"]) == ["test"]
    assert metrics["format_version"] == 1 and metrics["members"] == 3 and metrics["step"] == 8
    assert "detection" not in metrics["datasets"]["test"]
    assert numpy.array_equal(stored(place / "out", "test")["log_probabilities"],
                             stored(place / "run", "far")["log_probabilities"])
    assert "already holds metrics.json" in refusal(place, "evaluate", "run", "--output", "out")
    assert "already holds recipe.yaml" in refusal(place, "evaluate", "run", "--output", "mixed")


def test_an_unlabelled_set_gives_uncertainty_alone(place):
    records = colour_records(5, 3, options=5, key="u")
    for record in records:
        del record["colour"]
    write_jsonl(place / "unlabelled.jsonl", records)
    assert "unlabelled.jsonl:1" in refusal(place, "evaluate", "run", "--data", "unlabelled.jsonl", "--output", "u1", code=3)
    found = json.loads(output_of(place, "evaluate", "run", "--data", "unlabelled.jsonl", "--unlabelled", "--output", "u2",
                                 "--format", "json"))["datasets"]["unlabelled"]
    assert found["labelled"] == 0 and "ensemble" not in found and found["uncertainty"]["total"] > 0


def test_a_run_that_is_not_finished_is_read_at_its_checkpoint(place):
    run = shutil.copytree(place / "run", place / "begun")
    for name in ("metrics.json", "predictions.h5", "timings.json"):
        (run / name).unlink()
    before = checksum(run)
    with open(run / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a training process holds it
        done = command(place, "evaluate", "begun", "--data", "far.jsonl", "--format", "json")
        assert done.returncode == 0 and "nothing was written" in done.stderr, done.stderr
        far = json.loads(done.stdout)["datasets"]["far"]
        assert len(output_of(place, "predict", "begun", "--data", "far.jsonl").splitlines()) == 7
    assert checksum(run) == before
    # Temperatures come from the validation set, predicted along with it.
    expected = metrics_of(place / "run")["datasets"]["far"]
    assert far["ensemble_temperature_scaled"] == expected["ensemble_temperature_scaled"]
    shutil.rmtree(run / "checkpoints")
    assert "no valid checkpoint" in refusal(place, "predict", "begun", "--data", "far.jsonl", code=3)


def test_a_finished_run_that_another_process_holds_is_not_written_to(place):
    run = shutil.copytree(place / "run", place / "held")
    with open(run / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = checksum(run)
        assert "held" in refusal(place, "evaluate", "held", "--data", "far.jsonl", "--name", "x")
        output_of(place, "evaluate", "held", "--data", "far.jsonl", "--output", "held_out")
        assert checksum(run) == before


def test_completion_has_perplexities_and_nothing_to_choose(place):
    finished(place, "text")
    expected = metrics_of(place / "text")["datasets"]
    found = json.loads(output_of(place, "evaluate", "text", "--format", "json"))["datasets"]
    assert found == expected
    more = json.loads(output_of(place, "evaluate", "text", "--data", "far.jsonl", "--name", "x", "--format", "json", ranks=2))
    assert more["datasets"]["x"]["ensemble"]["nll"] == pytest.approx(expected["far"]["ensemble"]["nll"], rel=1e-5)
    assert "no choices to predict" in refusal(place, "predict", "text", "--data", "far.jsonl")


@pytest.mark.parametrize(("arguments", "words", "code"), [
    (["predict", "nowhere", "--data", "far.jsonl"], "there is no such run directory", 2),
    (["predict", "model", "--data", "far.jsonl"], "no recipe.yaml", 2),
    (["predict", "--data", "far.jsonl"], "nothing to work with", 2),
    (["predict", "run", "--recipe", "run.yaml", "--data", "far.jsonl"], "Give RUN, or --adapters", 2),
    (["predict", "run", "--data", "none.jsonl"], "none.jsonl", 3),
    (["predict", "run"], "--data is required", 2),
    (["predict", "run", "--data", "far.jsonl", "--base", "elsewhere"], "there is no model 'elsewhere'", 2),
    (["predict", "run", "--data", "far.jsonl", "--output", "no/such/dir"], "no/such/dir", 5),
    (["evaluate", "run", "--name", "x"], "are about --data", 2),
    (["evaluate", "run", "--data", "far.jsonl", "--name", "a/b"], "no name for a data set", 2),
    (["evaluate", "run", "--data", "far.jsonl", "--name", "test"], "a set of the run's own", 2),
    (["evaluate", "run", "--data", "far.jsonl", "--output", "run.yaml"], "is a file", 2),
])
def test_mistakes_are_told_and_change_nothing(place, arguments, words, code):
    before = checksum(place / "run")
    assert words in refusal(place, *arguments, code=code)
    assert checksum(place / "run") == before


def test_another_base_is_refused_wherever_it_stands(place):
    write_model(place / "other", tensors=llama_tensors(seed=9))
    message = refusal(place, "predict", "run", "--data", "far.jsonl", "--base", "other", code=3)
    assert "trained over another base model" in message and "Give the base" in message
    # The same base at another place, from another directory.
    shutil.copytree(place / "model", place / "moved" / "model")
    shutil.copyfile(place / "far.jsonl", place / "moved" / "new.jsonl")
    assert "Give its place by --base" in refusal(place / "moved" / "model", "predict", place / "run", "--data", "x.jsonl")
    lines = output_of(place / "moved", "predict", place / "run", "--base", "model", "--data", "new.jsonl").splitlines()
    assert len(lines) == 7


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_log_has_the_ensembles_own_validation(place, ranks):
    name = f"pooled{ranks}"
    recipe_in(place, name, {"distributed": {"groups": ranks}})
    done = train(place, name, ranks=ranks)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (place / name / "log.jsonl").read_text().splitlines()]
    validations = [line for line in lines if "validation" in line]
    assert len(validations) == 6 and all("pooled_validation" in line for line in validations)
    expected = metrics_of(place / name)["datasets"]["validation"]["ensemble"]
    for line in validations[-3:]:
        assert line["pooled_validation"] == {key: expected[key] for key in ("nll", "accuracy", "ece")}
    assert f"ensemble {expected['nll']:.4f}" in done.stderr
