"""Whole training runs of a tiny model, kind of task by kind of task: what the run directory holds, whether its numbers
agree with each other and with numpy, and what a run must not depend on."""

import itertools
import json
import math
from types import SimpleNamespace

import h5py
import numpy
import pytest
import yaml
from e2e_helpers import COLOURS, chorale, colour_records, merge, shared, write_jsonl, write_model, write_recipe

METRICS = ["accuracy", "nll", "brier", "ece", "mce", "ece_10", "ece_20"]
ROWS = ["ensemble", "ensemble_geometric", "single_temperature_scaled", "ensemble_temperature_scaled"]
STEP_KEYS = {"member", "step", "epoch", "loss", "learning_rate", "gradient_norm", "tokens", "tokens_per_second", "seconds"}
SCORES = {"entropy", "mutual_information", "max_probability"}

RECIPE = {
    "name": "tiny",
    "seed": 7,
    "base": {"path": "model", "device": "cpu"},
    "data": {
        "train": {"path": "train.jsonl"},
        "validation": {"path": "validation.jsonl"},
        "test": {"path": "test.jsonl"},
        "shifted": [
            {"name": "far", "path": "far.jsonl", "labelled": False},
            {"name": "near", "path": "near.jsonl", "limit": 7},
        ],
        "max_tokens": 64,
    },
    "ensemble": {"members": 2},
    "adapter": {"rank": 4, "alpha": 8, "targets": "all_linear"},
    "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.02, "log_every": 2},
    "evaluation": {"batch_size": 5, "bootstrap": 60, "ece_bins": 7},
}
TASKS = {
    "letters": {"prompt": "{thing} {note}\n{choices}\nAnswer:", "choices": "choices"},
    "options": {"prompt": "{thing} {note}\nColour:", "choices": COLOURS, "answer": "colour", "labels": "options"},
    "likelihood": {"prompt": "{thing} is", "choices": "choices", "scoring": "option_likelihood"},
    "completion": {"kind": "completion", "prompt": "{thing} {note} is", "answer": "colour"},
}
CHOICES = [name for name in TASKS if name != "completion"]
SIZES = {"train": 24, "validation": 10, "test": 18, "far": 9, "near": 7}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    shared("tokenizers/llama3_style_2000.json")
    directory = tmp_path_factory.mktemp("world")
    write_model(directory / "model")
    for seed, (name, count) in enumerate(SIZES.items()):
        records = colour_records(count + 2 * (name == "near"), seed, options=(2, 3, 5), key=name)
        if name == "far":  # unlabelled: no answer, or one that is no option
            for i, record in enumerate(records):
                record.update(thing="engine", answer="loud", colour="loud") if i % 2 else record.pop("answer")
                record["colour"] = "loud"
        write_jsonl(directory / f"{name}.jsonl", records)
    return SimpleNamespace(directory=directory, runs={}, numbers=itertools.count())


def load(directory, done):
    """A finished run: its streams and everything in its directory."""
    predictions = {}
    if (directory / "predictions.h5").exists():
        with h5py.File(directory / "predictions.h5") as file:
            for name, group in file["predictions"].items():
                predictions[name] = SimpleNamespace(
                    log_p=group["log_probabilities"][...], labels=group["labels"][...],
                    ids=[value.decode() for value in group["example_ids"][...]],
                )
    text = (directory / "log.jsonl").read_text()
    log = [json.loads(line) for line in text.splitlines()]
    return SimpleNamespace(
        directory=directory, stdout=done.stdout, stderr=done.stderr, predictions=predictions,
        metrics=json.loads((directory / "metrics.json").read_text()),
        recipe=yaml.safe_load((directory / "recipe.yaml").read_text()),
        steps=[line for line in log if "validation" not in line],
        validations=[line for line in log if "validation" in line],
    )


def train(world, task, *arguments, changes=None):
    """The run of a task with changes to its recipe and arguments to the command; each is run once."""
    key = json.dumps([task, arguments, changes])
    if key not in world.runs:
        name = f"{next(world.numbers):02d}"
        recipe = merge({**RECIPE, "task": TASKS[task]}, changes or {})
        write_recipe(world.directory / f"{name}.yaml", merge(recipe, {"output": {"directory": f"runs/{name}"}}))
        done = chorale("train", f"{name}.yaml", *arguments, cwd=world.directory)
        assert done.returncode == 0, done.stderr
        world.runs[key] = load(world.directory / "runs" / name, done)
    return world.runs[key]


def same_bits(first, second):
    return first.keys() == second.keys() and all(
        numpy.array_equal(first[name].log_p, second[name].log_p) and first[name].ids == second[name].ids
        and numpy.array_equal(first[name].labels, second[name].labels) for name in first
    )


# --- numpy's own account of a set of predictions, in float64


def log_mean_exp(log_p):
    return numpy.logaddexp.reduce(log_p, axis=0) - math.log(len(log_p))


def log_softmax(scores):
    return scores - numpy.logaddexp.reduce(scores, axis=-1, keepdims=True)


def calibration_errors(confidence, right, bins):
    """ECE and largest gap, bins (low, high] of equal width."""
    numbers = numpy.clip(numpy.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    ece, largest = 0.0, 0.0
    for b in range(bins):
        inside = numbers == b
        if inside.any():
            gap = abs(confidence[inside].mean() - right[inside].mean())
            ece, largest = ece + inside.mean() * gap, max(largest, gap)
    return ece, largest


def row_of(log_p, labels, bins=7):
    labelled = labels >= 0
    log_p, labels = log_p[labelled], labels[labelled]
    p, rows = numpy.exp(log_p), numpy.arange(len(labels))
    one_hot = numpy.zeros_like(p)
    one_hot[rows, labels] = 1
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    ece, mce = calibration_errors(confidence, right, bins)
    return {
        "accuracy": right.mean(), "nll": -log_p[rows, labels].mean(), "brier": ((p - one_hot) ** 2).sum(axis=1).mean(),
        "ece": ece, "mce": mce, "ece_10": calibration_errors(confidence, right, 10)[0],
        "ece_20": calibration_errors(confidence, right, 20)[0],
    }


def mean_row(rows):
    return {key: float(numpy.mean([row[key] for row in rows])) for key in rows[0]}


def entropy(log_p):
    p = numpy.exp(log_p)
    return -numpy.where(p > 0, p * numpy.where(p > 0, log_p, 0.0), 0.0).sum(axis=-1)


def area(positive, negative):
    """Probability that a positive scores higher, ties counting half: by comparing all pairs."""
    difference = positive[:, None] - negative[None, :]
    return ((difference > 0) + 0.5 * (difference == 0)).mean()


def check_row(found, wanted, name, keys=METRICS):
    for key in keys:
        assert found[key] == pytest.approx(wanted[key], abs=2e-6), (name, key)


# --- The run directory


@pytest.mark.parametrize("task", TASKS)
def test_the_directory_holds_what_is_documented(world, task):
    run = train(world, task)
    documented = {"recipe.yaml", "log.jsonl", "metrics.json", "timings.json", "report.html", "checkpoints", "tensorboard",
                  ".lock"}
    if task != "completion":
        documented.add("predictions.h5")
    assert {path.name for path in run.directory.iterdir()} == documented
    latest = run.directory / "checkpoints" / (run.directory / "checkpoints/LATEST").read_text().strip()
    assert {path.name for path in latest.iterdir()} == {"group_000.h5", "manifest.json"}
    assert run.recipe["task"]["prompt"] == TASKS[task]["prompt"]
    names = ["validation", "test", "far", "near"] if task != "completion" else []
    assert sorted(run.predictions) == sorted(names)
    for name, found in run.predictions.items():
        assert found.log_p.dtype == numpy.float32 and found.labels.dtype == numpy.int32
        assert found.log_p.shape == (2, SIZES[name], 5)
        assert found.ids == [f"{name}{i}" for i in range(SIZES[name])]
    assert run.recipe["training"]["optimiser"]["epsilon"] == 1e-8  # a default, written out


@pytest.mark.parametrize("task", CHOICES)
def test_predictions_are_distributions_over_each_records_options(world, task):
    run = train(world, task)
    for name, found in run.predictions.items():
        records = [json.loads(line) for line in (world.directory / f"{name}.jsonl").read_text().splitlines()]
        assert numpy.allclose(numpy.exp(found.log_p.astype(float)).sum(axis=2), 1, atol=1e-5)
        for i, label in enumerate(found.labels):
            options = COLOURS if task == "options" else records[i]["choices"]
            right = records[i]["colour"]
            assert label == (options.index(right) if right in options else -1)
            assert numpy.isfinite(found.log_p[:, i, :len(options)]).all()
            assert (found.log_p[:, i, len(options):] == -numpy.inf).all()
        assert not numpy.allclose(found.log_p[0], found.log_p[1], atol=1e-3)
    assert (run.predictions["far"].labels == -1).all()


@pytest.mark.parametrize("task", CHOICES)
def test_metrics_agree_with_the_predictions(world, task):
    run = train(world, task)
    validation = run.predictions["validation"]
    for name in ("validation", "test", "near"):
        found, result = run.predictions[name], run.metrics["datasets"][name]
        log_p, labels = found.log_p.astype(numpy.float64), found.labels
        each = [row_of(member, labels) for member in log_p]
        for m in range(2):
            check_row(result["members"]["each"][m], each[m], f"{name}: member {m}")
        check_row(result["members"]["mean"], mean_row(each), f"{name}: mean")
        spread = {key: numpy.std([row[key] for row in each], ddof=1) for key in METRICS}
        check_row(result["members"]["std"], spread, f"{name}: std")
        pooled = log_mean_exp(log_p)
        check_row(result["ensemble"], row_of(pooled, labels), f"{name}: ensemble")
        check_row(result["ensemble_geometric"], row_of(log_softmax(log_p.mean(axis=0)), labels), f"{name}: geometric")
        ensemble = result["ensemble_temperature_scaled"]
        scaled = row_of(log_softmax(pooled / ensemble["temperature"]), labels)
        check_row(ensemble, scaled, f"{name}: ensemble + temperature")
        single = result["single_temperature_scaled"]
        assert single["temperature"] == pytest.approx(numpy.mean(single["temperatures"]))
        scaled = [row_of(log_softmax(log_p[m] / single["temperatures"][m]), labels) for m in range(2)]
        check_row(single, mean_row(scaled), f"{name}: single + temperature")
        parts = result["uncertainty"]
        aleatoric = entropy(log_p).mean()
        assert parts["total"] == pytest.approx(entropy(pooled).mean(), abs=1e-6)
        assert parts["aleatoric"] == pytest.approx(aleatoric, abs=1e-6)
        assert parts["epistemic"] == pytest.approx(parts["total"] - aleatoric, abs=1e-6)
        chosen = log_p.argmax(axis=2)
        assert result["disagreement"] == pytest.approx((chosen[0] != chosen[1]).mean())
        assert (result["examples"], result["labelled"], result["ece_bins"]) == (len(labels), len(labels), 7)
        # No other temperature does better on the validation set.
        pooled = log_mean_exp(validation.log_p.astype(numpy.float64))
        best = ensemble["temperature"]
        nll = [row_of(log_softmax(pooled / t), validation.labels)["nll"] for t in (best, 0.99 * best, 1.01 * best)]
        assert nll[0] == min(nll) or best in (0.01, 1000.0)


@pytest.mark.parametrize("task", CHOICES)
def test_intervals_and_detection(world, task):
    run = train(world, task)
    result = run.metrics["datasets"]["test"]
    assert set(result["intervals"]) == {"members_mean", "change", *ROWS}
    for row, intervals in result["intervals"].items():
        assert set(intervals) == set(METRICS), row
        for low, high in intervals.values():
            assert low <= high
        if row in ROWS:
            for key in ("accuracy", "nll", "brier"):
                assert intervals[key][0] - 1e-9 <= result[row][key] <= intervals[key][1] + 1e-9, (row, key)
    test = run.predictions["test"].log_p.astype(numpy.float64)
    for name in ("far", "near"):
        shifted = run.predictions[name].log_p.astype(numpy.float64)
        detection = run.metrics["datasets"][name]["detection"]
        assert set(detection) == {"ensemble", "members_mean"}
        assert set(detection["ensemble"]["auroc"]) == set(detection["members_mean"]["auroc"]) == SCORES
        pooled = [log_mean_exp(part) for part in (shifted, test)]
        information = [entropy(p) - entropy(all_p).mean(axis=0) for p, all_p in zip(pooled, (shifted, test))]
        wanted = {
            "entropy": area(*map(entropy, pooled)), "max_probability": area(*(-p.max(axis=1) for p in pooled)),
            "mutual_information": area(*information),
        }
        for score, value in wanted.items():
            assert detection["ensemble"]["auroc"][score] == pytest.approx(value, abs=0.02), score  # near ties may turn
        each = numpy.mean([area(entropy(shifted[m]), entropy(test[m])) for m in range(2)])
        assert detection["members_mean"]["auroc"]["entropy"] == pytest.approx(each, abs=0.02)
    far = run.metrics["datasets"]["far"]
    assert "ensemble" not in far and far["labelled"] == 0  # no label: uncertainty and detection only
    assert "detection" not in result


def test_metrics_of_a_completion(world):
    run = train(world, "completion")
    assert sorted(run.metrics["datasets"]) == ["far", "near", "test", "validation"]
    for result in run.metrics["datasets"].values():
        each = [member["nll"] for member in result["members"]["each"]]
        assert len(each) == 2 and result["members"]["mean"]["nll"] == pytest.approx(numpy.mean(each))
        assert result["members"]["std"]["nll"] == pytest.approx(numpy.std(each, ddof=1))
        assert 0 < result["ensemble"]["nll"] <= numpy.mean(each) + 1e-9  # Jensen
        assert result["ensemble"]["perplexity"] == pytest.approx(math.exp(result["ensemble"]["nll"]))
        assert result["tokens"] >= 7
    # A model that never saw loud engines finds them less likely than colours.
    assert run.metrics["datasets"]["far"]["ensemble"]["nll"] > run.metrics["datasets"]["test"]["ensemble"]["nll"]


def leaves(value):
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


@pytest.mark.parametrize("task", TASKS)
def test_data_sets_hold_numbers_alone_and_the_rest_is_there(world, task):
    run = train(world, task)
    metrics = run.metrics
    assert all(value is None or isinstance(value, (int, float)) for value in leaves(metrics["datasets"]))
    text = json.dumps(metrics["datasets"])
    assert "seconds" not in text and "path" not in text
    assert metrics["format_version"] == 1 and metrics["members"] == 2 and metrics["seed"] == 7
    assert len(metrics["base_fingerprint"]) == 64
    assert metrics["training"]["steps"] == 6
    timings = json.loads((run.directory / "timings.json").read_text())
    assert {"loading", "training", "evaluation"} <= set(timings["seconds"])
    assert len(timings["peak_memory_bytes"]) == timings["ranks"] == 1


@pytest.mark.parametrize("task", TASKS)
def test_log(world, task):
    run = train(world, task)
    assert [(line["step"], line["member"]) for line in run.steps] == [(s, m) for s in (2, 4, 6) for m in (0, 1)]
    for line in run.steps:
        assert set(line) >= STEP_KEYS
        assert all(isinstance(value, (int, float)) and math.isfinite(value) for value in line.values())
        assert line["epoch"] == pytest.approx(line["step"] / 3)
        assert line["loss"] > 0 and line["gradient_norm"] > 0 and 0 < line["learning_rate"] <= 0.02
    for member in (0, 1):
        for key in ("tokens", "seconds"):
            course = [line[key] for line in run.steps if line["member"] == member]
            assert course == sorted(course)
    last = {line["member"]: line["tokens"] for line in run.steps}
    assert sum(last.values()) == run.metrics["training"]["tokens"]
    assert [(line["step"], line["member"]) for line in run.validations] == [(s, m) for s in (3, 6) for m in (0, 1)]
    for line in run.validations:
        assert set(line) == {"member", "step", "validation", "pooled_validation"}
        assert set(line["validation"]) == {"nll", "accuracy", "ece"}
    # The last validation looks at the adapters that are evaluated.
    for line in run.validations[2:]:
        final = run.metrics["datasets"]["validation"]["members"]["each"][line["member"]]
        assert line["validation"]["nll"] == pytest.approx(final["nll"], abs=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_streams(world, task):
    run = train(world, task)
    assert max(map(len, run.stdout.splitlines())) <= 80
    assert "test set: tiny" in run.stdout
    for phrase in ("metrics.json", "recipe.yaml", "peak memory"):
        assert phrase in run.stdout.split("\ntime  ")[1]
    if task != "completion":
        nll = run.metrics["datasets"]["test"]["ensemble"]["nll"]
        for row in ("members' mean", "single + temperature", "ensemble ", "ensemble + temperature"):
            assert f"\n{row}" in run.stdout
        assert f"{nll:.3f}" in run.stdout and "far" in run.stdout
    assert "training: 6 steps" in run.stderr and "validation after step 3" in run.stderr
    assert "\033" not in run.stdout + run.stderr


def test_a_learnable_task_is_learnt(world):
    changes = {"training": {"epochs": 12, "log_every": 3}, "evaluation": {"every_epochs": 6, "bootstrap": 0}}
    run = train(world, "options", changes=changes)
    first, last = run.steps[0]["loss"], run.steps[-1]["loss"]
    assert last < 0.5 * first, (first, last)
    assert "intervals" not in run.metrics["datasets"]["test"]


# --- The task, computed a second time from `chorale score`


def score(world, texts):
    """Ids, log-probabilities and logits at the last position of each text under the base."""
    path = write_jsonl(world.directory / "texts.jsonl", [{"text": text} for text in texts])
    done = chorale("score", "model", "--data", path, "--top", "2000", "--quiet", cwd=world.directory)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def prompt_of(task, record):
    shown = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCDE", record["choices"]))
    return TASKS[task]["prompt"].format(**{**record, "choices": shown})


def base_losses(world, task, records):
    """Loss and weight of every record under the base: cross-entropy as the definitions of the tasks say."""
    prompts = [prompt_of(task, record) for record in records]
    scored = score(world, prompts)
    if task == "completion":
        whole = score(world, [f"{prompt} {record['colour']}" for prompt, record in zip(prompts, records)])
        for prompt, full in zip(scored, whole):
            answer = full["log_probabilities"][len(prompt["ids"]):]
            yield -sum(answer), len(answer)
        return
    for text, prompt, record in zip(prompts, scored, records):
        options = COLOURS if task == "options" else record["choices"]
        if task == "likelihood":
            whole = score(world, [f"{text} {option}" for option in options])
            values = [numpy.mean(one["log_probabilities"][len(prompt["ids"]):]) for one in whole]
        else:
            labels = options if task == "options" else "ABCDE"[:len(options)]
            logits = dict(prompt["top"])
            values = [logits[world.first_token[label]] for label in labels]
        yield -log_softmax(numpy.array(values))[options.index(record["colour"])], 1


@pytest.mark.parametrize("task", TASKS)
def test_the_first_step_sees_the_base(world, task):
    """B is zero at first, so that the loss of one step over few records is the base's: `chorale score` knows it too."""
    few = {"data": {"train": {"limit": 6}}, "training": {"epochs": 1, "log_every": 1}, "evaluation": {"bootstrap": 0}}
    run = train(world, task, changes=few)
    records = [json.loads(line) for line in (world.directory / "train.jsonl").read_text().splitlines()][:6]
    labels = [*"ABCDE", *COLOURS]
    scored = score(world, [f" {label}" for label in labels])
    world.first_token = {label: one["ids"][0] for label, one in zip(labels, scored)}
    losses, weights = zip(*base_losses(world, task, records))
    assert len(run.steps) == 2
    for line in run.steps:
        assert line["loss"] == pytest.approx(sum(losses) / sum(weights), abs=2e-5)


# --- What a run depends on, and what not


@pytest.mark.parametrize("task", ["letters", "likelihood"])
def test_the_resolved_recipe_gives_the_same_bits(world, task):
    run = train(world, task)
    again = world.directory / f"again_{task}"
    done = chorale("train", run.directory / "recipe.yaml", f"output.directory={again}", "--quiet", cwd=world.directory)
    assert done.returncode == 0 and done.stderr == ""  # quiet: no progress, nothing to warn of
    second = load(again, done)
    assert same_bits(run.predictions, second.predictions)
    assert run.metrics["datasets"] == second.metrics["datasets"]
    def lines(streams):
        return streams.stdout.split("\ntime  ")[0]
    assert lines(run) == lines(second)
    assert {**second.recipe, "output": None} == {**run.recipe, "output": None}


def test_progress_can_be_switched_off_alone(world):
    run = train(world, "letters", "--no-progress", changes={"data": {"shifted": []}})
    assert "training:" not in run.stderr and "validation after step 6" in run.stderr


def test_overrides_win_and_are_recorded(world):
    run = train(world, "letters", "ensemble.members=1", "data.shifted.1.name=other", "data.test.limit=4",
                "training.steps=3", "training.epochs=null", "evaluation.bootstrap=0")
    assert run.metrics["members"] == 1 and run.metrics["training"]["steps"] == 3
    assert run.predictions["test"].log_p.shape == (1, 4, 5) and "other" in run.predictions
    assert run.recipe["ensemble"]["members"] == 1 and run.recipe["data"]["test"]["limit"] == 4
    result = run.metrics["datasets"]["test"]
    assert result["members"]["std"] is None or set(result["members"]["std"].values()) == {None}
    assert result["ensemble"] == result["members"]["mean"]
    assert result["uncertainty"]["epistemic"] == pytest.approx(0, abs=1e-12) and result["disagreement"] == 0
    assert "\nmodel " in run.stdout


def test_seeds_differ(world):
    first, second = train(world, "letters"), train(world, "letters", "seed=8")
    assert not numpy.allclose(first.predictions["test"].log_p, second.predictions["test"].log_p, atol=1e-3)


def losses(run, member):
    return [line["loss"] for line in run.steps if line["member"] == member]


SLOW = {"training": {"learning_rate": 1e-12, "log_every": 1}}


def test_members_share_the_order_of_the_data_unless_it_varies(world):
    """At next to no learning rate every member is the base, so that the loss of a step shows its batch alone."""
    shared_order = train(world, "letters", "ensemble.vary=[initialisation]", changes=SLOW)
    own_order = train(world, "letters", changes=SLOW)
    assert losses(shared_order, 0) == pytest.approx(losses(shared_order, 1), abs=1e-5)
    assert losses(own_order, 0) == pytest.approx(losses(shared_order, 0), abs=1e-5)  # member 0's is the shared one
    assert max(abs(a - b) for a, b in zip(losses(own_order, 0), losses(own_order, 1))) > 1e-2
    assert numpy.mean(losses(own_order, 0)) == pytest.approx(numpy.mean(losses(own_order, 1)), abs=1e-5)  # same records


def test_initialisation_differs_when_asked_to_and_members_agree_when_nothing_varies(world):
    fast = {"training": {"log_every": 1}}
    run = train(world, "letters", "ensemble.vary=[initialisation]", changes=fast)
    assert losses(run, 0)[0] == pytest.approx(losses(run, 1)[0], abs=1e-5)  # B is zero: step 1 sees the base
    assert losses(run, 0)[-1] != pytest.approx(losses(run, 1)[-1], abs=1e-4)
    equal = train(world, "letters", "ensemble.vary=[]", changes=fast)
    for found in equal.predictions.values():
        assert numpy.allclose(found.log_p[0], found.log_p[1], atol=1e-6, equal_nan=True)
    assert "all members are equal" in equal.stderr


def near(first, second, tolerance):
    """Predictions of the same members, missing options aside."""
    return max(
        numpy.abs(numpy.exp(first[name].log_p.astype(float)) - numpy.exp(second[name].log_p[:2].astype(float))).max()
        for name in first
    ) < tolerance


def test_a_member_does_not_depend_on_its_neighbours(world):
    two, three = train(world, "letters"), train(world, "letters", "ensemble.members=3")
    assert three.predictions["test"].log_p.shape[0] == 3
    assert near(two.predictions, three.predictions, 1e-5)


def test_micro_batches_add_up(world):
    assert near(train(world, "letters").predictions,
                train(world, "letters", "training.micro_batch_size=3").predictions, 1e-4)


@pytest.mark.parametrize("task", ["letters", "likelihood"])
def test_the_cache_changes_no_bit(world, task):
    """Adapters in the upper layer alone, so that the lower one is frozen and its output can be kept."""
    upper = {"adapter": {"layers": [1]}}
    runs = [train(world, task, f"training.prefix_cache={budget}", changes=upper) for budget in ("auto", "off", "10KiB")]
    for run in runs[1:]:
        assert same_bits(runs[0].predictions, run.predictions)
        assert runs[0].metrics["datasets"] == run.metrics["datasets"]
    assert "fits the cache" in runs[2].stderr and "fits the cache" not in runs[0].stderr


def test_all_regularisers_together_and_the_best_adapters_are_restored(world):
    changes = {
        "adapter": {"dropout": 0.2, "scaling": "rank_stabilised"},
        "training": {
            "epochs": 8, "learning_rate": [0.05, 0.02], "weight_decay": {"A": 0.01, "B": 0.1}, "clip_norm": 0.5,
            "regularisers": [{"kind": "kl_to_base", "weight": 0.05, "direction": "base_to_member"}],
            "early_stopping": {"metric": "nll", "patience": 1}, "schedule": {"kind": "constant", "warmup_fraction": 0.0},
        },
    }
    for task in ("letters", "completion"):
        run = train(world, task, changes=changes)
        assert max(line["kl_to_base"] for line in run.steps) > 0
        for m in range(2):
            seen = {line["step"]: line["validation"]["nll"] for line in run.validations if line["member"] == m}
            state = run.metrics["training"]["members"][m]
            assert seen[state["best_step"]] == min(seen.values())
            final = run.metrics["datasets"]["validation"]["members"]["each"][m]["nll"]
            assert final == pytest.approx(min(seen.values()), abs=1e-5)
            rates = {line["learning_rate"] for line in run.steps if line["member"] == m}
            assert rates == {[0.05, 0.02][m]}
        assert not any(state["diverged"] for state in run.metrics["training"]["members"])


def test_without_validation_and_without_test(world):
    run = train(world, "letters", "data.validation=null", "evaluation.temperature=false")
    assert sorted(run.metrics["datasets"]) == ["far", "near", "test"] and run.validations == []
    assert not {"single_temperature_scaled", "ensemble_temperature_scaled"} & set(run.metrics["datasets"]["test"])
    assert run.metrics["training"]["members"][0]["best_step"] is None
    bare = train(world, "letters", "data.validation=null", "data.test=null", "data.shifted=[]")
    assert bare.metrics["datasets"] == {}
    assert "temperature is on" in bare.stderr and max(map(len, bare.stdout.splitlines())) <= 80


def test_a_share_of_the_training_set_can_validate(world):
    run = train(world, "letters", "data.validation={fraction: 0.3}")
    ids = set(run.predictions["validation"].ids)
    assert 0 < len(ids) < 24 and all(name.startswith("train") for name in ids)
    assert run.metrics["training"]["steps"] == 2 * math.ceil((24 - len(ids)) / 8)
