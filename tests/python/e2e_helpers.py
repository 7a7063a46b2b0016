"""What the end-to-end tests share: a tiny random Llama with a real tokenizer, data made here, and runs of the program."""

import functools
import hashlib
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import numpy
import pytest
import yaml
from safetensors.numpy import save_file

SOURCE = Path(os.environ["CHORALE_SOURCE"])
BIN = Path(os.environ["CHORALE_BIN"]) / "chorale"
SHARED = SOURCE.parent / "shared" / "data"
MODEL = SOURCE / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"

HIDDEN, FEED_FORWARD, LAYERS, HEADS, KEY_HEADS = 32, 48, 2, 4, 2


def chorale(*arguments, cwd=None, timeout=120, **options):
    """Runs the program on one thread and returns what became of it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*options.pop("prefix", []), BIN, *map(str, arguments)], text=True, capture_output=True, cwd=cwd,
        timeout=timeout, env=environment, **options,
    )


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no shared data: {name}")
    return path


def tokenizer_file():
    return shared("tokenizers/llama3_style_2000.json")


@functools.cache
def vocabulary():
    """Ids of the tokenizer, added tokens included."""
    content = json.loads(tokenizer_file().read_text(encoding="utf-8"))
    ids = [*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])]
    return max(ids) + 1


def llama_config(**changes):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "vocab_size": vocabulary(),
        "hidden_size": HIDDEN, "intermediate_size": FEED_FORWARD, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KEY_HEADS, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True,
    } | changes


def llama_tensors(seed=1):
    """Random weights of a size at which attention is neither flat nor saturated, in the names and shapes of a release."""
    draw = numpy.random.default_rng(seed)
    key_rows = HIDDEN // HEADS * KEY_HEADS

    def matrix(rows, columns):
        return draw.normal(0.0, 1.0 / columns**0.5, (rows, columns)).astype(numpy.float32)

    tensors = {"model.embed_tokens.weight": matrix(vocabulary(), HIDDEN), "model.norm.weight": None}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name, rows, columns in (
            ("self_attn.q_proj", HIDDEN, HIDDEN), ("self_attn.k_proj", key_rows, HIDDEN),
            ("self_attn.v_proj", key_rows, HIDDEN), ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", FEED_FORWARD, HIDDEN), ("mlp.up_proj", FEED_FORWARD, HIDDEN),
            ("mlp.down_proj", HIDDEN, FEED_FORWARD),
        ):
            tensors[f"{at}{name}.weight"] = matrix(rows, columns)
        tensors[at + "input_layernorm.weight"] = tensors[at + "post_attention_layernorm.weight"] = None
    ones = numpy.ones(HIDDEN, numpy.float32)
    return {name: ones.copy() if tensor is None else tensor for name, tensor in tensors.items()}


def write_model(directory, config=None, tensors=None):
    """A Hugging Face directory: config.json, model.safetensors, tokenizer.json."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config or llama_config(), indent=1))
    save_file(tensors or llama_tensors(), directory / "model.safetensors")
    shutil.copyfile(tokenizer_file(), directory / "tokenizer.json")
    return directory


def write_jsonl(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


COLOURS = ["red", "green", "blue", "white", "black"]
THINGS = ["apple", "leaf", "sky", "snow", "night", "cherry", "grass", "sea", "cloud", "coal"]


def colour_records(count, seed, options=3, key="c"):
    """Questions a tiny model can learn: the thing decides the colour. `options` is a number, or a pair to draw from."""
    draw = random.Random(seed)
    records = []
    for i in range(count):
        number = options if isinstance(options, int) else draw.choice(options)
        thing = draw.randrange(len(THINGS))
        right = COLOURS[thing % number]
        choices = draw.sample(COLOURS[:number], number)
        records.append({
            "id": f"{key}{i}", "thing": THINGS[thing], "note": f"no. {draw.randrange(100)}", "choices": choices,
            "answer": choices.index(right), "colour": right,
        })
    return records


def merge(base, changes):
    """`changes` over `base`, maps merged key by key."""
    result = dict(base)
    for key, value in changes.items():
        both_maps = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both_maps else value
    return result


def write_recipe(path, recipe):
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def checksum(directory):
    """Of names, contents, permissions and times: any change of the directory shows."""
    digest = hashlib.sha256()
    for path in sorted([directory, *directory.rglob("*")]):
        status = path.stat()
        digest.update(f"{path} {status.st_mode} {status.st_size} {status.st_mtime_ns}\n".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()
