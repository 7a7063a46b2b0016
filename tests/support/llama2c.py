"""Turns a llama2.c legacy .bin file into a Hugging Face Llama directory (config.json and model.safetensors).

    python tests/support/llama2c.py MODEL.bin OUT_DIRECTORY

The file: seven int32 (dim, hidden, layers, heads, kv heads, vocabulary, sequence length; a negative vocabulary means a
separate classifier), then float32 arrays in a fixed order. Its rotary pairs are neighbouring rows of wq and wk, while
Hugging Face pairs row i of a head with row i + half: the rows are permuted here.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def half_split(weight, heads):
    """Rows of each head from pair order (0, 1), (2, 3), ... to all first members, then all second members."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def read_tensors(bin_path):
    """Returns (config, tensors): config.json's content and float32 arrays under Hugging Face names."""
    data = Path(bin_path).read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, context = (int(n) for n in np.frombuffer(data, "<i4", 7))
    separate_head, vocabulary = vocabulary < 0, abs(vocabulary)
    head_dim = dim // heads
    values = np.frombuffer(data, "<f4", offset=28)
    position = 0

    def take(*shape):
        nonlocal position
        count = int(np.prod(shape))
        part = values[position : position + count]
        position += count
        return part.reshape(shape)

    embedding = take(vocabulary, dim)
    stacked = {
        "input_layernorm": take(layers, dim),
        "self_attn.q_proj": take(layers, dim, dim),
        "self_attn.k_proj": take(layers, kv_heads * head_dim, dim),
        "self_attn.v_proj": take(layers, kv_heads * head_dim, dim),
        "self_attn.o_proj": take(layers, dim, dim),
        "post_attention_layernorm": take(layers, dim),
        "mlp.gate_proj": take(layers, hidden, dim),
        "mlp.down_proj": take(layers, dim, hidden),
        "mlp.up_proj": take(layers, hidden, dim),
    }
    norm = take(dim)
    take(2, context, head_dim // 2)  # cosines and sines, which follow from the shape

    tensors = {"model.embed_tokens.weight": embedding, "model.norm.weight": norm}
    for module, array in stacked.items():
        for layer in range(layers):
            weight = array[layer]
            if module == "self_attn.q_proj":
                weight = half_split(weight, heads)
            elif module == "self_attn.k_proj":
                weight = half_split(weight, kv_heads)
            tensors[f"model.layers.{layer}.{module}.weight"] = weight
    if separate_head:
        tensors["lm_head.weight"] = take(vocabulary, dim)
    if position != values.size:
        raise ValueError(f"{bin_path}: {values.size - position} floats are left over")

    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": dim,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": not separate_head,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }
    return config, tensors


def convert(bin_path, out_dir):
    """Writes the directory and returns its path."""
    config, tensors = read_tensors(bin_path)
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(contiguous, str(out / "model.safetensors"), metadata={"format": "pt"})
    return out


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(convert(sys.argv[1], sys.argv[2]))
