"""Times frozen weights' products: torch.mm against oneDNN with the weight laid out once. Prints a Markdown table."""

import argparse
import statistics
import time

import torch

SIZES = [(576, 960), (576, 576), (576, 3072), (1536, 576)]  # in x out, of SmolLM2-135M's layers


def milliseconds(product) -> float:
    begin = time.perf_counter()
    product()
    return (time.perf_counter() - begin) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=665)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(3)
    print("| in x out | torch.mm, ms | laid out once, ms | ratio |\n|---|---|---|---|")
    totals = [0.0, 0.0]
    with torch.no_grad():
        for inner, outer in SIZES:
            x, weight = torch.randn(args.rows, inner), torch.randn(outer, inner)
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, args.rows)
            plain = lambda: torch.mm(x, weight.t())
            laid_out = lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
            torch.testing.assert_close(laid_out(), plain(), rtol=1e-4, atol=1e-3)
            # In turns, so that a busy machine is busy for both.
            times = [[milliseconds(f) for f in (plain, laid_out)] for _ in range(args.repeats)]
            plain_ms, laid_out_ms = (statistics.median(column) for column in zip(*times))
            totals[0] += plain_ms
            totals[1] += laid_out_ms
            print(f"| {inner} x {outer} | {plain_ms:.2f} | {laid_out_ms:.2f} | {plain_ms / laid_out_ms:.2f} |")
    print(f"| all four | {totals[0]:.2f} | {totals[1]:.2f} | {totals[0] / totals[1]:.2f} |")


if __name__ == "__main__":
    main()
