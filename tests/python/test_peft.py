"""Adapters, losses, gradients and training against PEFT and torch.optim.AdamW, on random small Llama models."""

import json
import math
import subprocess

import pytest
import torch
from helpers_llama import random_ids, random_llama
from helpers_peft import PeftMember, picked
from helpers_score import BIN
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing")  # PEFT's use of transformers

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
QV = {"rank": 4, "alpha": 8.0, "targets": ["q_proj", "v_proj"]}
ALL_LINEAR = {"rank": 4, "alpha": 8.0, "targets": ALL}
TOP_LAYERS = ALL_LINEAR | {"layers": [2, 3]}
MEMBERS = [0, 1, 2]
STEPS = 20
EXAMPLES = 10


def kl(direction, weight=0.7):
    return {"kl_to_base": {"weight": weight, "direction": direction}}


# name: (base model, task, adapter, training)
CASES = {
    "q and v": ("untied", "label_token", QV, {}),
    "all linear": ("tied", "label_token", ALL_LINEAR, {}),
    "layer range": ("untied", "label_token", TOP_LAYERS, {}),
    "one middle layer": ("tied", "label_token", QV | {"layers": [1]}, {}),
    "rank-stabilised": ("untied", "label_token", ALL_LINEAR | {"scaling": "rank_stabilised", "rank": 6}, {}),
    "weight decay": ("untied", "label_token", ALL_LINEAR, {"weight_decay": {"A": 5.0, "B": 20.0}}),
    "clipping": ("tied", "label_token", ALL_LINEAR, {"clip_norm": 0.05}),
    "a rate for each member": ("untied", "label_token", QV, {"learning_rate": [1e-3, 3e-4, 2e-3]}),
    "options": ("untied", "option_likelihood", ALL_LINEAR, {}),
    "options, layer range": ("tied", "option_likelihood", TOP_LAYERS, {"clip_norm": 1.0}),
    "completion": ("tied", "completion", ALL_LINEAR, {}),
    "completion, layer range": ("untied", "completion", TOP_LAYERS, {}),
    "KL, member to base": ("untied", "label_token", ALL_LINEAR, kl("member_to_base")),
    "KL, base to member": ("tied", "label_token", QV, kl("base_to_member")),
    "options, KL, member to base": ("tied", "option_likelihood", QV, kl("member_to_base")),
    "options, KL, base to member": ("untied", "option_likelihood", TOP_LAYERS, kl("base_to_member")),
    "completion, KL, member to base": ("untied", "completion", TOP_LAYERS, kl("member_to_base")),
    "completion, KL, base to member": ("tied", "completion", QV, kl("base_to_member")),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """name: (directory, model as transformers reads it)."""
    made = {}
    for seed, name in enumerate(("untied", "tied")):
        directory = tmp_path_factory.mktemp("base") / name
        made[name] = (directory, random_llama(directory, seed=21 + seed, tie_word_embeddings=name == "tied"))
    return made


def examples(task, count=EXAMPLES, seed=5):
    """Prompts with three tokens in common; two to four choices, options of one to five tokens."""
    sizes = torch.Generator().manual_seed(seed)
    common, made = random_ids(3, seed), []
    for i in range(count):
        own, choices, label, *lengths = (1 + int(n) for n in torch.randint(5, (7,), generator=sizes))
        choices = 1 if task == "completion" else 2 + choices % 3
        example = {"prompt": common + random_ids(own, 100 * i), "label": label % choices}
        if task == "label_token":
            example["labels"] = [40, 41, 300, 7][:choices]
        else:
            example["continuations"] = [random_ids(lengths[k], 100 * i + k + 1) for k in range(choices)]
        made.append(example)
    return made


def shapes(base, adapter):
    """{"<module>.A" or ".B": shape} of an adapter over the linears of a transformers model."""
    found = {}
    for name, module in base.named_modules():
        if name.split(".")[-1] in adapter["targets"]:
            if "layers" not in adapter or int(name.split(".")[2]) in adapter["layers"]:
                found[f"{name}.A"] = (adapter["rank"], module.in_features)
                found[f"{name}.B"] = (module.out_features, adapter["rank"])
    return found


def random_adapters(path, base, adapter, members=MEMBERS):
    random = torch.Generator().manual_seed(99)
    tensors = {
        f"member_{member:03}.{name}": torch.randn(shape, generator=random) * (0.15 if name.endswith(".A") else 0.1)
        for member in members
        for name, shape in shapes(base, adapter).items()
    }
    save_file(tensors, path)


def specification(directory, task, adapter, training, members=MEMBERS, **more):
    return {
        "model": str(directory),
        "adapter": adapter,
        "members": members,
        "seed": 17,
        "task": task,
        "examples": examples(task),
        "sequences": [random_ids(count, 3 + count) for count in (1, 6, 19)],
        "training": {"steps": STEPS, "batch_size": EXAMPLES, "learning_rate": [1e-3]} | training,
    } | more


def of_member(tensors, member):
    start = f"member_{member:03}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def distance(ours, theirs):
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max())


class Results:
    def __init__(self, directory):
        names = ("initial", "scores", "gradients", "final")
        self.initial, self.scores, self.gradients, self.final = (
            load_file(directory / f"{name}.safetensors") for name in names
        )
        self.report = json.loads((directory / "report.json").read_text())


def run_probe(directory, cases):
    """Runs all cases in one process."""
    arguments = []
    for number, case in enumerate(cases):
        path = directory / f"case_{number}.json"
        path.write_text(json.dumps(case))
        arguments += [path, directory / f"case_{number}"]
    done = subprocess.run([BIN / "lora_probe", *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [Results(directory / f"case_{number}") for number in range(len(cases))]


@pytest.fixture(scope="module")
def all_cases(bases, tmp_path_factory):
    directory = tmp_path_factory.mktemp("cases")
    made = []
    for number, (base, task, adapter, training) in enumerate(CASES.values()):
        initial = directory / f"initial_{number}.safetensors"
        random_adapters(initial, bases[base][1], adapter)
        made.append(specification(bases[base][0], task, adapter, training, initial=str(initial)))
    return dict(zip(CASES, zip(made, run_probe(directory, made))))


@pytest.fixture(scope="module", params=CASES)
def case(request, all_cases, bases):
    """(specification, results, PeftMember) of one entry of CASES."""
    made, results = all_cases[request.param]
    return made, results, PeftMember(bases[CASES[request.param][0]][1], made)


def test_logits(case):
    made, results, peft = case
    worst = 0.0
    for member in MEMBERS:
        peft.load(of_member(results.initial, member))
        for number, ids in enumerate(made["sequences"]):
            with torch.no_grad():
                expected = peft.logits([ids])[0]
            worst = max(worst, distance(results.scores[f"logits_{number}"][member], expected))
    print(f"logits {worst:.1e}")
    assert worst < 1e-4


def test_scores(case):
    """Each sequence by itself: nothing is filled up or batched on the reference's side."""
    made, results, peft = case
    worst = 0.0
    for member in MEMBERS:
        peft.load(of_member(results.initial, member))
        expected = one_by_one(peft, made)
        if made["task"] == "completion":
            worst = max(worst, distance(results.scores["log_likelihoods"][member], torch.cat(expected)))
            continue
        for ours, row in zip(results.scores["log_probabilities"][member], expected, strict=True):
            worst = max(worst, distance(ours[: len(row)], row))
            assert torch.isneginf(ours[len(row) :]).all()  # choices this example lacks
    print(f"scores {worst:.1e}")
    assert worst < 1e-4


def one_by_one(peft, made):
    """Per example: log-probabilities of its choices or log-likelihoods of its answer's tokens."""
    def alone(sequences):
        return [peft.logits([ids])[0] for ids in sequences]

    with torch.no_grad():
        rows = [peft.scores([example], alone)[0] for example in made["examples"]]
    if made["task"] != "completion":
        return rows
    return [picked(row, example["continuations"][0]) for row, example in zip(rows, made["examples"])]


def test_loss_and_gradients(case):
    made, results, peft = case
    worst_loss = worst_gradient = 0.0
    for member in MEMBERS:
        peft.load(of_member(results.initial, member))
        cross_entropy, divergence = peft.backward(made["examples"])
        assert divergence > 0.01 or "kl_to_base" not in made["training"]
        worst_loss = max(worst_loss, abs(results.report["loss"][member] - cross_entropy))
        worst_loss = max(worst_loss, abs(results.report["divergence"][member] - divergence))
        ours = of_member(results.gradients, member)
        assert ours.keys() == peft.factors.keys()
        for name, parameter in peft.factors.items():
            error = (ours[name] - parameter.grad).norm() / parameter.grad.norm()
            worst_gradient = max(worst_gradient, float(error))
    print(f"loss {worst_loss:.1e}, gradients {worst_gradient:.1e}")
    assert worst_loss < 1e-5
    assert worst_gradient < 1e-4


def check_training(made, results, peft):
    """Weights after all steps on the examples that the report names."""
    rates = made["training"]["learning_rate"]
    differences, worst_norm = [], 0.0
    for position, member in enumerate(made["members"]):
        rate = rates[member] if len(rates) > 1 else rates[0]
        start = of_member(results.initial, member)
        peft.load(start)
        batches = [[made["examples"][i] for i in step[position]] for step in results.report["batches"]]
        norms = peft.train(batches, rate)
        for norm, step in zip(norms, results.report["steps"], strict=True):
            worst_norm = max(worst_norm, abs(step[position]["gradient_norm"] / norm - 1))
        for name, ours in of_member(results.final, member).items():
            assert (ours - start[name]).abs().mean() > rate  # it has gone somewhere
            differences.append((ours - peft.factors[name].detach()).abs().flatten())
    print(f"norms {worst_norm:.1e}")
    assert worst_norm < 1e-3
    check_weights(differences)


def check_weights(differences):
    """Adam's step does not shrink with the gradient: a weight whose gradient is lost in rounding may differ by a good
    part of a step (1e-3) between two exact programs. All but a few in ten thousand must agree far more closely."""
    differences = torch.cat(differences)
    usual = float(differences.quantile(0.999))
    print(f"weights: largest {differences.max():.1e}, all but 0.1 % {usual:.1e}, mean {differences.mean():.1e}")
    assert usual < 5e-6
    assert differences.max() < 3e-4


def test_training(case):
    """Every batch is the whole set: 20 steps of loss, clipping, decay and AdamW."""
    made, results, peft = case
    assert all(sorted(batch) == list(range(EXAMPLES)) for step in results.report["batches"] for batch in step)
    check_training(made, results, peft)


@pytest.mark.parametrize("task", ["label_token", "option_likelihood", "completion"])
def test_training_in_the_members_own_orders(bases, tmp_path, task):
    directory, base = bases["untied"]
    random_adapters(tmp_path / "initial.safetensors", base, ALL_LINEAR)
    training = {"batch_size": 4, "micro_batch_size": 3, "clip_norm": 1.0}
    initial = str(tmp_path / "initial.safetensors")
    made = specification(directory, task, ALL_LINEAR, training, initial=initial)
    (results,) = run_probe(tmp_path, [made])
    batches = results.report["batches"]
    per_epoch = math.ceil(EXAMPLES / 4)
    for position in range(len(MEMBERS)):
        for epoch in range(STEPS // per_epoch):
            steps = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
            seen = [i for step in steps for i in step[position]]
            assert sorted(seen) == list(range(EXAMPLES))
    assert batches[0][0] != batches[0][1]
    check_training(made, results, PeftMember(base, made))


@pytest.mark.parametrize("task", ["label_token", "option_likelihood", "completion"])
def test_every_member_starts_as_the_base(bases, tmp_path, task):
    directory, base = bases["tied"]
    made = specification(directory, task, ALL_LINEAR, {"steps": 1})
    (results,) = run_probe(tmp_path, [made])
    peft = PeftMember(base, made)
    with torch.no_grad(), peft.model.disable_adapter():
        expected = one_by_one(peft, made)
    worst = 0.0
    for member in MEMBERS:
        if task == "completion":
            worst = max(worst, distance(results.scores["log_likelihoods"][member], torch.cat(expected)))
        else:
            ours = results.scores["log_probabilities"][member]
            finite = ours.isfinite()
            assert torch.equal(finite, results.scores["base_log_probabilities"][0].isfinite())
            worst = max(worst, distance(ours[finite], results.scores["base_log_probabilities"][0][finite]))
            worst = max(worst, distance(ours[finite], torch.cat(expected)))
    print(f"scores {worst:.1e}")
    assert worst < 1e-4


def test_initial_factors_are_drawn_as_peft_draws_them(bases, tmp_path):
    directory, base = bases["untied"]
    adapter = ALL_LINEAR | {"rank": 16}
    (results,) = run_probe(tmp_path, [specification(directory, "label_token", adapter, {"steps": 1})])
    torch.manual_seed(0)
    peft = PeftMember(base, specification(directory, "label_token", adapter, {}))
    for member in MEMBERS:
        for name, ours in of_member(results.initial, member).items():
            theirs = peft.factors[name].detach()
            assert ours.shape == theirs.shape
            if name.endswith(".B"):
                assert torch.count_nonzero(ours) == 0 and torch.count_nonzero(theirs) == 0
                continue
            # U(-b, b) with b = 1/sqrt(in): no value beyond, some near, and its spread within five standard errors.
            bound, count = ours.shape[1] ** -0.5, ours.numel()
            for values in (ours, theirs):
                assert values.abs().max() <= bound and values.abs().max() > 0.98 * bound
                assert abs(float(values.mean())) < 5 * bound / math.sqrt(3 * count)
                assert abs(float(values.square().mean()) / (bound**2 / 3) - 1) < 5 * math.sqrt(0.8 / count)
    starts = [of_member(results.initial, m) for m in MEMBERS]
    for name in (name for name in starts[0] if name.endswith(".A")):
        assert not torch.equal(starts[0][name], starts[1][name])
        assert not torch.equal(starts[1][name], starts[2][name])
    first = [values for name, values in starts[0].items() if name.endswith("q_proj.A")]
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("task", ["label_token", "option_likelihood", "completion"])
def test_micro_batches_change_nothing(bases, tmp_path, task):
    directory, base = bases["untied"]
    initial = tmp_path / "initial.safetensors"
    random_adapters(initial, base, TOP_LAYERS)
    cases = [
        specification(directory, task, TOP_LAYERS, {"steps": 1, "micro_batch_size": size} | kl("member_to_base"),
                      initial=str(initial), prefix_budget=budget)
        for size, budget in ((EXAMPLES, 1 << 24), (1, 1 << 24), (3, 1 << 24), (EXAMPLES, 0))
    ]  # fmt: skip
    whole, *others = run_probe(tmp_path, cases)
    worst = 0.0
    for other in others:
        for name, values in whole.gradients.items():
            worst = max(worst, float((other.gradients[name] - values).norm() / values.norm()))
        assert other.report["loss"] == pytest.approx(whole.report["loss"], rel=1e-5)
        assert other.report["divergence"] == pytest.approx(whole.report["divergence"], rel=1e-5)
    print(f"gradients {worst:.1e}")
    assert worst < 1e-5


@pytest.mark.parametrize("task", ["label_token", "option_likelihood", "completion"])
def test_a_member_alone_is_the_member_among_others(bases, tmp_path, task):
    """Own initialisation, own order, mini-batches of three: nothing of the neighbours may show."""
    directory, _ = bases["tied"]
    training = {"batch_size": 3, "clip_norm": 1.0}
    groups = [[0, 1, 2, 3], [0], [2], [1, 3]]
    together, *others = run_probe(
        tmp_path, [specification(directory, task, TOP_LAYERS, training, members=members) for members in groups]
    )
    differences = []
    for members, alone in zip(groups[1:], others):
        for position, member in enumerate(members):
            left, right = of_member(alone.final, member), of_member(together.final, member)
            assert left.keys() == right.keys() and len(left) == 2 * 2 * len(ALL)
            differences += [(left[name] - right[name]).abs().flatten() for name in left]
            for name, values in of_member(alone.initial, member).items():
                assert torch.equal(values, of_member(together.initial, member)[name])
            for alone_step, together_step in zip(alone.report["batches"], together.report["batches"]):
                assert alone_step[position] == together_step[member]
    check_weights(differences)
