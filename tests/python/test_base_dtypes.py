"""Bases in eight and four bits: scores, training, predictions and exports against weights rounded here, with numpy and torch."""

import json
import math
import shutil
import statistics

import numpy
import pytest
import torch
from e2e_helpers import llama_tensors
from helpers_llama import random_ids, random_llama
from helpers_score import MODEL, score
from runs_helpers import arrays, chorale, finished, latest, log_of, make_world, metrics_of, recipe_in, train
from safetensors.torch import load_file, save_file

FORMATS = ("nf4", "float8")


def nf4_levels():
    """The code book by the paper's construction: quantiles of the normal distribution, over the largest."""
    offset = ((1 - 1 / 30) + (1 - 1 / 32)) / 2
    quantile = statistics.NormalDist().inv_cdf
    above = [quantile(p) for p in numpy.linspace(offset, 0.5, 9)[:-1]]
    below = [-quantile(p) for p in numpy.linspace(offset, 0.5, 8)[:-1]]
    return numpy.sort(numpy.array([*below, 0.0, *above])) / max(above)


def nf4(weight):
    """Every value of a row's 64 replaced by the nearest of all levels times the largest magnitude."""
    levels = nf4_levels()
    rounded = numpy.empty_like(weight)
    for begin in range(0, weight.shape[1], 64):
        block = weight[:, begin:begin + 64]
        largest = numpy.abs(block).max(1, keepdims=True)
        nearest = numpy.abs((block / largest)[:, :, None] - levels).argmin(2)
        rounded[:, begin:begin + 64] = levels[nearest] * largest
    return rounded


def float8(weight):
    """Every row over its largest magnitude times 448, rounded by torch's cast."""
    weight = torch.from_numpy(weight)
    scale = weight.abs().amax(1, keepdim=True) / 448
    return ((weight / scale).to(torch.float8_e4m3fn).to(torch.float32) * scale).numpy()


def rounded_model(directory, target, kind):
    """A copy of the model whose layers' linears are rounded; embedding, head and norms are as they were."""
    shutil.copytree(directory, target)
    tensors = load_file(target / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith("_proj.weight"):
            tensors[name] = torch.from_numpy({"nf4": nf4, "float8": float8}[kind](tensor.numpy()))
    save_file(tensors, target / "model.safetensors")
    return target


@pytest.mark.parametrize("kind", FORMATS)
def test_scores_equal_those_of_weights_rounded_here(tmp_path, kind):
    random_llama(tmp_path / "model", attention_bias=True, tie_word_embeddings=True)
    texts = [{"ids": random_ids(count, count)} for count in (2, 9, 40)]
    rounded = score(rounded_model(tmp_path / "model", tmp_path / "rounded", kind), texts)
    ours = score(tmp_path / "model", texts, "--dtype", kind)
    plain = score(tmp_path / "model", texts)
    for mine, expected, other in zip(ours, rounded, plain):
        found, wanted, original = (numpy.array(line["log_probabilities"][1:]) for line in (mine, expected, other))
        assert numpy.abs(found - wanted).max() < 2e-5
        assert numpy.abs(found - original).max() > 1e-3


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = make_world(tmp_path_factory.mktemp("base_dtypes"))
    for kind in FORMATS:
        rounded_model(directory / "model", directory / f"model_{kind}", kind)
        recipe_in(directory, kind, {"base": {"dtype": kind}})
        finished(directory, kind)
        recipe_in(directory, f"over_{kind}", {"base": {"path": f"model_{kind}"}})
        finished(directory, f"over_{kind}")
    return directory


def adapters(run):
    return {name: value for name, value in arrays(latest(run) / "group_000.h5").items() if name.endswith(("/A", "/B"))}


@pytest.mark.parametrize("kind", FORMATS)
def test_training_and_evaluation_equal_those_over_weights_rounded_here(world, kind):
    ours, expected = adapters(world / kind), adapters(world / f"over_{kind}")
    assert ours.keys() == expected.keys() and len(ours) == 3 * 7 * 2
    for name, value in ours.items():
        assert numpy.abs(value - expected[name]).max() < 2e-4, name
    for mine, other in zip(log_of(world / kind), log_of(world / f"over_{kind}")):
        assert mine.get("loss", 0) == pytest.approx(other.get("loss", 0), abs=1e-4)
    mine, other = (metrics_of(world / name)["datasets"]["test"]["ensemble"]["nll"] for name in (kind, f"over_{kind}"))
    assert mine == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("kind", FORMATS)
def test_predict_and_evaluate_use_the_recipes_dtype(world, kind, tmp_path):
    probabilities = {}
    for name in (kind, f"over_{kind}"):
        done = chorale("predict", name, "--data", "test.jsonl", cwd=world)
        assert done.returncode == 0, done.stderr
        probabilities[name] = [json.loads(line)["members"] for line in done.stdout.splitlines()]
    assert numpy.abs(numpy.subtract(probabilities[kind], probabilities[f"over_{kind}"])).max() < 1e-4
    done = chorale("evaluate", kind, "--data", "test.jsonl", "--name", "again", "--output", tmp_path / "out", cwd=world)
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "out/metrics.json").read_text())["datasets"]["again"]["ensemble"]
    assert again["nll"] == metrics_of(world / kind)["datasets"]["test"]["ensemble"]["nll"]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_fingerprint_is_the_files_and_merging_starts_from_them(world, kind, tmp_path):
    fingerprint = "/@base_fingerprint"
    ours = arrays(latest(world / kind) / "group_000.h5")
    recipe_in(world, "plain", {"training": {"epochs": 1}})
    if not (world / "plain").exists():
        finished(world, "plain")
    assert str(ours[fingerprint]) == str(arrays(latest(world / "plain") / "group_000.h5")[fingerprint])
    done = chorale("export", kind, "--format", "merged", "--output", tmp_path / "merged", cwd=world)
    assert done.returncode == 0, done.stderr
    merged = load_file(tmp_path / "merged/member_001/model.safetensors")
    original = llama_tensors()
    for name, weight in original.items():
        delta = 0.0
        if name.startswith("model.layers.1.") and name.endswith("_proj.weight"):
            at = f"members/001/adapter/{name.removesuffix('.weight')}"
            delta = 2.0 * ours[f"{at}/B"] @ ours[f"{at}/A"]
        assert numpy.abs(merged[name].numpy() - (weight + delta)).max() < 1e-5, name


def test_a_run_goes_on_with_its_own_dtype_alone(world):
    done = train(world, "nf4", "--resume", "base.dtype=float8", "training.epochs=3")
    assert done.returncode == 2 and "base.dtype" in done.stderr
    done = train(world, "nf4", "--resume", "training.recompute=full", "training.epochs=3")
    assert done.returncode == 2 and "training.recompute" in done.stderr


def test_recompute_changes_no_bit_of_a_run(world):
    for recompute in ("light", "full"):
        recipe_in(world, recompute, {"base": {"dtype": "nf4"}, "training": {"recompute": recompute}})
        finished(world, recompute)
        assert (world / recompute / "metrics.json").read_bytes() == (world / "nf4/metrics.json").read_bytes()
        ours, expected = adapters(world / recompute), adapters(world / "nf4")
        assert all(numpy.array_equal(value, expected[name]) for name, value in ours.items())


def planned(world, *overrides):
    done = chorale("plan", "nf4.yaml", "--ranks", "1", "--device", "cpu", "--format", "json", *overrides, cwd=world)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["groups"][0]["per_rank"]["memory_bytes"]


def test_plan_counts_the_codes_and_what_is_kept(world):
    weights = {name: tensor.shape for name, tensor in llama_tensors().items()}
    linears = [shape for name, shape in weights.items() if name.endswith("_proj.weight")]
    norms = sum(4 * shape[0] for name, shape in weights.items() if len(shape) == 1)
    embedding = math.prod(weights["model.embed_tokens.weight"])
    decoded = 2 * 48 * 32 * 4  # gate and up together
    sizes = {
        "nf4": sum(rows * math.ceil(columns / 64) * 36 for rows, columns in linears) + norms + 4 * embedding + decoded,
        "float8": sum(rows * (columns + 4) for rows, columns in linears) + norms + 4 * embedding + decoded,
        "bfloat16": sum(rows * columns * 2 for rows, columns in linears) + norms + 2 * embedding,
        "float32": sum(rows * columns * 4 for rows, columns in linears) + norms + 4 * embedding,
    }
    for kind, expected in sizes.items():
        assert planned(world, f"base.dtype={kind}")["base"] == expected, kind
    kept = {how: planned(world, f"training.recompute={how}", "adapter.layers=all")["activations"]
            for how in ("none", "light", "full")}
    assert kept["light"] < kept["none"] and kept["full"] < kept["none"]


def test_unknown_dtypes_are_refused_with_the_list(world):
    done = chorale("validate", "nf4.yaml", "base.dtype=int4", cwd=world)
    assert done.returncode == 2 and "float32, bfloat16, float8, nf4" in done.stderr
    done = chorale("score", "model", "--data", "test.jsonl", "--dtype", "int4", cwd=world)
    assert done.returncode == 2 and "nf4" in done.stderr


PROSE = (
    "The ferry had left an hour before, and the harbour was quiet except for the ropes, which creaked whenever the water "
    "moved. Anna sat on an upturned crate and read the letter again. Her brother wrote that the house was sold, that the "
    "new owners would come in spring, and that she should take whatever she wanted before then. She tried to remember what "
    "was still there: the clock in the hall, the chairs that nobody liked, her mother's piano with its two broken keys. "
    "None of it would fit into the small flat above the bakery. When the sun went down behind the warehouses, a man came "
    "along the quay and asked whether she was waiting for someone. She said that she was not, folded the letter, and "
    "walked back into the town, where the first lamps had been lit. In the morning she bought a ticket for the early train. "
    "The journey took six hours, and the country outside the window grew flatter and greener the further north they went. "
    "At the station nobody met her. The road to the village was longer than she remembered, but the weather held, and by "
    "noon she stood at the gate and saw that the apple trees had been cut down."
)


def test_what_rounding_costs_a_real_model():
    """The table of core/kernels/README.md."""
    if not MODEL.exists():
        pytest.skip("no model of the quick start")
    lines = {kind: score(MODEL, [{"text": PROSE}], "--dtype", kind)[0]
             for kind in ("float32", "bfloat16", "float8", "nf4")}
    exact = numpy.array(lines["float32"]["log_probabilities"][1:])
    assert len(exact) > 200 and 5 < lines["float32"]["perplexity"] < 60
    found = {}
    for kind, line in lines.items():
        away = numpy.abs(numpy.array(line["log_probabilities"][1:]) - exact)
        found[kind] = (away.max(), away.mean(), line["perplexity"] / lines["float32"]["perplexity"])
        print(f"{kind}: perplexity {line['perplexity']:.3f}, log-probabilities off by {away.mean():.4f} on average, "
              f"{away.max():.3f} at most")
    for kind, mean, ratio in (("bfloat16", 0.05, 1.01), ("float8", 0.2, 1.03), ("nf4", 0.9, 1.3)):
        assert 0 < found[kind][1] < mean, kind
        assert 1 / ratio < found[kind][2] < ratio, kind
    assert found["bfloat16"][1] < found["float8"][1] < found["nf4"][1]
