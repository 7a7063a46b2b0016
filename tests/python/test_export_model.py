"""`chorale export` of a real model in a GGUF file: adapters in PEFT, merged weights and tokenizer in transformers."""

import os

import pytest
import tokenizers
import torch
from e2e_helpers import MODEL, colour_records, merge, write_jsonl
from helpers_export import MEMBERS, QUICK, QUIET, export, largest, log_probabilities, transformers_base
from helpers_llama import random_ids
from helpers_score import score_lines
from peft import PeftModel
from runs_helpers import RECIPE, finished, recipe_in
from test_tokenizer import compare
from tokenizer_texts import random_texts
from transformers import AutoTokenizer

pytestmark = QUIET


def test_a_real_model(tmp_path):
    """SmolLM2 as the quick start has it: two members, trained for two steps on every linear of five layers."""
    if not MODEL.exists():
        pytest.skip(f"{MODEL.name} is absent")
    for name, count in (("train", 8), ("validation", 4), ("test", 4)):
        write_jsonl(tmp_path / f"{name}.jsonl", colour_records(count, 5, options=5, key=name))
    recipe_in(tmp_path, "run", merge(RECIPE, merge(QUICK, {
        "base": {"path": os.path.relpath(MODEL, tmp_path)}, "data": {"shifted": []},
        "adapter": {"layers": [0, 7, 14, 21, 29], "rank": 4, "alpha": 8},
        "training": {"epochs": 1, "batch_size": 4, "learning_rate": 0.002}})))
    finished(tmp_path, "run", timeout=300)
    export(tmp_path, "run", "--output", "adapters", timeout=300)
    export(tmp_path, "run", "--format", "merged", "--members", "1", "--output", "merged", timeout=300)
    texts = [random_ids(24, 3, 49000)]
    lines = score_lines(MODEL, [{"ids": ids} for ids in texts], "--adapters", tmp_path / "adapters")
    base = transformers_base(MODEL)
    plain = [log_probabilities(base, ids) for ids in texts]
    for member in range(MEMBERS):
        ours = [torch.tensor(line["log_probabilities"][1:]) for line in lines[member::MEMBERS]]
        peft = PeftModel.from_pretrained(base, tmp_path / f"adapters/member_{member:03}")
        assert largest(ours, [log_probabilities(peft, ids) for ids in texts]) < 1e-4
        assert largest(ours, plain) > 0.01
        base = peft.unload()
    merged = transformers_base(tmp_path / "merged/member_001")
    assert largest(ours, [log_probabilities(merged, ids) for ids in texts]) < 1e-4
    oracle = tokenizers.Tokenizer.from_file(str(tmp_path / "merged/member_001/tokenizer.json"))
    compare(MODEL, oracle, random_texts(1500, ["<|im_start|>", "<|im_end|>"], seed=3))
    loaded = AutoTokenizer.from_pretrained(tmp_path / "merged/member_001")
    chat = loaded.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "<|im_start|>user\nHi<|im_end|>" in chat
