"""Commands under a real launcher: who speaks, which exit code the launcher returns, that an error is told once, and what
`plan` and `doctor` say. Nothing here may hang: every start has a time limit."""

import json
import os
import re
import shutil

import pytest
from e2e_helpers import BIN, HIDDEN, LAYERS, colour_records, merge, shared, write_jsonl, write_model, write_recipe
from launched import launched

PROBE = BIN.parent / "mpi_exit_probe"
ENVIRONMENT = {
    **os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none", "CUDA_VISIBLE_DEVICES": "",
}
RECIPE = {
    "name": "colours",
    "base": {"path": "model"},
    "data": {"train": {"path": "train.jsonl"}},
    "task": {"prompt": "{thing} {note}\n{choices}\nAnswer:", "choices": "choices"},
    "ensemble": {"members": 4},
    "adapter": {"rank": 3, "targets": ["q_proj", "v_proj"]},
    "training": {"steps": 2, "batch_size": 4},
    "output": {"directory": "run"},
}


def start(ranks, *command, cwd=None, **environment):
    """`command` on that many ranks; None: without a launcher."""
    launcher = [] if ranks is None else [
        shutil.which("mpirun"), "-n", str(ranks), "--oversubscribe", "--bind-to", "none", "--timeout", "90"]
    # None of these commands leaves anything behind.
    return launched([*launcher, *command], timeout=100, again=1, cwd=cwd, env={**ENVIRONMENT, **environment})


def chorale(*arguments, ranks=None, **options):
    return start(ranks, BIN, *arguments, **options)


def error_of(done, start="chorale: error:"):
    """The one message there must be."""
    assert done.stderr.count(start) == 1, done.stderr
    return done.stderr.split(start)[1].split("\n---")[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    shared("tokenizers/llama3_style_2000.json")
    directory = tmp_path_factory.mktemp("plan")
    write_model(directory / "model")
    write_jsonl(directory / "train.jsonl", colour_records(12, seed=5))
    write_recipe(directory / "r.yaml", RECIPE)
    return directory


@pytest.mark.parametrize(("how", "rank", "code"), [
    ("agreed", 0, 2), ("agreed", 2, 3), ("agreed", 1, 70), ("nested", 1, 4), ("alone", 0, 70), ("alone", 1, 5),
    ("alone", 2, 75),
])
def test_the_launcher_returns_the_failing_ranks_code_and_the_message_comes_once(how, rank, code):
    done = start(3, PROBE, how, rank, code)
    assert done.returncode == code, done.stderr
    message = error_of(done, "chorale:" if code == 75 else "chorale: error:")  # to stop as asked is no error
    assert re.match(rf" failed as asked, rank {rank} \(rank {rank} on \S+\)\n", message + "\n")


@pytest.mark.parametrize(("how", "code", "phrase"), [
    ("unknown", 70, "this is a bug in chorale"), ("memory", 2, "out of memory. Lower ")])
def test_what_is_no_error_of_ours(how, code, phrase):
    done = start(2, PROBE, how, 1, 0)
    assert done.returncode == code
    assert phrase in error_of(done)
    assert "(rank 1 on " in error_of(done)


def test_codes_without_an_error_and_single_ranks():
    assert start(2, PROBE, "quiet", 0, 0).returncode == 0
    assert start(2, PROBE, "quiet", 0, 75).returncode == 75
    for ranks in (None, 1):
        done = start(ranks, PROBE, "alone", 0, 3)
        assert done.returncode == 3
        assert "(rank" not in error_of(done)


@pytest.mark.parametrize("ranks", [None, 1, 3])
def test_commands_without_use_for_ranks_speak_once(ranks, place):
    assert re.fullmatch(r"chorale \S+ \(torch \S+\)\n", chorale("--version", ranks=ranks).stdout)
    assert chorale("train", "--help", ranks=ranks).stdout.count("Usage: chorale train") == 1
    valid = chorale("validate", "r.yaml", ranks=ranks, cwd=place)
    assert (valid.returncode, valid.stdout) == (0, "r.yaml is valid\n")
    assert valid.stderr.count("warning") <= 1
    plan = chorale("plan", "r.yaml", "--ranks", 2, ranks=ranks, cwd=place)
    assert (plan.returncode, plan.stdout.count("colours: 4 members on 2 ranks in 2 groups")) == (0, 1)


def test_without_a_launcher_mpi_is_not_started(place):
    """An MPI that cannot start: only who starts it notices."""
    broken = {"OPAL_PREFIX": "/nowhere", "OMPI_MCA_mca_base_component_path": "/nowhere"}
    assert start(None, BIN, "doctor", OMPI_COMM_WORLD_SIZE="1", **broken).returncode != 0
    for command in (["doctor"], ["plan", "r.yaml", "--ranks", "8", "distributed.groups=2"], ["validate", "r.yaml"]):
        done = chorale(*command, cwd=place, **broken)
        assert done.returncode == 0, done.stderr


CASES = [
    (["plan", "r.yaml"], 2, "--ranks is required"),
    (["plan", "r.yaml", "--ranks", "0"], 2, "--ranks"),
    (["plan", "r.yaml", "--ranks", "-3"], 2, "--ranks"),
    (["plan", "r.yaml", "--ranks", "two"], 2, "--ranks"),
    (["plan", "r.yaml", "--ranks", "1.5"], 2, "--ranks"),
    (["plan", "r.yaml", "--ranks", "99999999999999999999"], 2, "--ranks"),
    (["plan", "--ranks", "2"], 2, "RECIPE is required"),
    (["plan", "nowhere.yaml", "--ranks", "2"], 2, "nowhere.yaml: cannot read the recipe"),
    (["plan", "r.yaml", "--ranks", "2", "--format", "xml"], 2, "--format"),
    (["plan", "r.yaml", "--ranks", "2", "--device", "tpu"], 2, "--device"),
    (["plan", "r.yaml", "--rank", "2"], 2, "Did you mean '--ranks'?"),
    (["plan", "r.yaml", "--ranks", "2", "--ranks-per-node", "3"], 2, "--ranks-per-node: 3 is more than the 2 ranks"),
    (["plan", "r.yaml", "--ranks", "2", "distributed.groups=3"], 2, "distributed.groups: 3 groups is not possible"),
    (["plan", "r.yaml", "--ranks", "8", "distributed.groups=5"], 2, "Give 1 to 4, or auto"),
    (["plan", "r.yaml", "--ranks", "2", "distributed.groups=0"], 2, "distributed.groups"),
    (["plan", "r.yaml", "--ranks", "8", "training.batch_size=1"], 2, "training.batch_size: a batch of 1 example cannot be"),
    (["plan", "r.yaml", "--ranks", "2", "adapter.layers=7"], 2, "adapter.layers: layer 7 does not exist"),
    (["plan", "r.yaml", "--ranks", "2", "base.path=nowhere"], 3, "nowhere: no such file or directory"),
    (["plan", "r.yaml", "--ranks", "2", "base.path=train.jsonl"], 3, "train.jsonl"),
    (["plan", "r.yaml", "--ranks", "2", "data.train.path=r.yaml"], 3, "r.yaml"),
    (["plan", "r.yaml", "--ranks", "2", "task.answer=colours"], 3, "train.jsonl:1"),
    (["doctor", "--format", "xml"], 2, "--format"),
    (["doctor", "everything"], 2, "everything"),
    (["doctor", "--ranks", "2"], 2, "--ranks"),
]


@pytest.mark.parametrize(("arguments", "code", "phrase"), CASES)
def test_bad_input(arguments, code, phrase, place):
    done = chorale(*arguments, cwd=place)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert phrase in error_of(done)


@pytest.mark.parametrize(("arguments", "code", "phrase"), [CASES[0], CASES[17], CASES[21]])
def test_bad_input_on_several_ranks_is_told_once_by_rank_0(arguments, code, phrase, place):
    done = chorale(*arguments, ranks=3, cwd=place)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert phrase in error_of(done)
    assert "(rank 0 on " in error_of(done)


def test_ranks_with_different_commands_are_refused():
    done = start(1, BIN, "doctor", ":", "-n", "1", BIN, "doctor", "--format", "json")
    assert done.returncode == 2
    assert "rank 1 runs" in error_of(done)
    assert "(rank 1 on " in error_of(done)


def parameters_of(rank, targets):
    shapes = {"q_proj": (HIDDEN, HIDDEN), "v_proj": (HIDDEN, HIDDEN // 2)}
    return LAYERS * sum(rank * sum(shapes[target]) for target in targets)


def test_a_plan_is_the_placement_and_what_follows_from_it(place):
    plan = json.loads(chorale("plan", "r.yaml", "--ranks", 3, "--format", "json", "distributed.groups=2", cwd=place).stdout)
    assert plan["placement"] == {"members": 4, "ranks": 3, "groups": [
        {"first_rank": 0, "ranks": 1, "first_member": 0, "members": 2},
        {"first_rank": 1, "ranks": 2, "first_member": 2, "members": 2}]}
    each = parameters_of(3, ["q_proj", "v_proj"])
    assert plan["adapter_parameters"] == {"per_member": each, "all": 4 * each}
    assert [group["reduced_bytes_per_step"] for group in plan["groups"]] == [0, 2 * each * 4]
    assert plan["reduced_bytes_per_step"] == 2 * each * 4
    assert [group["per_rank"]["examples"] for group in plan["groups"]] == [4, 2]
    rows = plan["example_rows"]
    alone, shared_group = plan["groups"]
    assert alone["tokens_per_step"] == pytest.approx(2 * (4 * rows["mean"] + rows["common"]))
    assert shared_group["tokens_per_step"] == pytest.approx(2 * (4 * rows["mean"] + 2 * rows["common"]))
    weights = LAYERS * (2 * HIDDEN * HIDDEN + 2 * HIDDEN * HIDDEN // 2 + 3 * HIDDEN * 48)
    assert alone["flops_per_step"] == pytest.approx(alone["tokens_per_step"] * (4 * weights + 6 * each))
    memory = alone["per_rank"]["memory_bytes"]
    assert memory["adapters"] == 2 * each * 4 * 4
    tensors = (place / "model" / "model.safetensors").stat().st_size
    # All tensors in float32, without the file's header; linears above the lowest adapters once more, for gradients.
    linears = 4 * weights + 4 * weights * (LAYERS - 1) // LAYERS
    assert 0 < tensors + linears - 4 * weights - memory["base"] < 4096
    assert memory["sum"] == memory["base"] + memory["adapters"] + memory["activations"]
    half = chorale("plan", "r.yaml", "--ranks", 3, "--format", "json", "base.dtype=bfloat16", cwd=place)
    norms = 4 * HIDDEN * (2 * LAYERS + 1)
    # Linears stay in float32 on a CPU that multiplies no bfloat16.
    rest = memory["base"] - linears - norms
    assert json.loads(half.stdout)["groups"][0]["per_rank"]["memory_bytes"]["base"] in (
        linears / 2 + rest / 2 + norms, linears + rest / 2 + norms)


def test_plans_of_any_size_fit_a_terminal_and_need_no_data(place, tmp_path):
    shutil.copytree(place / "model", tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    write_recipe(tmp_path / "r.yaml", merge(RECIPE, {"name": "long" * 25, "ensemble": {"members": 4096}}))
    for ranks, batch in ((1, 4), (7, 100), (4096, 1), (1000000, 1000000)):
        done = chorale("plan", "r.yaml", "--ranks", ranks, f"training.batch_size={batch}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "data.max_tokens; there is no train.jsonl" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 100, done.stdout


@pytest.mark.parametrize("ranks", [None, 1, 2, 4])
def test_the_doctor_finds_all_well(ranks):
    count = ranks or 1
    done = chorale("doctor", "--format", "json", ranks=ranks)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["launcher"] == ("none" if ranks is None else "MPI")
    assert [rank["rank"] for rank in facts["ranks"]] == list(range(count))
    assert [rank["node_rank"] for rank in facts["ranks"]] == list(range(count))
    available = sorted(os.sched_getaffinity(0))
    assert all(rank["cores"] == available and rank["threads"] == 1 for rank in facts["ranks"])
    assert facts["faults"] == []
    assert any("take turns" in warning for warning in facts["warnings"]) == (count > len(available))
    for table in facts["pairs"].values():
        assert len(table) == count
        assert all((table[i][j] > 0) == (i != j) for i in range(count) for j in range(count))


def test_the_doctors_table():
    done = chorale("doctor", ranks=2)
    assert done.returncode == 0, done.stderr
    for name in ("chorale", "torch", "MPI", "HDF5", "compiler", "build"):
        assert re.search(rf"^{name} +\S", done.stdout, re.MULTILINE)
    assert re.search(r"^rank 0 +- +[\d.]+/[\d.]+$", done.stdout, re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert done.stdout.endswith("all well\n")


def test_too_many_threads_are_warned_of():
    """Two ranks with as many threads each as there are cores."""
    threads = len(os.sched_getaffinity(0))
    if threads < 2:
        pytest.skip("needs two cores")
    done = chorale("doctor", ranks=2, OMP_NUM_THREADS=str(threads))
    assert done.returncode == 0
    assert f"warning: {2 * threads} threads on {threads} cores" in done.stdout
    assert "Set OMP_NUM_THREADS=" in " ".join(done.stdout.split())
