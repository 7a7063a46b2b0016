"""The checkpoint of a real run: h5py reads it, PEFT with its adapters predicts what the run predicted."""

import hashlib
import json
import math

import pytest
from e2e_helpers import COLOURS, LAYERS, THINGS, chorale, colour_records, write_jsonl, write_model, write_recipe

h5py = pytest.importorskip("h5py")
np = pytest.importorskip("numpy")
yaml = pytest.importorskip("yaml")

MEMBERS, RANK, ALPHA = 3, 4, 12.0
TARGETS = ["q_proj", "v_proj", "down_proj"]
SHAPES = {"self_attn.q_proj": (32, 32), "self_attn.v_proj": (32, 16), "mlp.down_proj": (48, 32)}  # (in, out)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A finished run of a tiny model: (directory of the model, directory of the run)."""
    place = tmp_path_factory.mktemp("checkpoint")
    model = write_model(place / "model")
    for name, count, seed in (("train", 30, 1), ("validation", 8, 2), ("test", 12, 3)):
        write_jsonl(place / f"{name}.jsonl", colour_records(count, seed, options=3, key=name))
    recipe = {
        "name": "checkpoint",
        "seed": 5,
        "base": {"path": str(model)},
        "data": {name: {"path": str(place / f"{name}.jsonl")} for name in ("train", "validation", "test")},
        "task": {"kind": "multiple_choice", "prompt": "A {thing} is", "choices": COLOURS[:3], "answer": "colour"},
        "ensemble": {"members": MEMBERS},
        "adapter": {"rank": RANK, "alpha": ALPHA, "targets": TARGETS},
        "training": {"epochs": 2, "batch_size": 8, "learning_rate": 5e-3},
        "evaluation": {"bootstrap": 0},
        "output": {"directory": str(place / "run")},
    }
    done = chorale("train", write_recipe(place / "recipe.yaml", recipe), cwd=place)
    assert done.returncode == 0, done.stderr
    return model, place / "run"


@pytest.fixture(scope="module")
def file(world):
    with h5py.File(world[1] / "checkpoints/step_00000008/group_000.h5") as opened:
        yield opened


def inspect(path):
    done = chorale("inspect", path, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_directory_and_manifest(world):
    checkpoints = world[1] / "checkpoints"
    name = (checkpoints / "LATEST").read_text()
    assert name == "step_00000008\n"  # two epochs of four batches
    assert sorted(path.name for path in checkpoints.iterdir()) == ["LATEST", "step_00000008"]
    directory = checkpoints / name.strip()
    assert sorted(path.name for path in directory.iterdir()) == ["group_000.h5", "manifest.json"]
    manifest = json.loads((directory / "manifest.json").read_text())
    content = (directory / "group_000.h5").read_bytes()
    assert (manifest["format"], manifest["format_version"], manifest["step"]) == ("chorale-manifest", 1, 8)
    digest = hashlib.sha256(content).hexdigest()
    assert manifest["files"] == {"group_000.h5": {"bytes": len(content), "sha256": digest}}


def test_root_attributes(world, file):
    assert file.attrs["format"] == "chorale-checkpoint"
    assert (file.attrs["format_version"], file.attrs["step"]) == (1, 8)
    assert file.attrs["created_by"].startswith("chorale ")
    assert file.attrs["recipe"] == (world[1] / "recipe.yaml").read_text()
    assert yaml.safe_load(file.attrs["recipe"])["adapter"]["rank"] == RANK
    everybody = {"first_rank": 0, "ranks": 1, "first_member": 0, "members": MEMBERS}
    assert json.loads(file.attrs["placement"]) == {"members": MEMBERS, "ranks": 1, "groups": [everybody]}
    metrics = json.loads((world[1] / "metrics.json").read_text())
    assert file.attrs["base_fingerprint"] == metrics["base_fingerprint"]
    assert len(file.attrs["base_fingerprint"]) == 64


def test_names_shapes_and_checksums(file):
    assert list(file) == ["members"] and list(file["members"]) == [f"{m:03}" for m in range(MEMBERS)]
    modules = {f"model.layers.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in SHAPES.items()}
    for member in file["members"].values():
        assert set(member) == {"adapter", "optimizer", "progress"}
        assert set(member["adapter"]) == set(modules)
        for module, (columns, rows) in modules.items():
            a, b = member["adapter"][module]["A"], member["adapter"][module]["B"]
            assert (a.shape, b.shape) == ((RANK, columns), (rows, RANK))
            assert (list(a.attrs["axes"]), list(b.attrs["axes"])) == (["rank", "in"], ["out", "rank"])
            for dataset in (a, b):
                assert dataset.dtype == np.float32 and dataset.fletcher32


def test_everything_says_what_it_means(file):
    silent = []

    def visit(name, thing):
        leaf = name.count("/") in (0, 2) or isinstance(thing, h5py.Dataset)
        if leaf and len(thing.attrs.get("meaning", "")) < 20:
            silent.append(name)

    file.visititems(visit)
    assert silent == [] and "meaning" in file.attrs
    for key in file["members/000/progress"].attrs:
        assert key == "meaning" or key in file["members/000/progress"].attrs["meaning"]


def test_moments_are_as_long_as_their_order_says_and_can_be_adamws(file):
    """Eight steps bound the first moment's square by a multiple of the second, element by element."""
    for member in file["members"].values():
        order = list(member["optimizer"].attrs["order"])
        sizes = [member["adapter"][name].size for name in order]
        assert len(order) == 2 * len(member["adapter"])
        first, second = (member["optimizer"][f"{name}_moment"][:] for name in ("first", "second"))
        assert first.shape == second.shape == (sum(sizes),)
        assert np.isfinite(first).all() and (second >= 0).all() and first.any() and second.any()
        # Eight steps with beta1 = 0.9 and beta2 = 0.999: by Cauchy and Schwarz m^2 <= sum(0.1^2 0.81^i / 0.001) v.
        bound = sum((0.1 * 0.9**i) ** 2 / (0.001 * 0.999**i) for i in range(8))
        assert (first.astype("f8") ** 2 <= 1.001 * bound * second + 1e-20).all()


def test_members_have_learnt_differently(file):
    deltas = []
    for member in file["members"].values():
        adapter = member["adapter"]
        assert adapter.attrs["scale"] == pytest.approx(ALPHA / RANK)
        for module in adapter.values():
            assert np.isfinite(module["B"][:]).all()
        last = adapter[f"model.layers.{LAYERS - 1}.self_attn.v_proj"]
        deltas.append(adapter.attrs["scale"] * last["B"][:] @ last["A"][:])
        assert np.abs(deltas[-1]).max() > 1e-4
        progress = dict(member["progress"].attrs)
        assert (progress["updates"], progress["training"], progress["diverged"]) == (8, 1, 0)
        assert (progress["stopped_at"], progress["best_step"]) == (-1, -1)  # no early stopping was asked for
    assert np.abs(deltas[0] - deltas[1]).max() > 1e-4


def test_peft_with_the_stored_adapters_predicts_what_the_run_predicted(world, file):
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    model, run = world
    torch.set_num_threads(1)
    tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
    labels = [tokenizer.encode(" " + colour, add_special_tokens=False).ids[0] for colour in COLOURS[:3]]
    base = transformers.LlamaForCausalLM.from_pretrained(model, dtype=torch.float32)
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(base, config).eval()
    factors = {name: value for name, value in adapted.named_parameters() if ".lora_" in name}
    with h5py.File(run / "predictions.h5") as predictions:
        expected = predictions["predictions/test/log_probabilities"][:]
    things = [record["thing"] for record in colour_records(12, 3, options=3, key="test")]
    assert set(things) <= set(THINGS)
    with torch.no_grad():
        for m, member in enumerate(file["members"].values()):
            used = 0
            for module, stored in member["adapter"].items():
                for factor in "AB":
                    factors[f"base_model.model.{module}.lora_{factor}.default.weight"].copy_(
                        torch.from_numpy(stored[factor][:]))
                    used += 1
            assert used == len(factors)
            for n, thing in enumerate(things):
                ids = tokenizer.encode(f"A {thing} is").ids
                scores = adapted(torch.tensor([ids])).logits[0, -1, labels].log_softmax(0)
                assert np.abs(scores.numpy() - expected[m, n]).max() < 2e-5
    assert np.abs(expected - math.log(1 / 3)).max() > 0.1  # something was learnt that could have been missed


def test_best_adapters_are_the_ones_stored(world, tmp_path):
    """A learning rate that soon does harm: members stop, and what is stored predicts as the best validation did."""
    model, run = world
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["output"]["directory"] = str(tmp_path / "run")
    recipe["training"] |= {"epochs": 6, "learning_rate": 0.5, "early_stopping": {"metric": "nll", "patience": 1}}
    done = chorale("train", write_recipe(tmp_path / "recipe.yaml", recipe), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    latest = tmp_path / "run/checkpoints" / (tmp_path / "run/checkpoints/LATEST").read_text().strip()
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    nll = [member["nll"] for member in metrics["datasets"]["validation"]["members"]["each"]]
    with h5py.File(latest / "group_000.h5") as file:
        progress = [dict(member["progress"].attrs) for member in file["members"].values()]
    assert any(p["training"] == 0 and p["stopped_at"] > p["best_step"] > 0 for p in progress)
    for m, p in enumerate(progress):
        assert p["best_value"] == pytest.approx(nll[m], rel=1e-5)
        assert p["best_step"] == metrics["training"]["members"][m]["best_step"]


def test_inspect_shows_what_it_holds(world):
    directory = world[1] / "checkpoints/step_00000008"
    of_file, of_directory = inspect(directory / "group_000.h5"), inspect(directory)
    assert {**of_file, "path": ""} == {**of_directory, "path": ""}
    assert (of_file["kind"], of_file["step"], of_file["scale"]) == ("checkpoint", 8, ALPHA / RANK)
    assert of_file["parameters_per_member"] == RANK * LAYERS * sum(i + o for i, o in SHAPES.values())
    assert [member["member"] for member in of_file["members"]] == list(range(MEMBERS))
    table = chorale("inspect", directory).stdout
    assert "model.layers.*.self_attn.q_proj.A" in table and f"[{RANK},32]" in table and "training" in table
    assert max(map(len, table.splitlines())) <= 100


def test_inspect_refuses_a_damaged_one(world, tmp_path):
    content = bytearray((world[1] / "checkpoints/step_00000008/group_000.h5").read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "damaged.h5"
    path.write_bytes(content)
    done = chorale("inspect", path)
    assert (done.returncode, done.stdout) == (3, "")
    assert str(path) in done.stderr and "damaged" in done.stderr and "HDF5-DIAG" not in done.stderr
