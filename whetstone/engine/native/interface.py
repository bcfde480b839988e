"""The kernel's C interface: its two structures and the types of its functions (see the end of kernel.cpp)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_float, c_int, c_int64, c_void_p


class Shape(ctypes.Structure):
    """Sizes and switches of a model."""

    _fields_ = (
        ("vocab", c_int64),
        ("width", c_int64),
        ("layers", c_int64),
        ("heads", c_int64),
        ("kv_heads", c_int64),
        ("head_dim", c_int64),
        ("channel", c_int64),
        ("qk_norm", c_int64),
        ("post_norm", c_int64),
        ("eps", c_float),
    )


class StepArguments(ctypes.Structure):
    """One step: counts, then pointers to arrays that live until the call returns."""

    _fields_ = (
        ("rows", c_int64),
        ("wanted_rows", c_int64),
        ("table_stride", c_int64),
        ("branches", c_int64),
        ("ids", c_void_p),
        ("positions", c_void_p),
        ("branch", c_void_p),
        ("wanted", c_void_p),
        ("tables", c_void_p),
        ("embedding", c_void_p),
        ("cosines", c_void_p),
        ("sines", c_void_p),
        ("known_positions", c_int64),
        ("want_hidden", c_int64),
        ("out", c_void_p),
    )


def declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """Give the library's functions their types. Raises AttributeError where one is missing."""
    functions = {
        "native_width": (c_int, []),
        "native_create": (c_void_p, [POINTER(Shape), POINTER(c_int64), c_int64, c_int, c_int]),
        "native_free": (None, [c_void_p]),
        "native_copy_block": (None, [c_void_p, c_int64, c_int64]),
        "native_pack": (
            c_int,
            [c_void_p, c_int64, c_int64, c_int64, c_int64, POINTER(c_void_p), POINTER(c_void_p), POINTER(c_int64)],
        ),
        "native_set_norm": (c_int, [c_void_p, c_int64, c_int64, c_void_p, c_int64]),
        "native_step": (c_int, [c_void_p, POINTER(StepArguments)]),
        "native_product": (c_int, [c_void_p, c_int64, c_int64, c_void_p, c_int64, c_void_p]),
        "native_block_sums": (None, [c_void_p, c_int64, c_int64, c_int64, c_float, c_void_p, c_void_p, c_int]),
        "native_exp": (None, [c_void_p, c_void_p, c_int64]),
    }
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def pointers(values: Sequence[int | None]) -> ctypes.Array[c_void_p]:
    """A C array of addresses; None is a null pointer."""
    return (c_void_p * len(values))(*values)


def integers(values: Sequence[int]) -> ctypes.Array[c_int64]:
    """A C array of 64-bit numbers."""
    return (c_int64 * len(values))(*values)
