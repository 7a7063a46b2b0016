"""Adapters that PEFT trained or saved, under `chorale score --adapters`: the same log-probabilities as PEFT gives."""

import copy
import json
import shutil
import subprocess

import pytest
import torch
from helpers_llama import random_ids, random_llama
from helpers_score import BIN, score_lines
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT and transformers warn of each other's next versions

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TEXTS = [random_ids(count, seed) for seed, count in enumerate((2, 9, 40))]

# name: arguments of LoraConfig
KINDS = {
    "q and v": {"target_modules": ["q_proj", "v_proj"]},
    "every linear": {"target_modules": ALL, "r": 8, "lora_alpha": 4},
    "all-linear": {"target_modules": "all-linear", "r": 3},
    "a regular expression": {"target_modules": r".*layers\.[13]\..*(o|up)_proj"},
    "some layers": {"target_modules": ALL, "layers_to_transform": [1, 2]},
    "one layer": {"target_modules": ["down_proj"], "layers_to_transform": 3, "layers_pattern": "layers"},
    "rank-stabilised": {"target_modules": ["k_proj", "gate_proj"], "r": 6, "lora_alpha": 12, "use_rslora": True},
    "a fraction as alpha": {"target_modules": ["o_proj"], "lora_alpha": 2.75},
    "excluded modules": {"target_modules": ["q_proj", "up_proj"], "exclude_modules": r".*layers\.0\..*"},
    "patterns": {
        "target_modules": ALL, "r": 4, "lora_alpha": 8,
        # The first that matches counts. PEFT saves them sorted, so that another order here would not survive.
        "rank_pattern": {"^model.layers.0.self_attn.q_proj": 5, r"layers\.\d\.mlp\.up_proj": 7, "proj": 9, "q_proj": 2},
        "alpha_pattern": {".*layers.1.self_attn.*": 3, "model.layers.2.mlp.down_proj": 1, "v_proj": 16},
    },
    "patterns, rank-stabilised": {
        "target_modules": ["q_proj", "o_proj"], "use_rslora": True, "rank_pattern": {"layers.1.self_attn.q_proj": 9},
        "alpha_pattern": {"o_proj": 40},
    },
}
DTYPES = {"stored as bfloat16": torch.bfloat16, "stored as float16": torch.float16}


def log_probabilities(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def randomise(model, seed):
    """Factors of a size at which every one of them shows in the log-probabilities."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0.0, 0.2, generator=random)
    return model


def save_adapter(base, directory, seed, **options):
    """A PEFT directory with random factors; returns its path."""
    model = randomise(get_peft_model(copy.deepcopy(base), LoraConfig(task_type="CAUSAL_LM", **options)), seed)
    model.save_pretrained(directory)
    return directory


def stored_as(directory, to, dtype):
    shutil.copytree(directory, to)
    path = to / "adapter_model.safetensors"
    save_file({name: value.to(dtype) for name, value in load_file(path).items()}, path, metadata={"format": "pt"})
    return to


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """(directory, model as transformers reads it)."""
    directory = tmp_path_factory.mktemp("base") / "model"
    return directory, random_llama(directory, seed=3)


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory):
    directory = tmp_path_factory.mktemp("adapters")
    made = {}
    for seed, (name, options) in enumerate(KINDS.items()):
        made[name] = save_adapter(base[1], directory / name.replace(" ", "_"), seed, **options)
    for name, dtype in DTYPES.items():
        made[name] = stored_as(made["every linear"], directory / name.replace(" ", "_"), dtype)
    return made


@pytest.fixture(scope="module")
def ours(base, adapters):
    """{adapter: lines} of one run of the program over all adapters at once."""
    lines = score_lines(base[0], [{"ids": ids} for ids in TEXTS], "--adapters", *adapters.values())
    assert [line["adapter"] for line in lines] == [str(path) for path in adapters.values()] * len(TEXTS)
    return {name: lines[i :: len(adapters)] for i, name in enumerate(adapters)}


@pytest.mark.parametrize("name", [*KINDS, *DTYPES])
def test_log_probabilities_are_those_of_peft(base, adapters, ours, name):
    peft = PeftModel.from_pretrained(copy.deepcopy(base[1]), adapters[name]).eval()
    worst = least = 0.0
    for ids, line in zip(TEXTS, ours[name], strict=True):
        found = torch.tensor(line["log_probabilities"][1:])
        worst = max(worst, float((found - log_probabilities(peft, ids)).abs().max()))
        least = max(least, float((found - log_probabilities(base[1], ids)).abs().max()))
    print(f"log-probabilities {worst:.1e}; from the base {least:.1e}")
    assert worst < 1e-4
    assert least > 0.01


def test_the_base_alone_has_no_adapter_key(base):
    (line,) = score_lines(base[0], [{"ids": TEXTS[1]}])
    assert "adapter" not in line
    found = torch.tensor(line["log_probabilities"][1:])
    assert (found - log_probabilities(base[1], TEXTS[1])).abs().max() < 1e-4


def test_an_adapter_that_peft_trained_is_read_with_its_numbers(base, tmp_path):
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.1, target_modules=ALL)
    torch.manual_seed(4)
    model = get_peft_model(copy.deepcopy(base[1]), config).train()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    ids = torch.tensor([random_ids(24, 77)])
    losses = []
    for _ in range(8):
        loss = model(ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    model.eval().save_pretrained(tmp_path / "trained")
    lines = score_lines(base[0], [{"ids": text} for text in TEXTS], "--adapters", tmp_path / "trained")
    for text, line in zip(TEXTS, lines, strict=True):
        assert (torch.tensor(line["log_probabilities"][1:]) - log_probabilities(model, text)).abs().max() < 1e-4


def failed(base, *arguments, code=3):
    data = base.parent / "one.jsonl"
    data.write_text('{"ids": [1, 2, 3]}\n')
    done = subprocess.run(
        [BIN / "chorale", "score", base, "--data", data, "--no-progress", *arguments], capture_output=True, text=True,
        timeout=120,
    )
    assert done.returncode == code and done.stdout == "", done.stderr
    return done.stderr


def test_mistakes_are_found_before_any_text_is_scored(base, adapters, tmp_path):
    good = adapters["q and v"]
    assert "is no directory" in failed(base[0], "--adapters", good, tmp_path / "absent")
    other = tmp_path / "other"
    save_adapter(random_llama(tmp_path / "wide", hidden_size=96), other, 1, target_modules=["q_proj"])
    assert "probably trained over another base" in failed(base[0], "--adapters", good, other)
    assert "--adapters" in failed(base[0], "--adapters", code=2)


@pytest.mark.parametrize("options, phrase", [
    ({"target_modules": ["q_proj"], "use_dora": True}, "DoRA"),
    ({"target_modules": ["q_proj"], "bias": "lora_only"}, "'bias'"),
    ({"target_modules": ["q_proj"], "bias": "all"}, "'bias'"),
    ({"target_modules": ["q_proj"], "lora_bias": True}, "'lora_bias'"),
    ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, "'modules_to_save'"),
    ({"target_modules": ["q_proj"], "trainable_token_indices": [1, 2]}, "'trainable_token_indices'"),
    ({"target_modules": ["q_proj", "embed_tokens"]}, "adapts the embedding"),
    ({"target_modules": ["q_proj", "lm_head"]}, "adapts 'lm_head'"),
    ({"target_modules": ["q_proj"], "init_lora_weights": "pissa"}, "changes the base's weights"),
    ({"target_modules": ["q_proj"], "init_lora_weights": "olora"}, "changes the base's weights"),
    ({"target_modules": ["q_proj"], "layer_replication": [[0, 3], [2, 4]]}, "repeated layers"),
], ids=str)
def test_what_peft_saves_of_other_kinds_is_refused(tmp_path, options, phrase):
    directory = tmp_path / "model"
    save_adapter(random_llama(directory, attention_bias=True), tmp_path / "adapter", 1, **options)
    message = failed(directory, "--adapters", tmp_path / "adapter")
    assert phrase in message and "adapter_" in message


def test_a_pickled_adapter_is_refused_with_its_conversion(base, tmp_path):
    save_adapter(base[1], tmp_path / "adapter", 1, target_modules=["q_proj"])
    weights = tmp_path / "adapter/adapter_model.safetensors"
    torch.save(load_file(weights), tmp_path / "adapter/adapter_model.bin")
    weights.unlink()
    message = failed(base[0], "--adapters", tmp_path / "adapter")
    assert "pickled" in message
    # The conversion that the message tells, as it stands there.
    code = message[message.index("safetensors.torch.save_file") : message.rindex(")") + 1]
    exec(f"import safetensors.torch, torch, os; os.chdir({str(tmp_path / 'adapter')!r}); {code}")
    assert score_lines(base[0], [{"ids": [1, 2]}], "--adapters", tmp_path / "adapter")


def test_hostile_files_are_refused(base, tmp_path):
    save_adapter(base[1], tmp_path / "good", 1, target_modules=["q_proj"])
    weights = (tmp_path / "good/adapter_model.safetensors").read_bytes()
    config = (tmp_path / "good/adapter_config.json").read_bytes()
    for number, (name, content) in enumerate([
        ("adapter_model.safetensors", weights[:-1]), ("adapter_model.safetensors", weights[:50]),
        ("adapter_model.safetensors", b"\xff" * 8 + weights[8:]), ("adapter_model.safetensors", b""),
        ("adapter_config.json", config[:-3]), ("adapter_config.json", b"[1]"), ("adapter_config.json", b""),
        ("adapter_config.json", b'{"a":' * 5000), ("adapter_config.json", b"\xff\xfe"),
    ]):
        bad = tmp_path / f"bad_{number}"
        shutil.copytree(tmp_path / "good", bad)
        (bad / name).write_bytes(content)
        assert str(bad / name) in failed(base[0], "--adapters", bad)


def test_unknown_keys_are_named_and_ignored(base, tmp_path):
    save_adapter(base[1], tmp_path / "adapter", 1, target_modules=["q_proj"])
    path = tmp_path / "adapter/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_novelty": 7}))
    (tmp_path / "one.jsonl").write_text('{"ids": [1, 2]}\n')
    done = subprocess.run(
        [BIN / "chorale", "score", base[0], "--data", tmp_path / "one.jsonl", "--adapters", tmp_path / "adapter"],
        capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0 and "'use_novelty' (7) is not known here and is ignored" in done.stderr
