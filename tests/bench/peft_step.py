"""Times optimiser steps of M LoRA adapters trained in turn with transformers and PEFT: the work of step_bench.

Random weights, float32, CPU. Chosen in PEFT's favour: the faster of eager and sdpa attention, logits of the last
position only, fused AdamW, and the time to switch adapters is left out. Prints one JSON line.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {  # hidden, layers, heads, key/value heads, feed-forward, vocabulary, tied
    "tiny": (192, 6, 6, 6, 512, 4096, True),
    "125m": (768, 12, 12, 12, 2048, 32000, False),
    "smollm2": (576, 30, 9, 3, 1536, 49152, True),
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LABELS = 4
STEPS_PER_EPOCH = 4


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--layers", default="all", help="all, or FIRST-LAST")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seq", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--paced", action="store_true", help="one step for each line on standard input")
    return parser.parse_args()


def adapted_model(shape: str, layers: str, members: int) -> torch.nn.Module:
    hidden, depth, heads, kv_heads, feed_forward, vocabulary, tied = SHAPES[shape]
    config = LlamaConfig(hidden_size=hidden, num_hidden_layers=depth, num_attention_heads=heads,
                         num_key_value_heads=kv_heads, intermediate_size=feed_forward, vocab_size=vocabulary,
                         tie_word_embeddings=tied, max_position_embeddings=2048, use_cache=False)
    base = LlamaForCausalLM(config).float()
    chosen = None
    if layers != "all":
        first, _, last = layers.partition("-")
        chosen = list(range(int(first), int(last or first) + 1))
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS, layers_to_transform=chosen)
    model = get_peft_model(base, lora, adapter_name="member0")
    for member in range(1, members):
        model.add_adapter(f"member{member}", lora)
    return model.train()


def peak_gigabytes() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e9


class Turns:
    """The members' steps, one after the other."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.model = adapted_model(args.shape, args.layers, args.members)
        vocabulary = SHAPES[args.shape][5]
        self.tokens = torch.randint(vocabulary, (STEPS_PER_EPOCH * args.batch, args.seq))
        self.labels = torch.arange(len(self.tokens)) % LABELS
        self.label_tokens = torch.arange(10, 10 + LABELS)
        self.optimisers = []
        for member in range(args.members):
            self.model.set_adapter(f"member{member}")
            trained = [p for p in self.model.parameters() if p.requires_grad]
            self.optimisers.append((trained, torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0, fused=True)))
        self.loss = float("nan")

    def step(self) -> float:
        """Milliseconds of one step of every member."""
        seconds = 0.0
        for member, (trained, optimiser) in enumerate(self.optimisers):
            self.model.set_adapter(f"member{member}")
            chosen = torch.randperm(len(self.tokens))[: self.args.batch]
            begin = time.perf_counter()
            logits = self.model(input_ids=self.tokens[chosen], use_cache=False, logits_to_keep=1).logits[:, -1]
            loss = torch.nn.functional.cross_entropy(logits[:, self.label_tokens], self.labels[chosen])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            self.loss = loss.item()
            seconds += time.perf_counter() - begin
        return seconds * 1e3

    def choose_attention(self) -> str:
        """The faster implementation, measured after one step each to warm up."""
        times = {}
        for name in ("eager", "sdpa"):
            self.model.get_base_model().set_attn_implementation(name)
            self.step()
            times[name] = min(self.step() for _ in range(2))
        fastest = min(times, key=times.get)
        self.model.get_base_model().set_attn_implementation(fastest)
        return fastest


def main() -> None:
    args = options()
    logging.disable(logging.WARNING)
    torch.manual_seed(3)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    turns = Turns(args)
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    attention = turns.choose_attention()
    if args.paced:
        print("ready", flush=True)
    times = []
    while len(times) < args.steps:
        if args.paced and not sys.stdin.readline():
            raise SystemExit("peft_step: error: --paced: standard input ended early")
        times.append(turns.step())
        if args.paced:
            print(times[-1], flush=True)
    tokens = args.batch * args.seq
    ms = statistics.median(times)
    print(json.dumps({"variant": f"PEFT in turn ({attention})", "device": "cpu", "threads": torch.get_num_threads(),
                      "shape": args.shape, "layers": args.layers, "members": args.members,
                      "tokens_per_member": tokens, "ms_step": ms, "ms_fastest": min(times), "ms_prefix": 0.0,
                      "tokens_per_second": tokens * args.members / ms * 1e3, "peak_gb": peak_gigabytes(),
                      "loss": turns.loss}))


if __name__ == "__main__":
    main()
