"""Small GGUF files made of Hugging Face directories, as llama.cpp's converter would write them."""

import json
import re

import numpy
import pytest
from safetensors.numpy import load_file

NAMES = {
    "embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def pair_order(weight, heads):
    """Rows of each head from half-split to pair order: what the converter does to q and k."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def add_tokenizer(writer, content, pre, types, **switches):
    """`content`: a tokenizer.json of byte-level BPE. `types`: {token: type}, others are plain."""
    tokens = {id: token for token, id in content["model"]["vocab"].items()}
    kinds = {id: types.get(token, 1) for id, token in tokens.items()}
    for token in content["added_tokens"]:
        tokens[token["id"]] = token["content"]
        kinds[token["id"]] = 3 if token["special"] else 4
    assert sorted(tokens) == list(range(len(tokens)))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([tokens[id] for id in range(len(tokens))])
    writer.add_token_types([kinds[id] for id in range(len(tokens))])
    merges = content["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    for name, value in switches.items():
        getattr(writer, f"add_{name}")(value)


def write_gguf(path, directory, pre=None, types=None, **switches):
    """The model in `directory`; with `pre` also its tokenizer.json, under that pre-tokeniser."""
    gguf = pytest.importorskip("gguf")
    config = json.loads((directory / "config.json").read_text())
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    if pre is not None:
        add_tokenizer(writer, json.loads((directory / "tokenizer.json").read_text(encoding="utf-8")), pre,
                      types or {}, **switches)
    for name, tensor in load_file(directory / "model.safetensors").items():
        middle = name.removeprefix("model.").removesuffix(".weight")
        layer = re.match(r"layers\.(\d+)\.(.*)", middle)
        prefix, middle = (f"blk.{layer[1]}.", layer[2]) if layer else ("", middle)
        if middle in ("self_attn.q_proj", "self_attn.k_proj"):
            tensor = pair_order(tensor, heads if middle.endswith("q_proj") else key_heads)
        writer.add_tensor(f"{prefix}{NAMES[middle]}.weight", numpy.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
