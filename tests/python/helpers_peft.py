"""What the program's adapters, losses and training must equal: PEFT, one sequence per option, torch.optim.AdamW."""

import copy

import torch
from peft import LoraConfig, get_peft_model


class PeftMember:
    """A PEFT model that takes the part of one ensemble member after another. `case`: the object lora_probe reads."""

    def __init__(self, base, case):
        """`base`: a transformers model; it is left as it is."""
        adapter = case["adapter"]
        config = LoraConfig(
            r=adapter["rank"],
            lora_alpha=adapter["alpha"],
            use_rslora=adapter.get("scaling") == "rank_stabilised",
            target_modules=adapter["targets"],
            layers_to_transform=adapter.get("layers"),
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
        )
        self.model = get_peft_model(copy.deepcopy(base), config).eval()
        self.case = case
        self.known = {}  # base_logits never change
        trained = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
        self.factors = {short_name(name): value for name, value in trained.items()}

    def load(self, factors):
        """`factors`: {"<module>.A" or "<module>.B": tensor}, all of them and no other."""
        assert self.factors.keys() == factors.keys()
        with torch.no_grad():
            for name, values in factors.items():
                assert self.factors[name].shape == values.shape, name
                self.factors[name].copy_(values)

    def logits(self, sequences):
        """[len, vocabulary] of each sequence. Shorter ones are filled up behind their end, where nothing looks back."""
        length = max(map(len, sequences))
        rows = self.model(torch.tensor([ids + [0] * (length - len(ids)) for ids in sequences])).logits
        return [row[: len(ids)] for row, ids in zip(rows, sequences)]

    def base_logits(self, sequences):
        key = str(sequences)
        if key not in self.known:
            with torch.no_grad(), self.model.disable_adapter():
                self.known[key] = self.logits(sequences)
        return self.known[key]

    def scores(self, examples, of):
        """Per example: log-probabilities of its choices or, for a completion, of all tokens at every answer position.

        `of`: logits or base_logits."""
        task = self.case["task"]
        if task == "label_token":
            rows = of([example["prompt"] for example in examples])
            return [row[-1, example["labels"]].log_softmax(0) for row, example in zip(rows, examples)]
        pairs = [(example["prompt"], option) for example in examples for option in example["continuations"]]
        rows = of([prompt + option for prompt, option in pairs])
        tokens = [row.log_softmax(-1)[len(prompt) - 1 : -1] for row, (prompt, _) in zip(rows, pairs)]
        if task == "completion":
            return tokens
        means = [picked(log_p, option).mean() for log_p, (_, option) in zip(tokens, pairs)]
        result = []
        for example in examples:
            count = len(example["continuations"])
            result.append(torch.stack(means[:count]).log_softmax(0))
            means = means[count:]
        return result

    def losses(self, examples):
        """(cross-entropy, KL to the base), means over examples or, for a completion, over all answer tokens."""
        scores = self.scores(examples, self.logits)
        if self.case["task"] == "completion":
            answers = [token for example in examples for token in example["continuations"][0]]
            scores = [torch.cat(scores)]
            cross_entropy = -picked(scores[0], answers).mean()
        else:
            cross_entropy = -torch.stack([s[example["label"]] for s, example in zip(scores, examples)]).mean()
        kl = self.case["training"].get("kl_to_base")
        if kl is None:
            return cross_entropy, torch.zeros(())
        base = self.scores(examples, self.base_logits)
        if self.case["task"] == "completion":
            base = [torch.cat(base)]
        pairs = list(zip(scores, base))
        if kl["direction"] == "base_to_member":
            pairs = [(q, p) for p, q in pairs]
        return cross_entropy, torch.cat([(p.exp() * (p - q)).sum(-1, keepdim=True) for p, q in pairs]).mean()

    def backward(self, examples):
        """Gradients into the parameters; returns losses()."""
        self.model.zero_grad()
        cross_entropy, divergence = self.losses(examples)
        (cross_entropy + self.case["training"].get("kl_to_base", {"weight": 0.0})["weight"] * divergence).backward()
        return cross_entropy.item(), divergence.item()

    def optimiser(self, learning_rate):
        decay = self.case["training"].get("weight_decay", {"A": 0.0, "B": 0.0})
        groups = [
            {"params": [p for name, p in self.factors.items() if name.endswith(factor)], "weight_decay": decay[factor]}
            for factor in "AB"
        ]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8)

    def train(self, batches, learning_rate):
        """One step of AdamW per batch of examples; returns the norm of every step's gradient."""
        optimiser, norms = self.optimiser(learning_rate), []
        limit = self.case["training"].get("clip_norm", float("inf"))
        for examples in batches:
            self.backward(examples)
            norms.append(torch.nn.utils.clip_grad_norm_(self.factors.values(), limit).item())
            optimiser.step()
        return norms


def short_name(name):
    """base_model.model.<module>.lora_A.default.weight -> <module>.A"""
    module, factor = name.removeprefix("base_model.model.").split(".lora_")
    return f"{module}.{factor[0]}"


def picked(log_probabilities, tokens):
    return log_probabilities.gather(1, torch.tensor(tokens)[:, None])[:, 0]
