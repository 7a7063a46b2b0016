"""The decoder against transformers: random Llama checkpoints of every supported shape, logits and log-probabilities."""

import json

import pytest
import torch
from helpers_llama import SMALL, load_llama, random_ids, random_llama, randomise
from helpers_score import score
from transformers import LlamaConfig, LlamaForCausalLM

LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_theta": 10000.0,
}
# The scalings with head_dim 32: llama3 leaves its two fastest pairs, scales the slow ones and blends three between.
MODELS = {
    "untied": {},
    "tied": {"tie_word_embeddings": True},
    "sharded": {"max_shard_size": "150KB"},
    "tied and sharded": {"tie_word_embeddings": True, "max_shard_size": "150KB"},
    "head_dim 24": {"head_dim": 24},
    "one key head": {"num_key_value_heads": 1, "head_dim": 32},
    "no sharing of keys": {"num_key_value_heads": 4},
    "three queries a key": {"hidden_size": 96, "num_attention_heads": 6},
    "rope_theta 500000": {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    "rope_theta 100": {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}},
    "linear scaling": {"rope_parameters": LINEAR, "head_dim": 32},
    "llama3 scaling": {"rope_parameters": LLAMA3, "head_dim": 32},
    "attention bias": {"attention_bias": True},
    "bias everywhere": {"attention_bias": True, "mlp_bias": True},
    "large epsilon": {"rms_norm_eps": 0.1},
    "stored as bfloat16": {"dtype": torch.bfloat16},
    "stored as float16": {"dtype": torch.float16, "tie_word_embeddings": True},
    "one layer": {"num_hidden_layers": 1},
}
# Every length apart from its neighbours: a single token, odd lengths, and positions far beyond llama3's 64.
TEXTS = [random_ids(count, seed) for seed, count in enumerate((1, 2, 7, 33, 64, 200))]


def reference(model, ids):
    """Logits at the last position and log-probabilities of ids[1:], in float32."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    chosen = logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:], dtype=torch.long)[:, None])
    return logits[-1], chosen[:, 0]


def logits_of(result):
    values = torch.full((512,), torch.nan)
    for token, logit in result["top"]:
        values[token] = logit
    assert not values.isnan().any()
    return values


def differences(model, directory, *arguments):
    """Per text: our logits minus transformers', and our log-probabilities minus theirs."""
    results = score(directory, [{"ids": ids} for ids in TEXTS], "--top", "512", *arguments)
    for ids, result in zip(TEXTS, results):
        logits, log_probabilities = reference(model, ids)
        ours = result["log_probabilities"]
        assert result["ids"] == ids and ours[0] is None and len(ours) == len(ids)
        values = [logit for _, logit in result["top"]]
        assert values == sorted(values, reverse=True)
        yield logits_of(result) - logits, torch.tensor(ours[1:]) - log_probabilities


def largest(parts):
    return max((float(part.abs().max()) for part in parts if part.numel() > 0), default=0.0)


def check(model, directory):
    found = list(differences(model, directory))
    logits, log_probabilities = largest(logit for logit, _ in found), largest(text for _, text in found)
    print(f"logits {logits:.1e}, log-probabilities {log_probabilities:.1e}")
    assert logits < 1e-4
    assert log_probabilities < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_scores_equal_transformers(tmp_path, name):
    model = random_llama(tmp_path, seed=len(name), **MODELS[name])
    assert (tmp_path / "model.safetensors.index.json").exists() == ("sharded" in name)
    check(model, tmp_path)


def test_the_scaled_rotations_matter():
    """Guards the cases above: a reader that ignored a scaling would be far away at these positions."""
    def logits(**changes):
        model = randomise(LlamaForCausalLM(LlamaConfig(**(SMALL | {"head_dim": 32} | changes))).eval(), 5)
        return reference(model, TEXTS[-1])[0]

    plain = logits()
    assert (logits(rope_parameters=LINEAR) - plain).abs().max() > 0.01
    assert (logits(rope_parameters=LLAMA3) - plain).abs().max() > 0.01
    # The original context is what tells the pairs apart.
    assert (logits(rope_parameters=LLAMA3 | {"original_max_position_embeddings": 256}) - plain).abs().max() > 0.01


@pytest.mark.parametrize("scaling", [LINEAR, LLAMA3], ids=["linear", "llama3"])
def test_older_spelling_of_the_rotation(tmp_path, scaling):
    """Checkpoints of earlier transformers: rope_theta beside rope_scaling, the kind sometimes under `type`."""
    random_llama(tmp_path, seed=3, head_dim=32)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["rope_parameters"]
    older = {key: value for key, value in scaling.items() if key != "rope_theta"}
    if scaling is LINEAR:
        older["type"] = older.pop("rope_type")
    config |= {"rope_theta": 50000.0, "rope_scaling": older}
    path.write_text(json.dumps(config))
    check(load_llama(tmp_path), tmp_path)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_bfloat16_is_near(tmp_path, tied):
    model = random_llama(tmp_path, seed=9, tie_word_embeddings=tied)
    found = torch.cat([logits for logits, _ in differences(model, tmp_path, "--dtype", "bfloat16")])
    rms = float(found.square().mean().sqrt())
    print(f"rms {rms:.4f} of logits with rms {float(reference(model, TEXTS[-1])[0].square().mean().sqrt()):.2f}")
    # Not exact (it would mean that nothing was rounded), and no more than what 8 bits of mantissa explain.
    assert 1e-4 < rms < 0.15
