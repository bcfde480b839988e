"""Compile every kernel for an H100 with the shapes of Llama 3.2 1B and SmolLM2-135M; needs Triton and no GPU.

Run by test_compiling.py in a process of its own, since a kernel that was imported for the interpreter cannot be
compiled. Prints a line per kernel: name, registers and stack bytes a thread, bytes of shared memory. Registers that
spill to a large stack, or more shared memory than an H100 has, are an error.
"""

import re
import subprocess
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from whetstone.engine.gpu import kernels
from whetstone.engine.gpu.triton_operations import columns, tile_rows

TARGET = GPUTarget("cuda", 90, 32)
POINTERS = {
    "positions_N": "*i32",
    "branch_N": "*i32",
    "tables_RC": "*i32",
    "first_T": "*i32",
    "count_T": "*i32",
    "partial": "*fp32",
    "largest_NHX": "*fp32",
    "total_NHX": "*fp32",
    "weight_D": "*fp32",
    "q_weight_E": "*fp32",
    "k_weight_E": "*fp32",
    "logits_MV": "*fp32",
    "top_M": "*fp32",
    "scale_M": "*fp32",
    "out_MK": "*fp64",
    "x_MD": "*fp32",
    "weight_VD": "*fp32",
    "out_MV": "*fp32",
}
NUMBERS = dict.fromkeys(("table_stride", "split_tokens", "window", "shares", "C", "D", "V", "K", "rows"), "i32")
NUMBERS |= {"width": "i32", "outputs": "i32", "scale": "fp32", "eps": "fp32"}
ACTIVATIONS = ("q_NHE", "keys", "values", "out_NHE", "qkv_NF", "cos_NE", "sin_NE", "x_ND", "delta_ND", "sum_ND")
ACTIVATIONS += ("out_ND", "gate_up", "out_NC", "x_D", "weight_OD", "bias_O", "out_O")


def power(number: int) -> int:
    return 1 << (number - 1).bit_length()


def attention(
    heads: int, kv_heads: int, head_dim: int, rows: int, at_once: int, windowed: bool, split: bool
) -> dict[str, object]:
    group = heads // kv_heads
    queries = max(16, power(rows * group))
    sizes = {"G": kv_heads, "GROUP": group, "E": head_dim, "E_PADDED": max(16, power(head_dim))}
    return sizes | {
        "M": queries,
        "TILE_ROWS": rows,
        "COLUMNS": at_once,
        "BLOCK": 16,
        "WINDOWED": windowed,
        "SPLIT": split,
    }


def cases() -> list[tuple[str, dict[str, object], str, dict[str, int]]]:
    """Kernel, its compile-time constants, the activations' type, options."""
    found: list[tuple[str, dict[str, object], str, dict[str, int]]] = []
    for heads, kv_heads, head_dim in ((32, 8, 64), (9, 3, 64), (16, 8, 128), (4, 2, 12)):
        for kind, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
            for rows, split in ((1, False), (1, True), (tile_rows(heads, kv_heads, dtype), False)):
                for windowed in (False, True):
                    constants = attention(heads, kv_heads, head_dim, rows, columns(dtype), windowed, split)
                    found.append(("attend_kernel", constants, kind, {"num_warps": 4}))
            constants = {"H": heads, "G": kv_heads, "E": head_dim, "HALF_PADDED": power(head_dim // 2), "BLOCK": 16}
            for normed in (False, True):
                found.append(("rotate_kernel", {**constants, "NORMED": normed}, kind, {"num_warps": 1}))
        found.append(
            ("combine_kernel", {"E": head_dim, "E_PADDED": power(head_dim), "AT_ONCE": 16}, "bf16", {"num_warps": 1})
        )
    for width in (576, 2048):
        for adds in (False, True):
            found.append(
                ("norm_kernel", {"D": width, "D_PADDED": power(width), "ADDS": adds}, "bf16", {"num_warps": 4})
            )
    found.append(("glu_kernel", {"AT_ONCE": 1024}, "bf16", {"num_warps": 4}))
    for kind in ("bf16", "fp32"):
        for biased in (False, True):
            found.append(("vector_kernel", {"BIASED": biased, "ROWS": 4, "COLUMNS": 1024}, kind, {"num_warps": 4}))
    for rows in (16, 32, 64):
        constants = {"ROWS": rows, "WORDS": 128, "DEPTH": 32}
        found.append(("wide_product_kernel", constants, "fp32", {"num_warps": 8 if rows == 64 else 4, "num_stages": 3}))
    found.append(("sums_kernel", {"SPAN": 256, "AT_ONCE": 8}, "fp32", {"num_warps": 4}))
    return found


def compiled(name: str, constants: dict[str, object], kind: str, options: dict[str, int]) -> str:
    """One kernel's line. Pointers and the larger numbers are given as divisible by 16, as they are at run time."""
    kernel = getattr(kernels, name)
    types = POINTERS | NUMBERS | dict.fromkeys(ACTIVATIONS, f"*{kind}")
    signature = {each: "constexpr" if each in constants else types[each] for each in kernel.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]] for place, each in enumerate(kernel.arg_names) if signature[each][0] == "*"
    }
    source = ASTSource(kernel, signature, constants, aligned)
    made = triton.compile(source, target=TARGET, options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        dump = triton.__path__[0] + "/backends/nvidia/bin/cuobjdump"
        usage = ""
        if Path(dump).exists():
            usage = subprocess.run([dump, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    numbers = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", usage))
    shared = made.metadata.shared
    assert int(numbers.get("STACK", 0)) <= 512, f"{name} {constants} {kind} spills: {numbers}"
    assert shared <= 227 * 1024, f"{name} needs {shared} bytes of shared memory"
    return f"{name} {constants} {kind}: {numbers or 'no cuobjdump'}, {shared} bytes shared"


if __name__ == "__main__":
    for case in cases():
        print(compiled(*case), flush=True)
