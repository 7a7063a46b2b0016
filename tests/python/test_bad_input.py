"""Mistakes and damage through the whole command line: the documented exit code, one clear message with the place and a
remedy, nothing on standard output, and not a byte changed on the disk."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Callable, NamedTuple

import h5py
import numpy
import pytest
from e2e_helpers import (
    LAYERS, checksum, chorale, colour_records, llama_config, llama_tensors, merge, shared, vocabulary, write_jsonl,
    write_model, write_recipe,
)
from message_pattern import check_message
from safetensors.numpy import save_file

RECIPE = {
    "name": "colours",
    "base": {"path": "model"},
    "data": {"train": {"path": "train.jsonl"}},
    "task": {"prompt": "{thing} {note}\n{choices}\nAnswer:", "choices": "choices"},
    "ensemble": {"members": 2},
    "training": {"steps": 2, "batch_size": 4},
    "evaluation": {"bootstrap": 0, "temperature": False},
    "output": {"directory": "run"},
}
RECORDS = colour_records(12, seed=5)


class Case(NamedTuple):
    """A mistake: `prepare` makes it in a directory that has a model, a recipe and data; the rest says what must happen.
    The last phrase is the remedy's."""

    name: str
    code: int
    prepare: Callable[[Path], None]
    arguments: tuple
    phrases: tuple


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What every case starts from; the model is only read."""
    shared("tokenizers/llama3_style_2000.json")
    directory = tmp_path_factory.mktemp("sound")
    write_model(directory / "model")
    write_tiny_gguf(directory / "tiny.gguf")
    return directory


@pytest.fixture
def place(sound, tmp_path):
    (tmp_path / "model").symlink_to(sound / "model")
    (tmp_path / "tiny.gguf").symlink_to(sound / "tiny.gguf")
    write_jsonl(tmp_path / "train.jsonl", RECORDS)
    write_recipe(tmp_path / "r.yaml", RECIPE)
    return tmp_path


def check_refusal(done, code, phrases):
    """One message, made by us, at the end of standard error; returns it."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    before, _, message = done.stderr.rpartition("chorale: error:")
    assert before == "" or before.endswith("\n"), done.stderr
    assert done.stderr.count("chorale: error:") == 1
    for line in before.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?!error)|(training|evaluation|scoring): ", line), line
    for trace in ("terminate called", "what():", "core dumped", "frame #", "Traceback", "bug in chorale", "assert"):
        assert trace not in done.stderr
    assert message.endswith("\n") and len(message) < 1500 and message.replace("\n", "").isprintable(), message
    check_message(message)
    for phrase in phrases:
        assert phrase in message, message
    return message


def prepared(case, place):
    case.prepare(place)
    before = checksum(place)
    done = chorale(*case.arguments, cwd=place)
    message = check_refusal(done, case.code, case.phrases)
    assert checksum(place) == before, sorted(place.rglob("*"))
    return message


# --- Data files, as the training set


def data(name, content, *phrases, changes=None, file="train.jsonl", code=3):
    """A training run on `content` (records, text or bytes) in `file`."""

    def prepare(place):
        if isinstance(content, list):
            write_jsonl(place / file, content)
        else:
            (place / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        write_recipe(place / "r.yaml", merge(merge(RECIPE, {"data": {"train": {"path": file}}}), changes or {}))

    return Case(name, code, prepare, ("train", "r.yaml"), phrases)


def but_second(**changes):
    """The records with other fields in the second; a field that is to be None is left out."""
    second = {key: value for key, value in (RECORDS[1] | changes).items() if value is not None}
    return [RECORDS[0], second, *RECORDS[2:]]


def lines(*second):
    """JSON lines with something else as the second."""
    good = json.dumps(RECORDS[0]).encode()
    return b"\n".join([good, *second, json.dumps(RECORDS[2]).encode()]) + b"\n"


BY_OPTIONS = {"task": {"prompt": "{thing}:", "labels": "options"}}
BY_LIKELIHOOD = {"task": {"prompt": "{thing}:", "scoring": "option_likelihood"}}
COMPLETION = {"task": {"kind": "completion", "prompt": "{thing} is", "answer": "colour", "choices": None}}
CSV = "id,thing,note,choices,answer\n"

DATA = [
    data("a line that is cut off", lines(b'{"thing": "app'), "train.jsonl:2:", "correct this one or remove it"),
    data("a number no double can hold", lines(b'{"thing": 1e999}'), "train.jsonl:2:", "correct this one or remove it"),
    data("100,000 opened lists", lines(b"[" * 100000), "train.jsonl:2", "object"),
    data("a key twice", lines(b'{"thing": "sky", "thing": "sea"}'), "train.jsonl:2:", "thing", "correct this one"),
    data("a list on a line", lines(b"[1, 2]"), "train.jsonl:2:", "array", "line of its own"),
    data("a value over several lines", json.dumps(RECORDS, indent=1), "train.jsonl:1:", "jq -c"),
    data("not UTF-8", lines(b'{"thing": "caf\xe9"}'), "train.jsonl:2:", "0xe9", "Save the file as UTF-8"),
    data("UTF-16", "\ufeff{}".encode("utf-16"), "train.jsonl:1:", "UTF-16", "Save the file as UTF-8"),
    data("an empty file", b"", "train.jsonl", "holds no record", "check that it is the file"),
    data("blank lines only", b"\n \n\n", "train.jsonl", "holds no record", "check that it is the file"),
    data("another extension", RECORDS, "train.txt", "Name it .jsonl", file="train.txt"),
    data("an id twice", but_second(id="c0"), "train.jsonl:2:", "'c0'", "line 1", "Ids must differ"),
    data("an id that is a list", but_second(id=[1]), "train.jsonl:2:", "'id'", "must be a string or a number"),
    data("a field of the prompt is missing", but_second(thing=None), "train.jsonl:2:", "'thing'", "The record has"),
    data("a field of the prompt is a list", but_second(note=[1]), "train.jsonl:2:", "'note'", "needs text"),
    data("an answer that names no option", but_second(answer="purple"), "train.jsonl:2:", "'purple'", "'answer'",
         "Give an index from 0 to 2"),
    data("an answer beyond the options", but_second(answer=3), "train.jsonl:2:", "'3'", "Give an index from 0 to 2"),
    data("no answer", but_second(answer=None), "train.jsonl:2:", "'answer'", "The record has"),
    data("an answer of the wrong type", but_second(answer=1.5), "train.jsonl:2:", "'answer'", "Write an index from 0"),
    data("a single option", but_second(choices=["red"]), "train.jsonl:2:", "'choices'", "Give at least two"),
    data("an option without text", but_second(choices=["red", " "]), "train.jsonl:2:", "option 1", "has no text"),
    data("options that are an object", but_second(choices={"a": 1}), "train.jsonl:2:", "Write a JSON array"),
    data("more options than letters", but_second(choices=[f"x{i}" for i in range(27)]), "train.jsonl:2:", "27",
         "Set task.labels to options"),
    data("options that begin with the same token", but_second(choices=["rose", "red", "roses"]), "train.jsonl:2:",
         "'rose' and 'roses'", "Rename one", changes=BY_OPTIONS),
    data("a prompt without text", but_second(thing=""), "train.jsonl:2:", "prompt is empty", "Fill in its fields",
         changes={"task": {"prompt": "{thing}", "labels": "options"}}),
    data("letters without the options they stand for", RECORDS, "task.labels", "put {choices} into", code=2,
         changes={"task": {"prompt": "{thing}:", "labels": "letters"}}),
    data("a completion without an answer", but_second(colour=None), "train.jsonl:2:", "'colour'", "The record has",
         changes=COMPLETION),
    data("a completion whose answer is empty", but_second(colour=""), "train.jsonl:2:", "Fill it in", changes=COMPLETION),
    data("a record that is too long", but_second(note="x" * 90), "train.jsonl:2:", "data.max_tokens (60)", "Raise it",
         changes={"data": {"max_tokens": 60}}),
    data("all records too long", RECORDS, "all 12 records", "data.max_tokens (5)", "Raise it",
         changes={"data": {"max_tokens": 5, "too_long": "skip"}}),
    data("no room left for the prompt", but_second(choices=["red", "the colour of a clear sky at noon"], answer=0),
         "train.jsonl:2:", "no room for the prompt", "Raise it",
         changes=merge(BY_LIKELIHOOD, {"data": {"max_tokens": 8, "too_long": "truncate_left"}})),
    data("a split that leaves a side empty", RECORDS[:1], "train.jsonl", "leaves one side empty", "Give more records",
         changes={"data": {"validation": {"fraction": 0.5}}}),
    data("a ragged CSV", CSV + "0,sky,n,red|blue,0\n1,sea,n,red\n", "train.csv:3:", "4 fields", "in double quotes",
         file="train.csv"),
    data("a quote that is never closed", CSV + '0,sky,n,red|blue,0\n1,"sea,n,red|blue,0\n', "train.csv:3:",
         "never closed", "Close it", file="train.csv"),
    data("a column twice", "thing,thing\na,b\n", "train.csv:1:", "'thing' twice", "a name of its own", file="train.csv"),
    data("commas in a TSV", CSV + "0,sky,n,red|blue,0\n", "train.tsv:1:", "Name a comma-separated file .csv",
         file="train.tsv"),
]


def other_set(name, section, *phrases):
    """A mistake in a set that is read only after training."""

    def prepare(place):
        write_jsonl(place / "other.jsonl", but_second(id="here", answer="purple"))
        write_recipe(place / "r.yaml", merge(RECIPE, {"data": section}))

    return Case(name, 3, prepare, ("train", "r.yaml"), phrases)


DATA += [
    other_set("a mistake in the test set", {"test": {"path": "other.jsonl"}}, "other.jsonl:2:", "Give an index"),
    other_set("a mistake in the validation set", {"validation": {"path": "other.jsonl"}}, "other.jsonl:2:", "Give an"),
    other_set("a mistake in a labelled shifted set", {"shifted": [{"name": "far", "path": "other.jsonl"}]},
              "other.jsonl:2:", "Give an index"),
]


# --- Model directories


def model(name, damage, *phrases, command="score"):
    """A model directory of its own, damaged, then read by a command."""

    def prepare(place):
        (place / "model").unlink()
        write_model(place / "model")
        damage(place / "model")
        write_jsonl(place / "ids.jsonl", [{"ids": [1, 2, 3]}])
        write_jsonl(place / "text.jsonl", [{"text": "one two"}])

    arguments = {
        "score": ("score", "model", "--data", "ids.jsonl"), "text": ("score", "model", "--data", "text.jsonl"),
        "train": ("train", "r.yaml"), "inspect": ("inspect", "model"),
    }
    return Case(name, 3, prepare, arguments[command], phrases)


def config(**changes):
    """Writes another config.json; a value of None leaves the key out."""
    def damage(directory):
        content = {key: value for key, value in llama_config(**changes).items() if value is not None}
        (directory / "config.json").write_text(json.dumps(content))
    return damage


def tensors(change):
    def damage(directory):
        content = llama_tensors()
        change(content)
        save_file(content, directory / "model.safetensors")
    return damage


def content(name, change):
    """Replaces the bytes of a file by change(bytes); None removes it."""
    def damage(directory):
        path = directory / name
        found = path.read_bytes()
        path.unlink()
        if change(found) is not None:
            path.write_bytes(change(found))
    return damage


def without(name):
    return content(name, lambda found: None)


def header(change):
    """Replaces the JSON header of model.safetensors, its length put right."""
    def damage(found):
        length = struct.unpack("<Q", found[:8])[0]
        text = change(found[8:8 + length])
        return struct.pack("<Q", len(text)) + text + found[8 + length:]
    return content("model.safetensors", damage)


def index(weight_map):
    """Renames the weights to a shard and writes an index over it."""
    def damage(directory):
        (directory / "model.safetensors").rename(directory / "one.safetensors")
        (directory / "model.safetensors.index.json").write_text(json.dumps(weight_map))
    return damage


def tokenizer(change):
    """Edits tokenizer.json as an object."""
    def damage(found):
        read = json.loads(found)
        change(read)
        return json.dumps(read).encode()
    return content("tokenizer.json", damage)


def set_shape(content):
    content["model.layers.1.mlp.up_proj.weight"] = content["model.layers.1.mlp.up_proj.weight"][:-1].copy()


def set_integers(content):
    content["model.norm.weight"] = numpy.ones(32, numpy.int8)


QUERY = "model.layers.1.self_attn.q_proj.weight"
NORM = "model.layers.0.input_layernorm.weight"
FETCH = "etch the model"  # "Fetch it again" or "fetch the model again"

MODELS = [
    model("no config.json", without("config.json"), "model/config.json", "heck the path"),
    model("config.json is cut off", content("config.json", lambda found: found[:40]), "model/config.json", "JSON"),
    model("config.json is a list", content("config.json", lambda found: b"[]"), "model/config.json", FETCH),
    model("another family", config(model_type="mamba"), "config.json", "model_type", "'mamba'", "Choose another model"),
    model("no family", config(model_type=None), "config.json", "model_type", "Choose another model"),
    model("a size that is text", config(hidden_size="32"), "config.json", "'hidden_size'", "Correct it"),
    model("a size that is missing", config(num_hidden_layers=None), "config.json", "'num_hidden_layers'", FETCH),
    model("a size below zero", config(num_attention_heads=-4), "config.json", "number of heads is -4", "damaged"),
    model("heads that do not divide", config(num_key_value_heads=3), "config.json", "do not divide", "damaged"),
    model("a billion layers", config(num_hidden_layers=10**9), "config.json", "number of layers", "damaged"),
    model("a rotation that is unknown", config(rope_scaling={"rope_type": "yarn", "factor": 2.0}), "config.json",
          "'yarn'", "Choose another model"),
    model("more layers than weights", config(num_hidden_layers=LAYERS + 1), "model.layers.2.", "is missing", FETCH),
    model("a vocabulary of another size", config(vocab_size=1999), "model.embed_tokens.weight", "[2000, 32]",
          "[1999, 32]", FETCH),
    model("no weights", without("model.safetensors"), "model", "model.safetensors", "weight files"),
    model("pickled weights", lambda place: (place / "model.safetensors").rename(place / "pytorch_model.bin"), "model",
          "pickled", "save_pretrained"),
    model("a tensor is missing", tensors(lambda content: content.pop(QUERY)), QUERY, "is missing", FETCH),
    model("a tensor has another shape", tensors(set_shape), "model.layers.1.mlp.up_proj.weight", "[47, 32]", "[48, 32]",
          FETCH),
    model("a tensor of integers", tensors(set_integers), "model.norm.weight", "I8", "Save the model in one of these"),
    model("weights cut off in the data", content("model.safetensors", lambda found: found[:-10]), "model.safetensors",
          "fetch it again"),
    model("weights cut off in the header", content("model.safetensors", lambda found: found[:100]), "model.safetensors",
          "fetch it again"),
    model("weights of four bytes", content("model.safetensors", lambda found: found[:4]), "model.safetensors", "again"),
    model("a header of 2^63 bytes", content("model.safetensors", lambda found: b"\xff" * 7 + b"\x7f" + found[8:]),
          "model.safetensors", "fetch it again"),
    model("a header that is no JSON", header(lambda text: b"{" + b"?" * (len(text) - 1)), "model.safetensors", "JSON"),
    model("tensors that overlap", header(lambda text: text.replace(b"[256000,", b"[255999,")),
          "model.safetensors", "fetch it again"),
    model("the index names a missing shard", index({"weight_map": {NORM: "two.safetensors"}}), "two.safetensors",
          "model.safetensors.index.json", FETCH),
    model("the index names a file elsewhere", index({"weight_map": {NORM: "../train.jsonl"}}), "index.json", NORM,
          "source you trust"),
    model("the index names a tensor the shard lacks", index({"weight_map": {"x": "one.safetensors"}}),
          "one.safetensors", "'x'", FETCH),
    model("the index has no map", index({}), "index.json", "weight_map", FETCH),
    model("inspect: a header that is no JSON", header(lambda text: b"[" + text[1:]), "model.safetensors", "again",
          command="inspect"),
    model("no tokenizer", without("tokenizer.json"), "model", "tokenizer.json", "Copy the model's", command="train"),
    model("the tokenizer is cut off", content("tokenizer.json", lambda found: found[:5000]), "tokenizer.json", "JSON",
          command="train"),
    model("a tokenizer of another kind", tokenizer(lambda read: read["model"].update(type="Unigram")), "tokenizer.json",
          "model.type", "Supported", command="text"),
    model("a tokenizer without merges", tokenizer(lambda read: read["model"].pop("merges")), "tokenizer.json",
          "model.merges", "missing", command="train"),
    model("a merge of unknown parts", tokenizer(lambda read: read["model"]["merges"].append("qqq zzz")),
          "tokenizer.json", "model.merges[", "qqq", command="train"),
    model("a token id beyond 32 bits", tokenizer(lambda read: read["model"]["vocab"].update({"qqq": 2**40})),
          "tokenizer.json", "qqq", "outside", command="train"),
    model("a tokenizer larger than the base's vocabulary",
          tokenizer(lambda read: read["model"]["vocab"].update({"Answer": 2000, "Ġblue": 2001})
                    or read["added_tokens"].append({"id": 2002, "content": "apple", "special": False})),
          "2001", "vocabulary", "okenizer", command="train"),
]


# --- GGUF files


def write_tiny_gguf(path):
    """A Llama of two layers as llama.cpp's own package writes it."""
    gguf = pytest.importorskip("gguf")
    found = llama_config()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(found["hidden_size"])
    writer.add_block_count(found["num_hidden_layers"])
    writer.add_feed_forward_length(found["intermediate_size"])
    writer.add_head_count(found["num_attention_heads"])
    writer.add_head_count_kv(found["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary())
    names = {
        "embed_tokens": "token_embd", "norm": "output_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for name, tensor in llama_tensors().items():
        middle = name.removeprefix("model.").removesuffix(".weight")
        layer = re.match(r"layers\.(\d+)\.(.*)", middle)
        prefix, middle = (f"blk.{layer[1]}.", layer[2]) if layer else ("", middle)
        writer.add_tensor(f"{prefix}{names[middle]}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf(name, change, *phrases, command="score"):
    def prepare(place):
        found = (place / "tiny.gguf").read_bytes()
        (place / "bad.gguf").write_bytes(change(found))
        write_jsonl(place / "ids.jsonl", [{"ids": [1, 2, 3]}])

    arguments = ("score", "bad.gguf", "--data", "ids.jsonl") if command == "score" else (command, "bad.gguf")
    return Case("GGUF: " + name, 3, prepare, arguments, ("bad.gguf", *phrases))


def at(offset, value):
    return lambda found: found[:offset] + value + found[offset + len(value):]


def cut_at(fraction):
    return lambda found: found[:int(len(found) * fraction)]


def in_tensor_info(found):
    """Where the type of the first tensor stands: behind its name, its number of dimensions and its dimensions."""
    start = found.index(b"token_embd.weight") + len(b"token_embd.weight")
    return start + 4 + 2 * 8


GGUF = [
    gguf("an empty file", lambda found: b"", "again"),
    gguf("two bytes", lambda found: found[:2], "again"),
    gguf("cut off in the header", lambda found: found[:20], "etch it again"),
    gguf("cut off in the metadata", lambda found: found[:100], "etch it again", command="inspect"),
    gguf("cut off in the list of tensors", lambda found: found[:found.index(b"blk.1.ffn_up")], "etch it again"),
    gguf("cut off in the data", cut_at(0.5), "tensor", "Fetch the file again"),
    gguf("cut off by one byte", lambda found: found[:-33], "tensor", "Fetch the file again", command="inspect"),
    gguf("another magic number", at(0, b"GGML"), "is not a GGUF file", "Name a .gguf file"),
    gguf("a version of the future", at(4, struct.pack("<I", 99)), "version 99", "Convert the model"),
    gguf("version 1", at(4, struct.pack("<I", 1)), "version 1", "Convert the model", command="inspect"),
    gguf("the other byte order", at(4, struct.pack(">I", 3)), "big-endian", "gguf-convert-endian"),
    gguf("2^60 tensors", at(8, struct.pack("<Q", 2**60)), "number of tensors", "again"),
    gguf("2^60 keys", at(16, struct.pack("<Q", 2**60)), "number of metadata keys", "again"),
    gguf("a key of 2^62 bytes", at(24, struct.pack("<Q", 2**62)), "a metadata key", "again"),
    gguf("another architecture", lambda found: found.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0mamba"),
         "mamba", "Choose"),
    gguf("a tensor type that is not read", lambda found: at(in_tensor_info(found), struct.pack("<I", 12))(found),
         "token_embd.weight", "Q4_K", "Convert the model"),
    gguf("a tensor type nobody knows", lambda found: at(in_tensor_info(found), struct.pack("<I", 999))(found),
         "token_embd.weight", "999", "Convert the model"),
    gguf("a tensor beyond the end", lambda found: at(in_tensor_info(found) + 4, struct.pack("<Q", 2**62))(found),
         "token_embd.weight", "again"),
    gguf("a tensor that is missing", lambda found: found.replace(b"blk.1.ffn_up", b"blk.7.ffn_up"), "blk.1.ffn_up",
         "etch the model again"),
]


# --- Scores, runs, and predictions


def score(name, records, *phrases, base="model", file="texts.jsonl", code=3, options=()):
    def prepare(place):
        if isinstance(records, list):
            write_jsonl(place / file, records)
        elif records is not None:
            (place / file).mkdir()

    return Case("score: " + name, code, prepare, ("score", base, "--data", file, *options), phrases)


SCORES = [
    score("an id outside the vocabulary", [{"ids": [1, 2000]}], "texts.jsonl:1:", "2000", "Use ids from 0 to 1999"),
    score("an id below zero", [{"ids": [-1]}], "texts.jsonl:1:", "'ids'", "Mend the record"),
    score("an id beyond 64 bits", [{"ids": [2**64 - 1]}], "texts.jsonl:1:", "'ids'", "Mend the record"),
    score("ids that are text", [{"ids": "1 2"}], "texts.jsonl:1:", "'ids'", "Mend the record"),
    score("no ids at all", [{"ids": []}], "texts.jsonl:1:", "Give at least one token"),
    score("neither text nor ids", [{"prompt": "one"}], "texts.jsonl:1:", "'text'", "'ids'", "Give one of them"),
    score("no data", None, "texts.jsonl", "Check the path"),
    score("a directory of data", (), "texts.jsonl", "is a directory", "Name the data file inside it"),
    score("no model", [{"ids": [1]}], "nowhere", "Give a .gguf file or a Hugging Face", base="nowhere"),
    score("one file of a model", [{"ids": [1]}], "model.safetensors", "Give the directory", base="model/model.safetensors"),
    score("a number format that does not exist", [{"ids": [1]}], "--dtype", "shows how to call it", code=2,
          options=("--dtype", "float7")),
    score("a GPU where there is none", [{"ids": [1]}], "base.device: cuda", "Use auto or cpu", code=2,
          options=("--device", "cuda")),
]


def nothing(place):
    """No preparation: the mistake is in the arguments."""


def run(name, code, arguments, *phrases, prepare=nothing):
    return Case("run: " + name, code, prepare, ("train", "r.yaml", *arguments), phrases)


def earlier_run(place):
    (place / "run").mkdir()
    (place / "run/metrics.json").write_text("{}\n")


RUNS = [
    run("a directory with an earlier run", 2, (), "run already holds a run", "Move it away", prepare=earlier_run),
    run("a directory with a hidden file", 2, ("output.directory=kept",), "kept already holds", "Move it away",
        prepare=lambda place: ((place / "kept").mkdir(), (place / "kept/.note").write_text("mine"))),
    run("the directory is a file", 2, ("output.directory=train.jsonl",), "train.jsonl is a file", "Name another"),
    run("the directory is below a file", 5, ("output.directory=train.jsonl/run",), "train.jsonl/run", "hoose"),
    run("the directory cannot be made", 5, ("output.directory=/proc/chorale",), "/proc/chorale", "irectory"),
    run("a layer the base lacks", 2, ("adapter.layers=[0,2]",), "adapter.layers", "layer 2", "layers 0 to 1"),
    run("a GPU where there is none", 2, ("base.device=cuda",), "base.device: cuda", "Use auto or cpu"),
    run("no training data", 2, ("data.train.path=gone.jsonl",), "data.train.path", "gone.jsonl", "correct the path"),
]


def predictions(name, text, *phrases, file="p.jsonl", code=3):
    def prepare(place):
        (place / file).write_bytes(text if isinstance(text, bytes) else "".join(text).encode())

    return Case("calibrate: " + name, code, prepare, ("calibrate", file, "--bootstrap", "0"), (file, *phrases))


GOOD = '{"label": 0, "probabilities": [0.5, 0.5]}\n'

PREDICTIONS = [
    predictions("a label outside the choices", [GOOD, '{"label": 2, "probabilities": [0.5, 0.5]}\n'], ":2:", "label 2",
                "counted from 0"),
    predictions("a label that is no whole number", [GOOD, '{"label": 0.5, "probabilities": [0.5, 0.5]}\n'], ":2:",
                "label", "index"),
    predictions("probabilities that sum to 1.1", [GOOD, '{"label": 0, "probabilities": [0.5, 0.6]}\n'], ":2:", "sum",
                "1.1"),
    predictions("a probability below zero", [GOOD, '{"label": 0, "probabilities": [1.5, -0.5]}\n'], ":2:", "negative"),
    predictions("mixed kinds", [GOOD, '{"label": 0, "logits": [0.5, 0.5]}\n'], ":2:", "'logits'", "'probabilities'",
                "Write all records the same way"),
    predictions("mixed numbers of choices", [GOOD, '{"label": 0, "probabilities": [0.5, 0.3, 0.2]}\n'], ":2:",
                "3 choices", "Fill shorter rows up"),
    predictions("mixed numbers of members",
                ['{"label": 0, "members": [[0.5, 0.5]]}\n', '{"label": 0, "members": [[0.5, 0.5], [0.5, 0.5]]}\n'],
                ":2:", "members", "same members"),
    predictions("labels here and there", [GOOD, '{"probabilities": [0.5, 0.5]}\n'], ":2:", "'label'", "Give -1"),
    predictions("a name that is nearly right", ['{"label": 0, "probabilites": [0.5, 0.5]}\n'], ":1:",
                "Did you mean 'probabilities'"),
    predictions("not a number in CSV", ["label,p0,p1\n0,0.5,0.5\n1,0.5,half\n"], ":3:", "p1", "not a number",
                file="p.csv"),
    predictions("an unknown extension", [GOOD], "Name it .h5", file="p.npz"),
    predictions("HDF5 that is not", b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "p.h5", file="p.h5"),
]

CASES = [*DATA, *MODELS, *GGUF, *SCORES, *RUNS, *PREDICTIONS]


def test_the_table_is_long_and_its_names_differ():
    assert len(CASES) >= 45
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_sound_directory_trains_and_the_sound_models_score(place):
    """Without this every case below could be refused for the wrong reason."""
    write_jsonl(place / "ids.jsonl", [{"ids": [1, 2, 3]}])
    scores = [chorale("score", base, "--data", "ids.jsonl", cwd=place) for base in ("model", "tiny.gguf")]
    for done in scores:
        assert done.returncode == 0, done.stderr
    first, second = (json.loads(done.stdout)["log_probabilities"][1:] for done in scores)
    assert first != second  # rotated pairs lie differently: the GGUF writer here does not reorder rows
    done = chorale("train", "r.yaml", cwd=place)
    assert done.returncode == 0, done.stderr
    assert (place / "run/metrics.json").exists()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_refused(case, place):
    prepared(case, place)


def test_a_score_that_fails_midway_keeps_what_was_right(place):
    """Results are written as they are known; what stands on standard output is whole lines of earlier texts."""
    write_jsonl(place / "texts.jsonl", [{"ids": [1, 2]}, {"ids": [3]}, {"ids": [1, 2000]}, {"ids": [4]}])
    done = chorale("score", "model", "--data", "texts.jsonl", cwd=place)
    assert done.returncode == 3 and "texts.jsonl:3:" in done.stderr
    assert [json.loads(line)["ids"] for line in done.stdout.splitlines()] == [[1, 2], [3]]


# --- Storage that fails while a run goes on


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few pages, mounted for one test."""
    where = tmp_path / "disk"
    where.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", where], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount program")
    if mounted.returncode != 0:
        pytest.skip(f"no right to mount: {mounted.stderr.strip()}")
    yield where
    subprocess.run(["umount", where], check=True)


def test_a_disk_that_is_full_from_the_start(place, small_disk):
    (small_disk / "filler").write_bytes(b"x" * 12288)
    before = checksum(small_disk)
    done = chorale("train", "r.yaml", "output.directory=disk/run", cwd=place)
    # A directory takes no room of its own here; the first file does.
    check_refusal(done, 5, ("disk/run", "No space left on device", "Free some space"))
    shutil.rmtree(small_disk / "run", ignore_errors=True)
    assert (small_disk / "filler").stat().st_size == 12288 and before


def test_a_disk_that_fills_up_during_the_run(place, small_disk):
    """recipe.yaml and log.jsonl fit; what comes after does not. A reader finds no half-written result."""
    done = chorale("train", "r.yaml", "output.directory=disk/run", cwd=place)
    check_refusal(done, 5, ("disk/run", "No space left on device", "Free some space"))
    names = {path.name for path in (small_disk / "run").iterdir()}
    assert "recipe.yaml" in names
    assert not names & {"metrics.json", "predictions.h5"}
    assert not list((small_disk / "run").rglob("manifest.json"))  # an unfinished checkpoint is none


def test_a_limit_on_the_size_of_files(place):
    """The kernel's own answer to such a write is to kill the program; ours is a message."""
    limit = ["prlimit", "--fsize=1024:1024"]
    if shutil.which("prlimit") is None:
        pytest.skip("no prlimit")
    done = chorale("train", "r.yaml", cwd=place, prefix=limit)
    check_refusal(done, 5, ("run", "File too large", "ulimit -f"))
    assert not (place / "run/metrics.json").exists()


def test_a_disk_that_may_only_be_read(place, small_disk):
    if subprocess.run(["mount", "-o", "remount,ro", small_disk], capture_output=True).returncode != 0:
        pytest.skip("no right to mount for reading alone")
    for directory in ("disk", "disk/run"):
        done = chorale("train", "r.yaml", f"output.directory={directory}", cwd=place)
        check_refusal(done, 5, (directory, "Read-only file system", "hoose another output directory"))


# --- Training that runs away


def predictions_of(run):
    with h5py.File(run / "predictions.h5") as file:
        return {name: group["log_probabilities"][...] for name, group in file["predictions"].items()}


def test_training_that_diverges_with_all_members(place):
    done = chorale("train", "r.yaml", "training.learning_rate=1.0e30", "training.steps=4",
                   "adapter.targets=all_linear", cwd=place)
    message = check_refusal(done, 4, ("diverged", "all members", "Lower training.learning_rate"))
    assert "step" in message
    assert not (place / "run/metrics.json").exists()  # what is there says that the run did not finish
    for line in (place / "run/log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("diverging", [0, 1])
def test_a_member_that_diverges_leaves_the_others_untouched(place, diverging):
    write_recipe(place / "r.yaml", merge(RECIPE, {
        "data": {"test": {"path": "train.jsonl"}, "validation": {"path": "train.jsonl"}}, "training": {"steps": 4},
        "adapter": {"targets": "all_linear"},
    }))
    rates = ["0.01", "0.01"]
    calm = chorale("train", "r.yaml", f"training.learning_rate=[{', '.join(rates)}]", "output.directory=calm", cwd=place)
    assert calm.returncode == 0 and "non-finite" not in calm.stderr
    rates[diverging] = "1.0e30"
    done = chorale("train", "r.yaml", f"training.learning_rate=[{', '.join(rates)}]", cwd=place)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "warning:" in line]
    assert len(warnings) == 1 and f"member {diverging} turned non-finite" in warnings[0], done.stderr
    assert "Lower its learning rate" in warnings[0]
    text = (place / "run/metrics.json").read_text()
    metrics = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    states = metrics["training"]["members"]
    assert [state["diverged"] for state in states] == [m == diverging for m in (0, 1)]
    other = 1 - diverging
    wanted, found = predictions_of(place / "calm"), predictions_of(place / "run")
    for name in wanted:
        assert numpy.array_equal(wanted[name][other], found[name][other]), name
