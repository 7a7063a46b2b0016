"""Times optimiser steps of M LoRA adapters trained in turn with transformers and PEFT: the work of step_bench.

Random weights, bfloat16 on a GPU and float32 on a CPU. Chosen in PEFT's favour: the faster of eager and sdpa attention,
logits where they are needed only, fused AdamW, and the time to switch adapters is left out. Prints one JSON line.
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
    "0.5b": (896, 24, 14, 2, 4864, 151936, True),
    "1b": (2048, 16, 32, 8, 8192, 128256, True),
    "8b": (4096, 32, 32, 8, 14336, 128256, False),
}
TARGETS = {"all": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "qv": ["q_proj", "v_proj"]}
LABELS = 4
STEPS_PER_EPOCH = 4


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--layers", default="all", help="all, top-quarter, FIRST or FIRST-LAST")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seq", type=int, default=32)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--targets", choices=TARGETS, default="all")
    parser.add_argument("--adapters", choices=["float32", "bfloat16"], default="float32",
                        help="float32 is PEFT's default; bfloat16 is autocast_adapter_dtype=False")
    parser.add_argument("--answer-only", action="store_true")
    parser.add_argument("--share-batch", action="store_true", help="accepted: it saves PEFT nothing")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--paced", action="store_true", help="one step for each line on standard input")
    return parser.parse_args()


def chosen_layers(text: str, count: int) -> list[int] | None:
    if text == "all":
        return None
    if text == "top-quarter":
        return list(range(count - (count + 3) // 4, count))
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def adapted_model(args: argparse.Namespace) -> torch.nn.Module:
    hidden, depth, heads, kv_heads, feed_forward, vocabulary, tied = SHAPES[args.shape]
    config = LlamaConfig(hidden_size=hidden, num_hidden_layers=depth, num_attention_heads=heads,
                         num_key_value_heads=kv_heads, intermediate_size=feed_forward, vocab_size=vocabulary,
                         tie_word_embeddings=tied, max_position_embeddings=8192, use_cache=False)
    config.dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    before = torch.get_default_dtype()
    torch.set_default_dtype(config.dtype)
    with torch.device(args.device):  # made where it is used: an 8b model takes minutes to initialise on a CPU
        base = LlamaForCausalLM(config)
    torch.set_default_dtype(before)
    lora = LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules=TARGETS[args.targets],
                      layers_to_transform=chosen_layers(args.layers, depth))
    promoted = args.adapters == "float32"
    model = get_peft_model(base, lora, adapter_name="member0", autocast_adapter_dtype=promoted)
    for member in range(1, args.members):
        model.add_adapter(f"member{member}", lora, autocast_adapter_dtype=promoted)
    return model.to(args.device).train()


def peak_gigabytes(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() * 1e-9
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e9


def operations(args: argparse.Namespace) -> float:
    """Of a step of all members, counted as step_bench counts them (bench_options.hpp)."""
    hidden, depth, heads, kv_heads, feed_forward, vocabulary, _ = SHAPES[args.shape]
    weights = hidden * (hidden // heads) * (2 * heads + 2 * kv_heads) + 3 * hidden * feed_forward
    tokens = args.members * args.batch * args.seq
    outputs = args.members * args.batch if args.answer_only else tokens
    return 4.0 * weights * depth * tokens + 6.0 * args.seq * hidden * depth * tokens + 4.0 * hidden * vocabulary * outputs


class Turns:
    """The members' steps, one after the other."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.model = adapted_model(args)
        vocabulary = SHAPES[args.shape][5]
        drawn = torch.randint(vocabulary, (STEPS_PER_EPOCH * args.batch, args.seq + 1)).to(args.device)
        self.tokens, self.next = drawn[:, :-1].contiguous(), drawn[:, 1:].contiguous()
        self.labels = (torch.arange(len(drawn)) % LABELS).to(args.device)
        self.label_tokens = torch.arange(10, 10 + LABELS).to(args.device)
        self.optimisers = []
        for member in range(args.members):
            self.model.set_adapter(f"member{member}")
            trained = [p for p in self.model.parameters() if p.requires_grad]
            self.optimisers.append((trained, torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0, fused=True)))
        self.loss = float("nan")

    def loss_of(self, chosen: torch.Tensor) -> torch.Tensor:
        if self.args.answer_only:
            logits = self.model(input_ids=self.tokens[chosen], use_cache=False, logits_to_keep=1).logits[:, -1]
            return torch.nn.functional.cross_entropy(logits[:, self.label_tokens].float(), self.labels[chosen])
        logits = self.model(input_ids=self.tokens[chosen], use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), self.next[chosen].flatten())

    def step(self) -> float:
        """Milliseconds of one step of every member."""
        seconds = 0.0
        self.cpu = 0.0
        for member, (trained, optimiser) in enumerate(self.optimisers):
            self.model.set_adapter(f"member{member}")
            chosen = torch.randperm(len(self.tokens))[: self.args.batch].to(self.args.device)
            self.wait()
            begin, cpu = time.perf_counter(), time.process_time()
            loss = self.loss_of(chosen)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            self.loss = loss.item()
            self.wait()
            seconds += time.perf_counter() - begin
            self.cpu += (time.process_time() - cpu) * 1e3
        return seconds * 1e3

    def wait(self) -> None:
        if self.args.device == "cuda":
            torch.cuda.synchronize()

    def choose_attention(self) -> str:
        """The faster implementation, measured after one step each to warm up."""
        times = {}
        for name in ("eager", "sdpa"):
            self.model.get_base_model().set_attn_implementation(name)
            try:
                self.step()
                times[name] = min(self.step() for _ in range(2))
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
        if not times:
            raise SystemExit("peft_step: error: neither attention fits the device's memory")
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
    attention = turns.choose_attention()
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")
    if args.paced:
        print("ready", flush=True)
    times, cpu = [], []
    while len(times) < args.steps:
        if args.paced and not sys.stdin.readline():
            raise SystemExit("peft_step: error: --paced: standard input ended early")
        times.append(turns.step())
        cpu.append(turns.cpu)
        if args.paced:
            print(times[-1], flush=True)
    tokens = args.batch * args.seq
    ms = statistics.median(times)
    kind = f", {args.adapters} adapters" if args.device == "cuda" else ""
    print(json.dumps({"variant": f"PEFT in turn{kind} ({attention})", "device": args.device, "shape": args.shape,
                      "members": args.members, "tokens_per_member": tokens, "ms_step": ms,
                      "tokens_per_second": tokens * args.members / ms * 1e3, "mfu": None,
                      "peak_gb": peak_gigabytes(args.device), "operations": operations(args), "ms_fastest": min(times),
                      "ms_cpu": statistics.median(cpu),
                      "threads": torch.get_num_threads(), "rank": args.rank, "targets": args.targets,
                      "layers": args.layers, "answer_only": args.answer_only, "loss": turns.loss}))


if __name__ == "__main__":
    main()
