"""The CPU kernels' inner loops are vectorised: one that is not gives the same results, many times slower, and no other test
would notice. Looked at is the machine code for AVX-512 that the program holds, whatever CPU this is."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("CHORALE_SOURCE", Path(__file__).resolve().parents[2]))
BIN = Path(os.environ.get("CHORALE_BIN", SOURCE / "build" / "dev" / "bin"))

# Function in float32, and what its loop does to a whole vector at least so many times.
LOOPS = [
    ("adamw_kernel(float*", "vsqrtps", 1),
    ("sum_of_squares(float", "vfmadd|vmulp[sd]", 1),
    ("rotate_rows(chorale::Rows<float", "vfmadd|vfmsub|vfnmadd|vmulps", 4),
    ("rotate_rows_back(chorale::Rows<float", "vfmadd|vfmsub|vfnmadd|vmulps", 4),
    ("divide_rows(chorale::Rows<float", "vmulps", 1),
    ("softmax_rows(float", "vfmadd", 6),  # an exponential's polynomial
    ("softmax_rows_backward(float", "vfmadd", 6),
    ("take_in_row(float", "vfmadd", 6),
    ("forward_f32(float", "vdivps", 1),
    ("backward_f32(float", "vdivps", 1),
    ("run_forward(chorale::(anonymous namespace)::ForwardRows<float", "vfmadd|vmulps", 2),
    ("run_backward(chorale::(anonymous namespace)::BackwardRows<float", "vfmadd|vmulps", 2),
    ("small_product(chorale::LeftFactor<float", "vfmadd", 48),
    ("small_product_add(chorale::LeftFactor<float", "vfmadd", 48),
]


@pytest.fixture(scope="module")
def clones():
    """{function's name: [instruction, ...]} of the program's clones for AVX-512."""
    if platform.machine() != "x86_64":
        pytest.skip("clones for several vector widths are for x86-64")
    if shutil.which("objdump") is None:
        pytest.skip("no objdump")
    text = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", BIN / "chorale"], check=True, capture_output=True,
                          text=True).stdout
    functions, lines = {}, None
    for line in text.splitlines():
        head = re.fullmatch(r"[0-9a-f]+ <(.+)>:", line)
        if head:
            lines = functions.setdefault(head[1], []) if "arch_x86_64_v4" in head[1] else None
        elif lines is not None:
            lines.append(line.partition("\t")[2])
    if not functions:
        pytest.skip("built without clones (a sanitizer, or not with g++)")
    return functions


@pytest.mark.parametrize("name, instruction, least", LOOPS, ids=[name.partition("(")[0] for name, _, _ in LOOPS])
def test_inner_loops_work_on_whole_vectors(clones, name, instruction, least):
    found = [lines for function, lines in clones.items() if f"::{name}" in function]
    assert found, f"no function {name}...: has it got another name?"
    for lines in found:
        whole = [line for line in lines if re.match(instruction, line) and "%zmm" in line]
        assert len(whole) >= least, f"{name}...: {len(whole)} of {instruction} on whole vectors, {least} expected"


def test_every_clone_is_in_the_list_or_works_on_vectors(clones):
    """A kernel that nobody has put into the list above: at least some of its arithmetic is on vectors."""
    arithmetic = re.compile(r"v(fn?m(add|sub)\w*|add|sub|mul|div|sqrt|max|min)s[sd]\b|vcvt\w*")
    scalar = [function for function, lines in clones.items()
              if "double" not in function.partition("(")[2] and any(arithmetic.match(line) for line in lines)
              and not any("%zmm" in line or "%ymm" in line for line in lines)]
    assert scalar == []
