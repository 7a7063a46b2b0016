"""launch/ERRORS.md, entry by entry: the mistake is made, its command called as the page shows it, and what comes is what the
page says, word for word. An entry without a preparation here fails, and so does a preparation without an entry."""

import gzip
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import h5py
import numpy
import pytest
from e2e_helpers import (
    BIN, SOURCE, colour_records, llama_config, llama_tensors, merge, shared, write_jsonl, write_model, write_recipe,
)
from message_pattern import check_message, remedy_in
from safetensors.numpy import save_file

PAGE = SOURCE / "launch/ERRORS.md"
RECIPE = {
    "name": "colours",
    "base": {"path": "model"},
    "data": {"train": {"path": "train.jsonl"}},
    "task": {"prompt": "{thing} {note}\n{choices}\nAnswer:", "choices": "choices", "answer": "answer"},
    "ensemble": {"members": 2},
    "training": {"steps": 2, "batch_size": 4},
    "evaluation": {"bootstrap": 0, "temperature": False},
    "output": {"directory": "runs/colours"},
}
RECORDS = colour_records(12, seed=5)
ENVIRONMENT = {
    **os.environ, "PATH": f"{BIN.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}
MOVED_ENVIRONMENT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")


# --- The page


def entries():
    """{title: (exit code, command, what is printed, words before it, words behind it)}"""
    found = {}
    for part in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        body = body.split("\n## ")[0]
        blocks = re.findall(r"```\n\$ (.*?)\n(.*?)```", body, re.DOTALL)
        assert len(blocks) == 1, f"{title}: an entry has one example, a command and what it prints"
        before, _, behind = re.sub(r"```.*?```", "\0", body, flags=re.DOTALL).partition("\0")
        code = re.search(r"Exit code (\d+)\.", before)
        assert code, f"{title}: the exit code is missing"
        assert title not in found, title
        found[title] = (int(code[1]), blocks[0][0], blocks[0][1].strip(), before.strip(), behind.strip())
    return found


def as_pattern(printed):
    """What the page prints, `...` standing for anything that differs between machines; lines may break elsewhere."""
    printed = " ".join(printed.split())
    return "".join(re.escape(part) if part != "..." else ".*" for part in re.split(r"(\.\.\.)", printed))


# --- Preparations: each is handed a directory with a model, a recipe and data


def nothing(place):
    """The mistake is in the command."""


def file(name, content):
    def prepare(place):
        (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return prepare


def records(change, name="train.jsonl"):
    """The training records, the second one changed."""
    def prepare(place):
        second = {key: value for key, value in (RECORDS[1] | change).items() if value is not None}
        write_jsonl(place / name, [RECORDS[0], second, *RECORDS[2:]])
    return prepare


def recipe(changes):
    return lambda place: write_recipe(place / "r.yaml", merge(RECIPE, changes))


def both(*parts):
    def prepare(place):
        for part in parts:
            part(place)
    return prepare


def model(change):
    """A model directory of its own, changed."""
    def prepare(place):
        (place / "model").unlink()
        write_model(place / "model")
        change(place / "model")
    return prepare


def without(name):
    return model(lambda directory: (directory / name).unlink())


def config(**changes):
    return model(lambda directory: (directory / "config.json").write_text(json.dumps(llama_config(**changes))))


def adapter(directory):
    (directory / "config.json").unlink()
    (directory / "adapter_config.json").write_text("{}")


def gguf_of_another_architecture(place):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(place / "model.gguf", "mamba")
    writer.add_block_count(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def cut_off(directory):
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def run(place):
    """A finished run in runs/colours."""
    shutil.copytree(place / "finished", place / "runs/colours", symlinks=True)


def newest_checkpoint(place):
    return sorted((place / "runs/colours/checkpoints").glob("step_*"))[-1]


def newer_manifest(place):
    run(place)
    path = newest_checkpoint(place) / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 2').replace(
        '"format_version":1', '"format_version":2'))
    assert "2" in re.search(r'"format_version": ?(\d)', path.read_text())[1]


def newer_predictions(place):
    run(place)
    (place / "runs/colours/predictions.h5").unlink()
    shutil.copy(place / "finished/predictions.h5", place / "runs/colours/predictions.h5")
    with h5py.File(place / "runs/colours/predictions.h5", "r+") as opened:
        opened.attrs["format_version"] = 9


def newer_metrics(place):
    run(place)
    path = place / "runs/colours/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 2}))


def no_checkpoint(place):
    run(place)
    shutil.rmtree(place / "runs/colours/checkpoints")


def growing(place):
    """Members are on their way into the run."""
    run(place)
    (place / "runs/colours/growth").mkdir()
    stored = (place / "runs/colours/recipe.yaml").read_text()
    (place / "runs/colours/growth/recipe.yaml").write_text(stored.replace("members: 2", "members: 4"))


def older_checkpoint(place):
    """The checkpoint of the step before the last one is the newest."""
    shell("chorale train r.yaml checkpoint.every_steps=1", place)
    shutil.rmtree(newest_checkpoint(place))


def damaged_predictions(place):
    run(place)
    path = place / "runs/colours/predictions.h5"
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def held(place):
    """Another process writes the run: one that stopped in the middle of a training of many steps."""
    process = subprocess.Popen(
        ["chorale", "train", "r.yaml", "training.steps=100000"], cwd=place, env=ENVIRONMENT, executable=BIN,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        if (place / "runs/colours/log.jsonl").exists():
            break
        time.sleep(0.05)
    return process


def another_base(place):
    run(place)
    (place / "model").unlink()
    write_model(place / "model", tensors=llama_tensors(seed=2))


def adapter_at(directory="mine", inputs=32, dropped=None, **config):
    """Queries of the first layer, as PEFT saves them; `config` over what it says of itself."""
    def prepare(place):
        place.joinpath(directory).mkdir()
        stated = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none"} | config
        (place / directory / "adapter_config.json").write_text(json.dumps(stated))
        start = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
        factors = {"A": numpy.ones((2, inputs), numpy.float32), "B": numpy.ones((32, 2), numpy.float32)}
        save_file({f"{start}{name}.weight": values for name, values in factors.items() if name != dropped},
                  place / directory / "adapter_model.safetensors", metadata={"format": "pt"})
    return prepare


def nested_adapter(place):
    (place / "mine").mkdir()
    adapter_at("mine/first")(place)


def pickled_adapter(place):
    adapter_at()(place)
    (place / "mine/adapter_model.safetensors").rename(place / "mine/adapter_model.bin")


def exported_and_changed(place):
    run(place)
    assert shell("chorale export runs/colours --output exported", place).returncode == 0
    with open(place / "exported/member_001/adapter_config.json", "a") as opened:
        opened.write("\n")


def taken_output(place):
    run(place)
    (place / "mine").mkdir()
    (place / "mine/notes.txt").write_text("mine")


def small_disk(place):
    (place / "disk").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", place / "disk"], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small disk")
    return lambda: subprocess.run(["umount", place / "disk"], check=True)


# --- Entries that need more than the command as it stands


def shell(command, cwd, timeout=100, **environment):
    return subprocess.run(["bash", "-c", command], cwd=cwd, env={**ENVIRONMENT, **environment}, text=True,
                          capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL)


def as_root_without_consent(command, place):
    if os.geteuid() != 0:
        pytest.skip("only root is refused by mpirun")
    environment = {key: value for key, value in ENVIRONMENT.items() if key not in MOVED_ENVIRONMENT}
    return subprocess.run(["bash", "-c", command], cwd=place, env=environment, text=True, capture_output=True, timeout=60)


def under_srun(command, place):
    """As srun starts a task where MPI and Slurm do not know each other."""
    return shell(command, place, SLURM_STEP_NUM_TASKS="4", SLURM_PROCID="0")


def little_memory(command, place):
    """A limit on the process' own data stands for a machine that is full: the allocator gets the same answer."""
    if shutil.which("prlimit") is None:
        pytest.skip("no prlimit")
    return shell(f"prlimit --data=600000000 {command}", place)


def large_shape(place):
    """The shape of a model of 70 G weights, without them."""
    (place / "shape").mkdir()
    (place / "shape/config.json").write_text(json.dumps({
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0, "tie_word_embeddings": False}))


def torch_upgraded(command, place):
    """Another version of torch's libraries: the one function that says their version is replaced by one that says 2.12."""
    source = place / "version.cpp"
    source.write_text(
        '#include <map>\n#include <string>\nnamespace caffe2 {\nconst std::map<std::string, std::string>& '
        'GetBuildOptions() {\n  static const std::map<std::string, std::string> all = {{"TORCH_VERSION", "2.12.0"}};\n'
        '  return all;\n}\n}\n')
    built = subprocess.run(["c++", "-shared", "-fPIC", "-o", place / "version.so", source], capture_output=True, text=True)
    if built.returncode != 0:
        pytest.skip("no compiler")
    return shell(command, place, LD_PRELOAD=str(place / "version.so"))


def torch_removed(command, place):
    """A copy of the program that looks for torch where it is not."""
    found = BIN.read_bytes()
    start = found.index(b"site-packages/torch/lib")
    (place / "chorale").write_bytes(found[:start] + b"site-packages/tarch/lib" + found[start + 23:])
    (place / "chorale").chmod(0o755)
    return shell(command, place, PATH=f"{place}:{ENVIRONMENT['PATH']}")


def configure(*options):
    def call(command, place):
        return shell(f"cmake -S '{SOURCE}' -B '{place}/build' " + " ".join(options).format(place=place), place)
    return call


def python_of(version):
    """An interpreter whose torch is of another version."""
    def prepare(place):
        (place / "python").write_text(f"#!/bin/sh\necho /nowhere\necho {version}\n")
        (place / "python").chmod(0o755)
    return prepare


def bare_checkout(command, place):
    """The scripts alone: nothing of what set-up installs is there."""
    shutil.copytree(SOURCE / "launch/shell", place / "launch/shell")
    for name in ("launch/setup", "launch/packages.txt", "launch/requirements.txt"):
        shutil.copy(SOURCE / name, place / name)
    (place / "tools").mkdir()
    (place / "tools/dpkg-query").write_text(
        '#!/bin/bash\nfor name in "${@:3}"; do [ "$name" = libhdf5-dev ] || echo "$name installed"; done\n')
    (place / "tools/dpkg-query").chmod(0o755)
    return shell(command, place, PATH=f"{place}/tools:{os.environ['PATH']}")


SORTED = [record | {"answer": 0} for record in RECORDS]
CHOICES_BY_TOKEN = {"task": {"prompt": "{thing}:", "labels": "options"}}

# title: what prepares the directory, or (that, how the command is called).
PREPARATIONS = {
    # Command line
    "A command that does not exist": nothing,
    "An option that does not exist": nothing,
    "Something is left out": nothing,
    "A value an option does not take": nothing,
    "A shipped recipe that does not exist": nothing,
    "A file that would be overwritten": nothing,
    # Recipe
    "A recipe that cannot be read": nothing,
    "An unknown key": nothing,
    "A key in the wrong section": nothing,
    "A value of the wrong type": nothing,
    "A word that is nearly right": nothing,
    "A key that is missing": file("r.yaml", "base: {path: model}\ndata: {train: {path: train.jsonl}}\n"),
    "No valid YAML": file("r.yaml", "base: {path: model\ndata:\n"),
    "A key without what it needs": nothing,
    "An override without a value": nothing,
    "A file that is not there": nothing,
    "A layer the base lacks": nothing,
    "Groups that cannot be formed": nothing,
    "A batch smaller than its ranks": nothing,
    # Data
    "A misspelt field in the prompt": nothing,
    "A misspelt field of the answer": nothing,
    "An answer outside the options": records({"answer": "purple"}),
    "The same answer everywhere": lambda place: write_jsonl(place / "train.jsonl", SORTED),
    "A line that is no JSON": file("train.jsonl", '{"thing": "sky"\n'),
    "JSON over several lines": file("train.jsonl", json.dumps(RECORDS, indent=1)),
    "A JSON array": file("train.jsonl", json.dumps(RECORDS) + "\n"),
    "An empty file": file("train.jsonl", ""),
    "A compressed file": file("train.jsonl", gzip.compress(b"{}", mtime=0)),
    "A document": file("train.jsonl", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj"),
    "UTF-16": file("train.jsonl", "\ufeff{}".encode("utf-16-le")),
    "Another separator": both(file("train.csv", "id;thing;note;choices;answer\n0;sky;n;red|blue;0\n"),
                              recipe({"data": {"train": {"path": "train.csv"}}})),
    "An extension that says nothing": lambda place: shutil.move(place / "train.jsonl", place / "train.txt"),
    "A record that is too long": records({"note": "x" * 90}),
    "An id twice": records({"id": "c0"}),
    "Options that begin alike": both(records({"choices": ["rose", "red", "roses"]}), recipe(CHOICES_BY_TOKEN)),
    # Base model
    "A model that is not there": nothing,
    "Pickled weights": model(lambda place: (place / "model.safetensors").rename(place / "pytorch_model.bin")),
    "No tokenizer": without("tokenizer.json"),
    "An adapter where the base belongs": model(adapter),
    "A model of another family": config(model_type="mamba"),
    "A GGUF file of another family": gguf_of_another_architecture,
    "Weights that are cut off": model(cut_off),
    "A placeholder of Git LFS": model(lambda place: (place / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 100\n")),
    # Runs
    "A directory that holds a run": run,
    "A run that another process writes": held,
    "Nothing to resume": lambda place: ((place / "runs/colours").mkdir(parents=True),
                                        (place / "runs/colours/notes.txt").write_text("mine")),
    "Another recipe on --resume": run,
    "Fewer members on --resume": run,
    "Fewer members than are on their way": growing,
    "A run whose last checkpoint is lost does not grow": older_checkpoint,
    "A run without a checkpoint does not grow": no_checkpoint,
    "Another base model": another_base,
    "A checkpoint of a newer version": newer_manifest,
    "Metrics of a newer version": newer_metrics,
    "Predictions of a newer version": newer_predictions,
    "No run directory": nothing,
    "A run without a checkpoint": no_checkpoint,
    "Damaged predictions": damaged_predictions,
    # Adapters
    "No adapter in the directory": nested_adapter,
    "An adapter of another kind": adapter_at(use_dora=True),
    "An adapter of another base": adapter_at(inputs=48),
    "Half an adapter": adapter_at(dropped="B"),
    "A pickled adapter": pickled_adapter,
    "An exported adapter that was changed": exported_and_changed,
    "An export into a directory in use": taken_output,
    "A member that does not exist": run,
    # Predictions from elsewhere
    "Probabilities that do not add up": file("p.jsonl", '{"label": 0, "probabilities": [0.5, 0.6]}\n'),
    "A label outside the choices": file("p.jsonl", '{"label": 2, "probabilities": [0.5, 0.5]}\n'),
    "A misspelt field of predictions": file("p.jsonl", '{"label": 0, "probabilites": [0.5, 0.5]}\n'),
    # Machine
    "No GPU": nothing,
    "NCCL without GPUs": nothing,
    "Too little memory": nothing,
    "A base that does not fit": large_shape,
    "Out of memory": (nothing, little_memory),
    "mpirun as root": (nothing, as_root_without_consent),
    "srun without PMIx": (nothing, under_srun),
    "Different commands on the ranks": nothing,
    "Another torch than the one built with": (nothing, torch_upgraded),
    "torch is gone": (nothing, torch_removed),
    # Storage
    "A directory that cannot be made": nothing,
    "A full disk": small_disk,
    "Standard output that cannot be written": nothing,
    # Training
    "All members diverge": nothing,
    # Building
    "Missing Debian packages": (
        nothing, configure("-DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON", "-DCMAKE_DISABLE_FIND_PACKAGE_HDF5=ON")),
    "No Python environment": (nothing, configure("-DCHORALE_PYTHON={place}/.deps/venv/bin/python")),
    "A torch of another version": (python_of("2.10.0"), configure("-DCHORALE_PYTHON={place}/python")),
    "What set-up would install": (nothing, bare_checkout),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What every case starts from, and a run that is finished."""
    shared("tokenizers/llama3_style_2000.json")
    directory = tmp_path_factory.mktemp("sound")
    write_model(directory / "model")
    write_jsonl(directory / "train.jsonl", RECORDS)
    write_recipe(directory / "r.yaml", merge(RECIPE, {"data": {"test": {"path": "train.jsonl"}}}))
    done = shell("chorale train r.yaml", directory)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def place(sound, tmp_path):
    (tmp_path / "model").symlink_to(sound / "model")
    (tmp_path / "finished").symlink_to(sound / "runs/colours")
    write_jsonl(tmp_path / "train.jsonl", RECORDS)
    write_jsonl(tmp_path / "new.jsonl", RECORDS[:4])
    write_jsonl(tmp_path / "texts.jsonl", [{"text": "a red leaf"}])
    write_recipe(tmp_path / "r.yaml", RECIPE)
    return tmp_path


def printed_by(title, command, place):
    """(exit code, standard error) of the entry's command after its preparation."""
    prepared = PREPARATIONS[title]
    prepare, call = prepared if isinstance(prepared, tuple) else (prepared, shell)
    left = prepare(place)
    try:
        done = call(command, place)
    finally:
        if isinstance(left, subprocess.Popen):
            left.kill()
            left.wait()
        elif callable(left):
            left()
    return done.returncode, done.stderr


def test_the_page_and_the_preparations_name_the_same_mistakes():
    assert list(entries()) == list(PREPARATIONS)


# The page shows what a program with CUDA says on a machine without a GPU; one without has a reason of its own.
WITHOUT_CUDA = {
    "No GPU": "base.device: cuda was asked for, but this program was built without CUDA. Use auto or cpu.",
    "NCCL without GPUs": "distributed.backend: nccl was asked for, but this program was built without CUDA and NCCL. Use auto or "
                         "mpi, or build where a CUDA toolkit is installed.",
}


@pytest.mark.parametrize("title", PREPARATIONS)
def test_the_page_says_what_is_printed(title, place):
    code, command, printed, before, behind = entries()[title]
    assert len(before.split()) > 5 and behind, "an entry says what is wrong, and what to do"
    done_code, stderr = printed_by(title, command, place)
    assert done_code == code, stderr
    said = " ".join(stderr.split())
    if title in WITHOUT_CUDA and WITHOUT_CUDA[title] in said:
        return
    assert re.search(as_pattern(printed), said), f"the page:\n{printed}\n\nthe program:\n{stderr}"


@pytest.mark.parametrize("title", PREPARATIONS)
def test_messages_of_the_program_have_a_place_and_a_remedy(title):
    printed = entries()[title][2]
    head, _, message = printed.partition("chorale: error:")
    if message:
        check_message(message.split("\n---")[0])
    else:
        assert remedy_in(printed) or remedy_in(entries()[title][4])


# --- Messages in the source that no test may ever provoke


def thrown():
    """(file:line, text of the literals) of every error that is thrown with a text of its own."""
    start = re.compile(r"\b(?:UsageError|InputError|StorageError|DivergedError)\(")
    for folder in ("core", "distributed", "launch"):
        for path in sorted((SOURCE / folder).rglob("*.cpp")):
            text = path.read_text(encoding="utf-8")
            for found in start.finditer(text):
                end, depth, quoted = found.end(), 1, False
                while depth:
                    mark = text[end]
                    if quoted:
                        end += mark == "\\"
                        quoted = mark != '"'
                    else:
                        quoted = mark == '"'
                        depth += (mark == "(") - (mark == ")")
                    end += 1
                call = re.sub(r'"\s*"', "", text[found.end():end - 1])
                literals = re.findall(r'"((?:[^"\\]|\\.)*)"', call)
                yield f"{path.relative_to(SOURCE)}:{text.count(chr(10), 0, found.start()) + 1}", literals


def test_every_thrown_text_says_what_to_do():
    texts, lacking = 0, []
    for where, literals in thrown():
        first = literals[0] if literals else ""
        if not re.sub(r"\{[^}]*\}|\W", "", first):
            continue  # it only joins what others say
        texts += 1
        ends_with_argument = first.rstrip(".").endswith("}")
        said = " ".join(re.sub(r"\{[^}]*\}", "", text) for text in literals)
        if not (ends_with_argument or remedy_in(said)):
            lacking.append(f"{where}: {first}")
    assert texts > 100
    assert not lacking, "what is to be done (message_pattern.py has the verbs)? " + "; ".join(lacking)
