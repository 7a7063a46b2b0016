"""The weight readers against the libraries that define the formats: gguf, safetensors and transformers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

SOURCE = Path(os.environ["CHORALE_SOURCE"])
PROBE = Path(os.environ["CHORALE_BIN"]) / "weights_probe"
MODEL = SOURCE / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"
STORIES = SOURCE.parent / "shared/data/stories260k/stories260K.bin"
sys.path.insert(0, str(SOURCE / "tests/support"))
import llama2c  # noqa: E402

torch.set_num_threads(1)  # the models are tiny: more threads would only wait for each other


def stream(command, path):
    """Yields (name, array) for every tensor the probe writes, after the configuration (None, dict) if there is one."""
    with subprocess.Popen([PROBE, command, str(path)], stdout=subprocess.PIPE) as probe:
        while line := probe.stdout.readline():
            header = json.loads(line)
            if "name" not in header or "shape" not in header:
                yield None, header
                continue
            count = int(np.prod(header["shape"]))
            values = np.frombuffer(probe.stdout.read(4 * count), "<f4")
            yield header["name"], values.reshape(header["shape"])
    assert probe.returncode == 0


def read_base(path):
    items = list(stream("base", path))
    assert items[0][0] is None
    return items[0][1], dict(items[1:])


def same_bits(left, right):
    """Equal to the sign of zero; every NaN counts as the same, since conversions may choose its payload."""
    return (
        left.shape == right.shape
        and np.array_equal(left, right, equal_nan=True)
        and np.array_equal(np.signbit(left) & ~np.isnan(left), np.signbit(right) & ~np.isnan(right))
    )


def as_float32(tensor):
    return tensor.detach().to(torch.float32).numpy()


def test_whole_model_equals_the_gguf_package():
    if not MODEL.exists():
        pytest.skip(f"{MODEL.name} is absent; launch/quickstart fetches it")
    reference = {tensor.name: tensor for tensor in gguf.GGUFReader(MODEL).tensors}
    compared = 0
    for name, values in stream("tensors", MODEL):
        tensor = reference.pop(name)
        expected = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(values.shape)
        assert float(np.abs(values - expected).max()) == 0.0, name
        compared += values.size
    assert not reference
    assert compared == 134_515_008


QUANTISED = ["Q4_0", "Q4_1", "Q8_0"]


def test_every_storage_type_equals_the_gguf_package(tmp_path):
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(tmp_path / "types.gguf", "llama")
    writer.add_array("tokens", ["a", "Ġb", "日本"])
    expected = {}
    for kind in QUANTISED + ["F32", "F16", "BF16"]:
        type_ = gguf.GGMLQuantizationType[kind]
        # From far below half precision's smallest subnormal to near its largest value.
        values = (random.standard_normal((5, 96)) * 10.0 ** random.integers(-8, 4, (5, 1))).astype(np.float32)
        packed = gguf.quantize(values, type_)
        expected[kind] = gguf.dequantize(packed, type_).reshape(5, 96)
        writer.add_tensor(kind, packed, raw_dtype=type_ if kind in QUANTISED + ["BF16"] else None)
    doubles = random.standard_normal((2, 7))
    writer.add_tensor("F64", doubles)
    expected["F64"] = doubles.astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = dict(stream("tensors", tmp_path / "types.gguf"))
    assert found.keys() == expected.keys()
    for kind, values in expected.items():
        assert np.array_equal(found[kind], values), kind


def test_safetensors_of_every_float_type_equal_the_package(tmp_path):
    torch.manual_seed(2)
    tensors = {
        f"{kind}".removeprefix("torch."): (torch.randn(3, 4, 5, dtype=torch.float64) * 1e3).to(kind)
        for kind in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    }
    tensors["scalar"] = torch.tensor(1.25)
    tensors["empty"] = torch.zeros(0, 3)
    tensors["special"] = torch.tensor([float("inf"), float("-inf"), float("nan"), -0.0]).half()
    tensors["mask"] = torch.ones(5, dtype=torch.bool)
    path = tmp_path / "types.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    found = dict(stream("tensors", path))
    assert found.keys() == tensors.keys() - {"mask"}
    with safe_open(path, "pt") as reference:
        for name, values in found.items():
            assert same_bits(values, as_float32(reference.get_tensor(name))), name


def small_llama(**changes):
    torch.manual_seed(3)
    shape = {
        "vocab_size": 96,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
    }
    return LlamaForCausalLM(LlamaConfig(**{**shape, **changes}))


CASES = {
    "plain": ({}, torch.float32, "5GB"),
    "tied": ({"tie_word_embeddings": True}, torch.float32, "5GB"),
    "sharded": ({}, torch.float32, "40KB"),
    "sharded tied bfloat16": ({"tie_word_embeddings": True}, torch.bfloat16, "20KB"),
    "half": ({"rms_norm_eps": 1e-5}, torch.float16, "5GB"),
    "biases": ({"attention_bias": True, "mlp_bias": True}, torch.float32, "5GB"),
    "wide heads": ({"head_dim": 16}, torch.float32, "5GB"),
    "llama3": (
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
        torch.float32,
        "5GB",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_directories_saved_by_transformers_are_read_back(case, tmp_path):
    changes, dtype, shard = CASES[case]
    model = small_llama(**changes).to(dtype)
    model.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == case.startswith("sharded")
    config, found = read_base(tmp_path)
    expected = {name: tensor for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del expected["lm_head.weight"]
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert same_bits(found[name], as_float32(tensor)), name
    assert config["vocabulary"] == 96
    assert config["tied_head"] == model.config.tie_word_embeddings
    assert config["head_dim"] == model.config.head_dim
    assert config["rms_epsilon"] == model.config.rms_norm_eps
    rope = model.config.rope_parameters
    assert config["rope_theta"] == rope["rope_theta"]
    assert config["rope_scaling"]["kind"] == {"default": "none"}.get(rope["rope_type"], rope["rope_type"])


def test_older_configuration_keys_mean_the_same(tmp_path):
    small_llama().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    newer, _ = read_base(tmp_path)
    config = json.loads(path.read_text())
    config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps({**config, "rope_theta": 10000.0, "rope_scaling": None}))
    older, _ = read_base(tmp_path)
    assert older == newer


def test_a_model_of_another_family_is_refused(tmp_path):
    small_llama().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "mistral"}))
    result = subprocess.run([PROBE, "base", str(tmp_path)], capture_output=True, text=True)
    assert result.returncode == 3
    assert "mistral" in result.stderr and "config.json" in result.stderr


def test_a_shape_that_contradicts_the_configuration_is_refused(tmp_path):
    small_llama().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "intermediate_size": 64}))
    result = subprocess.run([PROBE, "base", str(tmp_path)], capture_output=True, text=True)
    assert result.returncode == 3
    assert "model.layers.0.mlp.gate_proj.weight" in result.stderr
    assert "[80, 48]" in result.stderr and "[64, 48]" in result.stderr


def pieces_of(path):
    """The 512 pieces of a llama2.c tokenizer file: int32 longest, then float score, int32 length, bytes for each."""
    data = path.read_bytes()
    position, pieces = 4, []
    while position < len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        piece = data[position + 8 : position + 8 + length]
        pieces.append(bytes([int(piece[3:5], 16)]) if piece.startswith(b"<0x") else piece)
        position += 8 + length
    return pieces


def test_a_converted_llama2c_model_is_read_and_tells_its_story(tmp_path):
    if not STORIES.exists():
        pytest.skip("shared/data/stories260k is absent")
    directory = llama2c.convert(STORIES, tmp_path / "stories")
    _, found = read_base(directory)
    assert sum(values.size for values in found.values()) == 260_032
    model = LlamaForCausalLM.from_pretrained(directory)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            assert same_bits(found[name], as_float32(tensor)), name

    with torch.no_grad():
        logits = model(torch.tensor([[1]])).logits[0, -1]
    values, ids = logits.topk(5)
    assert ids.tolist() == [403, 385, 410, 317, 407]
    np.testing.assert_allclose(values, [17.02352, 15.40621, 13.10826, 12.76917, 12.41809], atol=2e-5)

    # Nothing is rotated at position 0; only a longer text shows that the rows of q and k have the right order.
    story = model.generate(torch.tensor([[1]]), do_sample=False, max_new_tokens=200, min_new_tokens=200)[0]
    pieces = pieces_of(STORIES.with_name("tok512.bin"))
    text = b"".join(pieces[token] for token in story[1:].tolist()).decode()
    assert text.strip() == STORIES.with_name("stories260K.golden.txt").read_text().strip()
    with torch.no_grad():
        loss = model(story[None], labels=story[None]).loss
    assert float(loss) == pytest.approx(0.473418, abs=2e-6)


def test_inspect_describes_files_and_directories(tmp_path):
    small_llama().save_pretrained(tmp_path)
    result = subprocess.run([PROBE, "describe", str(tmp_path)], capture_output=True, text=True, check=True)
    described = json.loads(result.stdout)
    assert described["kind"] == "huggingface"
    assert described["config"]["layers"] == 2
    assert described["parameters"] == small_llama().num_parameters()
    assert {"name": "model.norm.weight", "shape": [48], "type": "F32", "bytes": 192} in described["tensors"]
