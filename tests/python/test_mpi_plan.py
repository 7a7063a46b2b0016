"""`chorale plan` of worlds that are not there, against the formulas written out anew and a real run's counters; and bases
that do not fit, refused by plan, train and evaluate before anything is read."""

import json
import math
import struct

import pytest

from e2e_helpers import chorale, write_recipe
from launched import launched
from runs_helpers import *

# The shape of Llama 3 70B.
SHAPE = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "vocab_size": 128256,
    "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
    "tie_word_embeddings": False,
}
LINEARS = {  # [in, out]
    "q_proj": (8192, 8192), "k_proj": (8192, 1024), "v_proj": (8192, 1024), "o_proj": (8192, 8192),
    "gate_proj": (8192, 28672), "up_proj": (8192, 28672), "down_proj": (28672, 8192),
}
RANK, TOKENS = 16, 512
RECIPE_70B = {
    "name": "large", "base": {"path": "shape", "dtype": "bfloat16"}, "data": {"train": {"path": "none.jsonl"}, "max_tokens": TOKENS},
    "task": {"prompt": "{question}\n{choices}\nAnswer:", "choices": "choices"},
    "adapter": {"rank": RANK, "targets": "all_linear"}, "training": {"steps": 10, "batch_size": 16},
}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A base that is nothing but its shape."""
    place = tmp_path_factory.mktemp("large")
    (place / "shape").mkdir()
    (place / "shape" / "config.json").write_text(json.dumps(SHAPE))
    write_recipe(place / "large.yaml", RECIPE_70B)
    return place


def planned(place, *arguments, code=(0,)):
    done = chorale("plan", "large.yaml", "--format", "json", *arguments, cwd=place)
    assert done.returncode in code, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("members", "ranks", "nodes"), [
    (256, 1024, 8), (256, 1024, 6), (96, 1024, 8), (8, 1024, 8), (1024, 1024, 4), (2048, 1024, 8), (3, 7, 2)])
def test_a_large_world_is_what_the_formulas_give(large, members, ranks, nodes):
    plan = planned(large, "--ranks", ranks, "--ranks-per-node", nodes, "--device", "h200", f"ensemble.members={members}",
                   "training.batch_size=1024", code=(0, 2))  # three members are too many for a GPU
    groups = plan["placement"]["groups"]
    held = [member for group in groups for member in range(group["first_member"], group["first_member"] + group["members"])]
    placed = [rank for group in groups for rank in range(group["first_rank"], group["first_rank"] + group["ranks"])]
    assert (held, placed) == (list(range(members)), list(range(ranks)))
    count = len(groups)
    for g, group in enumerate(groups):
        assert group["first_rank"] == g * ranks // count and group["first_member"] == g * members // count
    load = max(group["members"] / group["ranks"] for group in groups)
    for other in range(count + 1, min(members, ranks) + 1):  # more groups would be lighter or as light: there are none
        assert max(((g + 1) * members // other - g * members // other) / ((g + 1) * ranks // other - g * ranks // other)
                   for g in range(other)) > load
    crossing = [g for g, group in enumerate(groups)
                if len({rank // nodes for rank in range(group["first_rank"], group["first_rank"] + group["ranks"])}) > 1]
    assert plan["nodes"] == {"count": math.ceil(ranks / nodes), "groups_that_cross": crossing}
    parameters = 80 * sum(RANK * (size_in + size_out) for size_in, size_out in LINEARS.values())
    weights = 80 * sum(size_in * size_out for size_in, size_out in LINEARS.values())
    norms = 8192 * (2 * 80 + 1)
    assert plan["adapter_parameters"]["per_member"] == parameters
    assert plan["base"] == {"parameters": weights + norms + 2 * 128256 * 8192, "weights_present": False,
                            "shared_by_ranks_of_a_node": False}
    for g, (group, cost) in enumerate(zip(groups, plan["groups"])):
        memory = cost["per_rank"]["memory_bytes"]
        assert memory["base"] == 2 * (weights + 2 * 128256 * 8192) + 4 * norms
        assert memory["adapters"] == 4 * 4 * group["members"] * parameters
        assert memory["prefix_cache"] == 0  # every layer is adapted
        reduced = 4 * group["members"] * parameters if group["ranks"] > 1 else 0
        assert (cost["reduced_bytes_per_step"], cost["crosses_nodes"]) == (reduced, g in crossing)
        share = math.ceil(1024 / group["ranks"])
        assert cost["per_rank"]["tokens_per_step"] == group["members"] * share * TOKENS
        flops = cost["per_rank"]["tokens_per_step"] * (4 * weights + 6 * parameters)
        assert cost["per_rank"]["flops_per_step"] == pytest.approx(flops)
        bound = cost["step_seconds_at_least"]
        assert bound["compute"] == pytest.approx(flops / 989.4e12)
        assert bound["exchange"] == pytest.approx(
            2 * (group["ranks"] - 1) / group["ranks"] * reduced / (50e9 if g in crossing else 450e9))
    assert plan["step_seconds_at_least"] == pytest.approx(
        max(cost["step_seconds_at_least"]["compute"] + cost["step_seconds_at_least"]["exchange"] for cost in plan["groups"]))


def test_the_table_of_a_large_world(large):
    done = chorale("plan", "large.yaml", "--ranks", 1024, "--ranks-per-node", 6, "--device", "h200", "ensemble.members=256",
                   cwd=large)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "large: 256 members on 1024 ranks in 256 groups" in text
    assert "base: 70.6 G weights (config.json alone; there are none to read)" in text
    assert "assumed peak: 989.40 TFLOP/s per rank (dense bfloat16)" in text
    assert "nodes of 4 to 6 ranks do not hold whole groups of 4. A multiple of 4 ranks on every node does." in text
    assert max(map(len, done.stdout.splitlines())) <= 100
    inside = chorale("plan", "large.yaml", "--ranks", 1024, "--ranks-per-node", 8, "--device", "h200", "ensemble.members=256",
                     cwd=large)
    assert "every group is inside one node" in inside.stdout


def test_speeds_can_be_given_and_devices_named(large):
    options = ["--ranks", 8, "--ranks-per-node", 4, "ensemble.members=4"]
    given = planned(large, *options, "--device", "400GiB", "--peak", "100", "--bandwidth", "10")
    cost = given["groups"][0]
    assert given["device"]["memory_bytes"] == 400 << 30
    assert cost["step_seconds_at_least"]["compute"] == pytest.approx(cost["per_rank"]["flops_per_step"] / 100e12)
    assert cost["step_seconds_at_least"]["exchange"] == pytest.approx(cost["reduced_bytes_per_step"] / 10e9)  # 2 (2-1)/2
    unknown = planned(large, *options, "--device", "400GiB")["groups"][0]
    assert unknown["step_seconds_at_least"] == {"compute": None, "exchange": None}
    for wrong in ("tpu", "0", "-3", "12 apples"):
        done = chorale("plan", "large.yaml", "--ranks", 2, f"--device={wrong}", cwd=large)
        assert (done.returncode, done.stdout) == (2, "") and "--device: " in done.stderr and "h100, h200, a100" in done.stderr


def gigabytes(bytes_):
    return f"{bytes_ * 1e-9:.1f} GB"


def test_a_base_that_does_not_fit_is_refused_with_bytes_and_remedies(large):
    """141 GB of weights in bfloat16, 282 in float32; of the layers' linears a half and a quarter of it as codes."""
    weights = 80 * sum(size_in * size_out for size_in, size_out in LINEARS.values()) + 2 * 128256 * 8192
    norms = 4 * 8192 * (2 * 80 + 1)
    rest = norms + 2 * 2 * 128256 * 8192 + 2 * 2 * 28672 * 8192  # head and embedding; gate and up decoded
    float8 = 80 * sum(size_out * (size_in + 4) for size_in, size_out in LINEARS.values()) + rest
    nf4 = 80 * sum(size_out * size_in // 64 * 36 for size_in, size_out in LINEARS.values()) + rest
    fewer = f"float8 ({gigabytes(float8)} of base) or nf4 ({gigabytes(nf4)} of base), choose a smaller base, or use one with more"
    small = ["--ranks", "2", "--device", "h100", "ensemble.members=2"]
    done = chorale("plan", "large.yaml", *small, "base.dtype=float32", cwd=large)
    assert done.returncode == 2 and "in all per step" in done.stdout  # the plan is shown all the same
    assert "base.path: training needs at least " in done.stderr and " of memory on an H100 (SXM5, 80 GB) (" in done.stderr
    assert f"{gigabytes(4 * weights + norms)} base" in done.stderr
    assert f"which has {gigabytes(79 << 30)}" in done.stderr
    assert f"Set base.dtype to bfloat16 ({gigabytes(2 * weights + norms)} of base) or {fewer}" in done.stderr
    done = chorale("plan", "large.yaml", *small, cwd=large)
    assert done.returncode == 2 and f"Set base.dtype to {fewer} memory." in done.stderr
    done = chorale("plan", "large.yaml", "--ranks", "2", "--device", "24GiB", "ensemble.members=2", "base.dtype=nf4", cwd=large)
    assert done.returncode == 2 and "Choose a smaller base, or use one with more memory." in done.stderr
    # A machine's ranks share its memory where they are said to be on it.
    memory = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal"))) * 1024
    layers = max(1, int(memory / 4 / 3.5e9))  # a layer has 0.86 G weights: 3.4 GB in float32, and once more for gradients
    (large / "half").mkdir(exist_ok=True)
    (large / "half" / "config.json").write_text(json.dumps(SHAPE | {"num_hidden_layers": layers, "vocab_size": 128}))
    half = ["base.path=half", "base.dtype=float32", "--ranks", "4", "--device", "cpu", "ensemble.members=4", "adapter.rank=1",
            "adapter.targets=[q_proj]", "data.max_tokens=8"]
    assert chorale("plan", "large.yaml", *half, cwd=large).returncode == 0
    done = chorale("plan", "large.yaml", *half, "--ranks-per-node", "4", "--format", "json", cwd=large)
    layer = sum(size_in * size_out for size_in, size_out in LINEARS.values())
    once = layers * layer + 2 * 128 * 8192 + 8192 * (2 * layers + 1)  # linears, embedding and head, norms
    base = json.loads(done.stdout)["groups"][0]["per_rank"]["memory_bytes"]["base"]
    assert base == 4 * (once + (layers - 1) * layer)  # below the lowest adapter's layer nobody wants gradients
    if json.loads(done.stdout)["base"]["shared_by_ranks_of_a_node"]:
        # Four copies would not fit.
        assert done.returncode == 0
        shape = SHAPE | {"num_hidden_layers": 2 + 4 * layers, "vocab_size": 128}
        (large / "half" / "config.json").write_text(json.dumps(shape))
        done = chorale("plan", "large.yaml", *half, "--ranks-per-node", "4", cwd=large)
        assert "base: once for all ranks of a machine;" in done.stdout
        assert done.returncode == 2 and " GB base, and 4 ranks, each: " in done.stderr
    else:
        assert done.returncode == 2 and "(4 ranks, each: " in done.stderr and "start fewer ranks on it" in done.stderr


def write_hollow_base(directory, config):
    """Weights that are all zeros and take no room on the disk: more bytes than the machine has memory."""
    hidden, feed, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    keys = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden]}
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        shapes |= {name + "input_layernorm.weight": [hidden], name + "post_attention_layernorm.weight": [hidden]}
        for linear, shape in {"q": [hidden, hidden], "k": [keys, hidden], "v": [keys, hidden], "o": [hidden, hidden]}.items():
            shapes[f"{name}self_attn.{linear}_proj.weight"] = shape
        for linear, shape in {"gate": [feed, hidden], "up": [feed, hidden], "down": [hidden, feed]}.items():
            shapes[f"{name}mlp.{linear}_proj.weight"] = shape
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with open(directory / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    (directory / "config.json").write_text(json.dumps(config))
    return offset


@pytest.mark.parametrize("ranks", [1, 2])
def test_training_and_evaluation_refuse_such_a_base_before_they_read_it(tmp_path, ranks):
    world = make_world(tmp_path)
    recipe_in(world, "run", {"training": {"epochs": 1}, "ensemble": {"members": 2}})
    finished(world, "run", ranks=ranks)
    config = json.loads((world / "model" / "config.json").read_text())
    memory = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal"))) * 1024
    config |= {"hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64, "num_key_value_heads": 8,
               "num_hidden_layers": 2 + int(memory / 3.4e9), "tie_word_embeddings": True}
    assert 2 * write_hollow_base(world / "model", config) > memory
    recipe_in(world, "again", {"ensemble": {"members": 2}})
    limits = environment()
    for command, purpose in ((["train", "again.yaml"], "training"), (["evaluate", "run"], "prediction")):
        done = launched([*(launcher(ranks, 50) if ranks > 1 else []), BIN, *command], timeout=60, cwd=world, env=limits)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("chorale: error:") == 1
        assert f"base.path: {purpose} needs at least " in done.stderr and "Set base.dtype to bfloat16 (" in done.stderr
        assert (f"{ranks} ranks, each: " in done.stderr) == (ranks > 1)
    assert not (world / "again" / "checkpoints").exists()


@pytest.mark.parametrize(("ranks", "members", "groups"), [(2, 1, 1), (3, 3, 1), (3, 2, 2), (4, 2, 2), (2, 2, 2)])
def test_a_run_sums_the_bytes_its_plan_says(tmp_path, ranks, members, groups):
    world = make_world(tmp_path)
    changes = {"ensemble": {"members": members}, "distributed": {"groups": groups}, "training": {"epochs": 1},
               "evaluation": {"bootstrap": 0}}
    run = recipe_in(world, "run", changes)
    plan = json.loads(chorale("plan", "run.yaml", "--ranks", ranks, "--format", "json", cwd=world).stdout)
    finished(world, "run", ranks=ranks)
    timings = json.loads((run / "timings.json").read_text())
    expected = [cost["reduced_bytes_per_step"] for cost in plan["groups"] for _ in range(cost["ranks"])]
    assert timings["placement"] == plan["placement"]
    assert timings["reduced_bytes_per_step"] == expected
    parameters = sum(3 * (size_in + size_out) for size_in, size_out in (
        (32, 32), (32, 16), (32, 16), (32, 32), (32, 48), (32, 48), (48, 32)))
    assert sorted(set(expected)) == sorted({4 * parameters * group["members"] if group["ranks"] > 1 else 0
                                            for group in plan["placement"]["groups"]})
