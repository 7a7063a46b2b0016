"""Runs of tiny models over every kind of base, exported both ways, and what the tests of exports compare them by."""

import hashlib
import shutil

import pytest
import torch
from e2e_helpers import chorale, merge, tokenizer_file
from helpers_gguf import write_gguf
from helpers_llama import random_ids, random_llama
from runs_helpers import finished, make_world, recipe_in
from transformers import AutoModelForCausalLM

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MEMBERS = 2
QUIET = pytest.mark.filterwarnings("ignore")  # PEFT and transformers warn of each other's next versions
# Enough training to make every B matter; no validation, no bootstrap.
QUICK = {
    "ensemble": {"members": MEMBERS}, "training": {"learning_rate": 0.05},
    "evaluation": {"bootstrap": 0}, "checkpoint": {"every_steps": 100},
}
# name: (base, adapter)
CASES = {
    "all linears of one layer": ("tied", {}),
    "all linears of all layers": ("untied", {"layers": "all", "rank": 4, "alpha": 8}),
    "q and v": ("tied", {"targets": ["q_proj", "v_proj"], "layers": "all"}),
    "rank-stabilised": ("untied", {"scaling": "rank_stabilised", "rank": 6, "layers": [0]}),
    "a fraction as alpha": ("tied", {"alpha": 2.75, "targets": ["o_proj", "down_proj"], "layers": "all"}),
    "biases": ("biases", {"layers": "all"}),
    "llama3 rotary scaling": ("llama3", {"layers": "all"}),
    "linear rotary scaling": ("linear", {"layers": "all"}),
    "a base in bfloat16 shards": ("shards", {"layers": "all"}),
    "GGUF": ("gguf", {"layers": "all"}),
    "GGUF, a range of layers, rank-stabilised": ("gguf", {"layers": [1], "scaling": "rank_stabilised"}),
}
SHAPE = {
    "vocab_size": 2000, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256,
}
BASES = {
    "tied": {"tie_word_embeddings": True},
    "untied": {},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "llama3": {"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "rope_theta": 5000.0,
                                   "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
    "linear": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}},
    "shards": {"dtype": torch.bfloat16, "max_shard_size": "100KB"},
}
TEXTS = [random_ids(count, seed, 2000) for seed, count in enumerate((2, 11, 60))]


def export(place, *arguments, **options):
    """`chorale export ARGUMENTS` in the directory `place`, which must succeed."""
    done = chorale("export", *arguments, "--no-progress", cwd=place, **options)
    assert done.returncode == 0, done.stderr
    return done


def transformers_base(path):
    """The base as transformers itself reads it, in float32."""
    if path.suffix == ".gguf":
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def log_probabilities(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def largest(one, other):
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data, the bases of BASES and a GGUF file."""
    place = make_world(tmp_path_factory.mktemp("world"))
    for seed, (name, changes) in enumerate(BASES.items()):
        random_llama(place / name, seed=31 + seed, **(SHAPE | changes))
        shutil.copyfile(tokenizer_file(), place / name / "tokenizer.json")
    write_gguf(place / "tiny.gguf", place / "untied", "llama-bpe", bos_token_id=1, eos_token_id=2, add_bos_token=False)
    return place


def base_path(world, name):
    return world / ("tiny.gguf" if name == "gguf" else name)


@pytest.fixture(scope="module")
def exported(world):
    """A function of a case's name: (base, exported adapters, exported models), made when first asked for."""
    made = {}

    def make(name):
        if name not in made:
            base, adapter = CASES[name]
            run = "run_" + hashlib.sha256(name.encode()).hexdigest()[:8]
            path = base_path(world, base)
            recipe_in(world, run, merge(QUICK, {"adapter": adapter, "base": {"path": path.name}}))
            finished(world, run)
            for kind in ("peft", "merged"):
                export(world, run, "--format", kind, "--output", f"{run}_{kind}")
            made[name] = (path, world / f"{run}_peft", world / f"{run}_merged")
        return made[name]

    return make
