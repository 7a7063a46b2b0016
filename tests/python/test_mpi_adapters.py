"""`chorale evaluate` and `predict` with adapters that PEFT made: any number of them, of different ranks, targets and
layers, on one rank and on several, give the choices' probabilities that PEFT gives."""

import copy
import json

import h5py
import numpy
import pytest
import torch
from e2e_helpers import BIN, COLOURS, colour_records, tokenizer_file, write_jsonl, write_model, write_recipe
from launched import launched
from peft import LoraConfig, get_peft_model
from runs_helpers import environment, launcher
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT and transformers warn of each other's next versions

ADAPTERS = {
    "small": {"r": 2, "lora_alpha": 5, "target_modules": ["q_proj", "v_proj"]},
    "large": {"r": 7, "lora_alpha": 4, "target_modules": ["up_proj", "o_proj"], "use_rslora": True},
    "low": {"r": 3, "lora_alpha": 9, "target_modules": ["k_proj", "down_proj"], "layers_to_transform": [0]},
    "high": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "gate_proj"], "layers_to_transform": [1]},
}
PROMPT = "{thing} {note}\nColour:"
RECIPE = {
    "name": "brought", "base": {"path": "model", "device": "cpu"},
    "data": {"validation": {"path": "validation.jsonl"}, "test": {"path": "test.jsonl"}, "max_tokens": 64},
    "task": {"prompt": PROMPT, "choices": COLOURS, "answer": "colour", "labels": "options"},
    "evaluation": {"bootstrap": 20},
}


def command(directory, *arguments, ranks=1):
    return launched([*(launcher(ranks, 60) if ranks > 1 else []), BIN, *arguments], timeout=80, cwd=directory,
                    env=environment())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("brought")
    write_model(directory / "model")
    for seed, name in enumerate(("validation", "test")):
        write_jsonl(directory / f"{name}.jsonl", colour_records(11, seed, options=5, key=name))
    write_recipe(directory / "recipe.yaml", RECIPE)
    base = AutoModelForCausalLM.from_pretrained(directory / "model", dtype=torch.float32)
    tokenizer = Tokenizer.from_file(str(tokenizer_file()))
    labels = [tokenizer.encode(" " + colour, add_special_tokens=False).ids[0] for colour in COLOURS]
    expected = []
    for seed, (name, options) in enumerate(ADAPTERS.items()):
        model = get_peft_model(copy.deepcopy(base), LoraConfig(task_type="CAUSAL_LM", **options))
        random = torch.Generator().manual_seed(seed)
        for parameter, values in model.named_parameters():
            if "lora_" in parameter:
                values.data.normal_(0.0, 0.3, generator=random)
        model.save_pretrained(directory / name)
        rows = []
        for record in colour_records(11, 1, options=5, key="test"):
            ids = tokenizer.encode(PROMPT.format(**record)).ids
            with torch.no_grad():
                rows.append(model(torch.tensor([ids])).logits[0, -1, labels].double().log_softmax(-1))
        expected.append(torch.stack(rows))
    return directory, torch.stack(expected).numpy()


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_an_ensemble_of_brought_adapters_gives_what_peft_gives(place, ranks):
    directory, expected = place
    done = command(directory, "evaluate", "--adapters", *ADAPTERS, "--recipe", "recipe.yaml", "--output", f"out{ranks}",
                   ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert "ensemble + temperature" in done.stdout and "test set" in done.stdout
    with h5py.File(directory / f"out{ranks}" / "predictions.h5") as file:
        found = file["predictions/test/log_probabilities"][()]
    assert found.shape == expected.shape == (4, 11, 5)
    assert abs(found - expected).max() < 1e-4
    assert abs(expected - expected[0]).max() > 0.1  # the members differ, so the comparison means something
    metrics = json.loads((directory / f"out{ranks}" / "metrics.json").read_text())
    assert metrics["members"] == 4 and set(metrics["datasets"]) == {"validation", "test"}
    labels = [COLOURS.index(record["colour"]) for record in colour_records(11, 1, options=5, key="test")]
    nll = -numpy.log(numpy.exp(expected).mean(axis=0))[numpy.arange(11), labels].mean()
    assert metrics["datasets"]["test"]["ensemble"]["nll"] == pytest.approx(nll, abs=1e-4)


def test_they_predict_too_and_one_alone_is_what_it_is_among_others(place):
    directory, expected = place
    alone = command(directory, "predict", "--adapters", "large", "--recipe", "recipe.yaml", "--data", "test.jsonl")
    assert alone.returncode == 0, alone.stderr
    for line, row in zip(map(json.loads, alone.stdout.splitlines()), numpy.exp(expected[1]), strict=True):
        assert numpy.allclose(line["members"], [row], atol=1e-4) and line["uncertainty"]["epistemic"] == 0


@pytest.mark.parametrize(("arguments", "words", "code"), [
    (["--adapters", "small"], "needs --recipe", 2),
    (["--recipe", "recipe.yaml"], "nothing to work with", 2),
    (["--adapters", "nowhere", "--recipe", "recipe.yaml"], "nowhere", 3),
    (["--adapters", "model", "--recipe", "recipe.yaml"], "adapter_config.json", 3),
    (["--adapters", "small", "--recipe", "none.yaml"], "none.yaml", 2),
])
def test_mistakes(place, arguments, words, code):
    done = command(place[0], "evaluate", *arguments)
    assert done.returncode == code and words in done.stderr and not done.stdout, done.stderr
