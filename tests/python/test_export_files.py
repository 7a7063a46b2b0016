"""What `chorale export` writes: configurations, ensemble.json, shards, other types, tokenizers."""

import hashlib
import json
import shutil

import pytest
import tokenizers
import torch
from e2e_helpers import merge, tokenizer_file
from helpers_export import (ALL, QUICK, QUIET, TEXTS, export, exported, largest, log_probabilities, transformers_base,
                            world)
from helpers_gguf import write_gguf
from peft import LoraConfig
from runs_helpers import finished, recipe_in
from safetensors.torch import load_file
from test_tokenizer import compare, young_marks
from tokenizer_texts import random_texts
from transformers import AutoModelForCausalLM, AutoTokenizer

__all__ = ["exported", "world", "young_marks"]  # fixtures
pytestmark = QUIET


def test_files_of_an_adapter(exported):
    base, adapters, _ = exported("rank-stabilised")
    config = json.loads((adapters / "member_000/adapter_config.json").read_text())
    assert config["layers_to_transform"] == [0] and config["use_rslora"] and config["lora_alpha"] == 6
    assert config["target_modules"] == ALL and config["r"] == 6 and config["base_model_name_or_path"] == base.name
    loaded = LoraConfig.from_pretrained(adapters / "member_000")
    assert loaded.task_type == "CAUSAL_LM" and loaded.inference_mode
    fraction = json.loads((exported("a fraction as alpha")[1] / "member_000/adapter_config.json").read_text())
    assert fraction["layers_to_transform"] is None and fraction["lora_alpha"] == 2.75
    assert sorted(path.name for path in (adapters / "member_001").iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert "layers 0" in (adapters / "member_000/README.md").read_text()


def test_the_index_names_hashes_temperatures_and_metrics(world, exported):
    base, adapters, merged = exported("q and v")
    index = json.loads((adapters / "ensemble.json").read_text())
    run = world / adapters.name.removesuffix("_peft")
    metrics = json.loads((run / "metrics.json").read_text())
    assert index["format"] == "chorale-ensemble" and index["format_version"] == 1 and index["kind"] == "peft"
    assert index["pooling"] == "arithmetic" and index["created_by"].startswith("chorale ")
    assert index["base"] == {"path": "tied", "kind": "huggingface", "fingerprint": metrics["base_fingerprint"]}
    assert index["adapter"] == {"kind": "lora", "rank": 3, "alpha": 6.0, "scaling": "standard", "dropout": 0.1,
                                "targets": ["q_proj", "v_proj"], "layers": "all"}
    test = metrics["datasets"]["test"]
    assert index["temperature"] == test["ensemble_temperature_scaled"]["temperature"]
    assert index["metrics"]["test"]["ensemble"] == test["ensemble"]
    assert index["metrics"]["validation"]["members"] == metrics["datasets"]["validation"]["members"]["each"]
    for number, member in enumerate(index["members"]):
        assert member["member"] == number and member["directory"] == f"member_{number:03}"
        assert member["temperature"] == test["single_temperature_scaled"]["temperatures"][number]
        assert set(member["files"]) == {"adapter_config.json", "adapter_model.safetensors"}
        for name, digest in member["files"].items():
            content = (adapters / member["directory"] / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest
    index = json.loads((merged / "ensemble.json").read_text())
    assert index["kind"] == "merged" and index["dtype"] == "float32"
    for member in index["members"]:
        assert set(member["files"]) == {path.name for path in (merged / member["directory"]).iterdir()}


def test_some_members_have_no_metrics_of_the_ensemble(world, exported):
    run = exported("q and v")[1].name.removesuffix("_peft")
    done = export(world, run, "--members", "1", "--output", "second")
    assert done.stdout == "second/member_001\n"
    assert sorted(path.name for path in (world / "second").iterdir()) == ["ensemble.json", "member_001"]
    index = json.loads((world / "second/ensemble.json").read_text())
    assert [member["member"] for member in index["members"]] == [1]
    assert index["temperature"] is None and index["metrics"]["test"]["ensemble"] is None
    whole = json.loads((world / f"{run}_peft/ensemble.json").read_text())
    assert index["members"][0] == whole["members"][1]
    assert index["metrics"]["test"]["members"] == whole["metrics"]["test"]["members"][1:]


def test_a_run_without_metrics_is_exported_with_a_warning(world, exported):
    run = exported("q and v")[1].name.removesuffix("_peft")
    shutil.copytree(world / run, world / "unfinished")
    (world / "unfinished/metrics.json").unlink()
    done = export(world, "unfinished", "--output", "early")
    assert "is not finished" in done.stderr
    index = json.loads((world / "early/ensemble.json").read_text())
    assert index["metrics"] is None and index["temperature"] is None and index["members"][0]["temperature"] is None
    assert (world / "early/member_000/adapter_model.safetensors").read_bytes() == (
        world / f"{run}_peft/member_000/adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("case", ["all linears of all layers", "GGUF"])
def test_other_types_are_the_float32_weights_rounded_once(world, exported, case, dtype):
    merged = exported(case)[2]
    run, output = merged.name.removesuffix("_merged"), f"{merged.name}_{dtype}"
    export(world, run, "--format", "merged", "--dtype", dtype, "--members", "0", "--output", output)
    exact = load_file(merged / "member_000/model.safetensors")
    rounded = load_file(world / output / "member_000/model.safetensors")
    assert exact.keys() == rounded.keys()
    for name, tensor in exact.items():
        assert torch.equal(tensor.to(getattr(torch, dtype)), rounded[name]), name
    assert AutoModelForCausalLM.from_pretrained(world / output / "member_000", dtype="auto").dtype == getattr(torch, dtype)


def test_shards_and_their_index(world, exported):
    merged = exported("all linears of all layers")[2]
    run = merged.name.removesuffix("_merged")
    export(world, run, "--format", "merged", "--shard-size", "20kB", "--output", "sharded")
    directory = world / "sharded/member_001"
    index = json.loads((directory / "model.safetensors.index.json").read_text())
    whole = load_file(merged / "member_001/model.safetensors")
    files = sorted(path.name for path in directory.glob("*.safetensors"))
    assert len(files) > 3 and files == sorted(set(index["weight_map"].values()))
    assert files == [f"model-{i + 1:05}-of-{len(files):05}.safetensors" for i in range(len(files))]
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())
    assert index["weight_map"].keys() == whole.keys()
    for name in files:
        tensors = load_file(directory / name)
        assert sum(tensor.nbytes for tensor in tensors.values()) <= 20_000 or len(tensors) == 1
        assert tensors.keys() == {tensor for tensor, file in index["weight_map"].items() if file == name}
        for tensor, values in tensors.items():
            assert torch.equal(values, whole[tensor])
    model = transformers_base(directory)
    assert largest([log_probabilities(model, TEXTS[2])], [log_probabilities(transformers_base(merged / "member_001"), TEXTS[2])]) == 0.0


def test_companions_of_a_hugging_face_base_come_along(world, exported):
    base, _, merged = exported("q and v")
    run = merged.name.removesuffix("_merged")
    rich = world / "rich"
    shutil.copytree(base, rich)
    config = json.loads((rich / "config.json").read_text()) | {"bos_token_id": 7, "eos_token_id": [8, 9], "pad_token_id": 3}
    (rich / "config.json").write_text(json.dumps(config))
    companions = {
        "generation_config.json": '{"temperature": 0.5, "do_sample": true}', "special_tokens_map.json": "{}",
        "tokenizer_config.json": '{"tokenizer_class": "PreTrainedTokenizerFast"}', "chat_template.jinja": "{{ messages }}",
    }
    for name, text in companions.items():
        (rich / name).write_text(text)
    export(world, run, "--format", "merged", "--base", "rich", "--members", "0", "--output", "companions")
    directory = world / "companions/member_000"
    for name, text in companions.items():
        assert (directory / name).read_text() == text
    assert (directory / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    config = json.loads((directory / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (7, [8, 9], 3)
    for name in ("rope_theta", "rope_scaling", "rope_parameters", "torch_dtype", "dtype", "architectures"):
        assert name in config
    text = AutoTokenizer.from_pretrained(directory).decode(AutoTokenizer.from_pretrained(directory)("A red leaf")["input_ids"])
    assert "red leaf" in text


def test_a_base_without_tokenizer_gives_a_model_without_one(world, exported):
    run = exported("q and v")[2].name.removesuffix("_merged")
    shutil.copytree(world / "tied", world / "mute")
    (world / "mute/tokenizer.json").unlink()
    done = export(world, run, "--format", "merged", "--base", "mute", "--output", "mute_merged")
    assert "holds no tokenizer" in done.stderr
    assert not (world / "mute_merged/member_000/tokenizer.json").exists()


# name: (pre-tokeniser, switches)
# Two tokens of the vocabulary are looked for in the text before all else: one as a control token, one as the user's own.
TYPES = {"re": 3, "al": 4}
TOKENIZERS = {
    "llama-bpe": ("llama-bpe", {}),
    "llama-bpe, no BOS": ("llama-bpe", {"add_bos_token": False, "bos_token_id": 5, "eos_token_id": 6}),
    "qwen2": ("qwen2", {"eos_token_id": 6, "add_eos_token": True}),
    "gpt-2": ("gpt-2", {"add_space_prefix": False}),
    "gpt-2, a space before": ("gpt-2", {"add_space_prefix": True, "bos_token_id": 5, "add_bos_token": True}),
    "smollm": ("smollm", {"bos_token_id": 5, "eos_token_id": 6, "add_bos_token": True, "add_eos_token": True}),
    "smollm, a space before": ("smollm", {"add_space_prefix": True}),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_gguf_vocabulary_becomes_a_tokenizer_with_the_same_ids(world, exported, young_marks, name):
    run = exported("GGUF")[2].name.removesuffix("_merged")
    pre, switches = TOKENIZERS[name]
    if pre == "llama-bpe":
        switches = {"bos_token_id": 7} | switches
    stem = hashlib.sha256(name.encode()).hexdigest()[:8]
    path = write_gguf(world / f"{stem}.gguf", world / "untied", pre, types=TYPES, chat_template="{{ messages[0] }}",
                      **switches)
    export(world, run, "--format", "merged", "--base", path.name, "--members", "0", "--output", stem)
    oracle = tokenizers.Tokenizer.from_file(str(world / stem / "member_000/tokenizer.json"))
    compare(path, oracle, random_texts(1500, list(TYPES), seed=8, avoid=young_marks))
    loaded = AutoTokenizer.from_pretrained(world / stem / "member_000")
    assert loaded("12 naïve cats")["input_ids"] == oracle.encode("12 naïve cats").ids
    assert loaded.chat_template == "{{ messages[0] }}"
    if "eos_token_id" in switches:
        assert loaded.eos_token_id == switches["eos_token_id"]


def test_a_gguf_base_without_a_tokenizer_we_can_write_says_so(world, exported):
    run = exported("GGUF")[2].name.removesuffix("_merged")
    write_gguf(world / "other.gguf", world / "untied", "llama-bpe", bos_token_id=1, add_space_prefix=True)
    write_gguf(world / "none.gguf", world / "untied")
    for name, phrase in (("other", "Take the tokenizer from"), ("none", "tokenizer.ggml")):
        done = export(world, run, "--format", "merged", "--base", f"{name}.gguf", "--output", f"{name}_merged")
        assert "gets no tokenizer files" in done.stderr and phrase in done.stderr
        assert not (world / f"{name}_merged/member_000/tokenizer.json").exists()
        assert (world / f"{name}_merged/member_000/config.json").exists()


def test_serving_engines_limits_are_told(world):
    recipe_in(world, "wide", merge(QUICK, {"adapter": {"rank": 40, "targets": ["q_proj"]}, "training": {"epochs": 1}}))
    finished(world, "wide")
    done = export(world, "wide", "--output", "wide_peft")
    assert "--max-lora-rank 64" in done.stderr
    assert "--max-lora-rank 64" in (world / "wide_peft/member_000/README.md").read_text()
