"""`chorale export`: every member the same in PEFT, merged in transformers, and in the program itself."""

import copy

import pytest
import torch
from helpers_export import (ALL, CASES, MEMBERS, QUIET, TEXTS, exported, largest, log_probabilities, transformers_base,
                            world)
from helpers_score import score_lines
from peft import PeftModel
from safetensors.torch import load_file

__all__ = ["exported", "world"]  # fixtures
pytestmark = QUIET


@pytest.mark.parametrize("case", CASES)
def test_every_way_gives_the_same_log_probabilities(exported, case):
    base, adapters, merged = exported(case)
    lines = score_lines(base, [{"ids": ids} for ids in TEXTS], "--adapters", adapters)
    assert len(lines) == MEMBERS * len(TEXTS)
    plain = transformers_base(base)
    worst_peft = worst_merged = 0.0
    previous = [log_probabilities(plain, ids) for ids in TEXTS]
    for member in range(MEMBERS):
        own = lines[member::MEMBERS]
        assert {line["adapter"] for line in own} == {str(adapters / f"member_{member:03}")}
        ours = [torch.tensor(line["log_probabilities"][1:]) for line in own]
        peft = PeftModel.from_pretrained(copy.deepcopy(plain), adapters / f"member_{member:03}").eval()
        worst_peft = max(worst_peft, largest(ours, [log_probabilities(peft, ids) for ids in TEXTS]))
        whole = transformers_base(merged / f"member_{member:03}")
        worst_merged = max(worst_merged, largest(ours, [log_probabilities(whole, ids) for ids in TEXTS]))
        again = score_lines(merged / f"member_{member:03}", [{"ids": ids} for ids in TEXTS])
        assert largest(ours, [torch.tensor(line["log_probabilities"][1:]) for line in again]) < 1e-4
        assert largest(ours, previous) > 0.01  # neither the base nor the member before
        previous = ours
    print(f"PEFT {worst_peft:.1e}, merged {worst_merged:.1e}")
    assert worst_peft < 1e-4
    assert worst_merged < 1e-4


@pytest.mark.parametrize("case", ["all linears of all layers", "GGUF"])
def test_peft_merges_to_the_same_weights(exported, case):
    base, adapters, merged = exported(case)
    peft = PeftModel.from_pretrained(transformers_base(base), adapters / "member_001").merge_and_unload()
    ours = load_file(merged / "member_001/model.safetensors")
    theirs = peft.state_dict()
    assert ours.keys() == {name for name in theirs if name != "lm_head.weight" or "lm_head.weight" in ours}
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() < 1e-6, name


def test_a_member_trains_on_in_peft(exported):
    base, adapters, _ = exported("all linears of one layer")
    model = PeftModel.from_pretrained(transformers_base(base), adapters / "member_000", is_trainable=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(trained) == 2 * len(ALL)
    optimiser = torch.optim.AdamW(trained, lr=0.01)
    ids = torch.tensor([TEXTS[1]])
    losses = []
    for _ in range(5):
        loss = model(ids, labels=ids).loss
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0]
    model.eval().save_pretrained(base.parent / "trained_on")
    lines = score_lines(base, [{"ids": ids} for ids in TEXTS], "--adapters", base.parent / "trained_on")
    ours = [torch.tensor(line["log_probabilities"][1:]) for line in lines]
    assert largest(ours, [log_probabilities(model, ids) for ids in TEXTS]) < 1e-4
