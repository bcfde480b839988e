"""The CPU kernel: a whole step of the decoder in one C++ call, compiled on first use (see `build` and `runner`)."""

from whetstone.engine.native.build import load, reason
from whetstone.engine.native.runner import NativeRunner, supported
from whetstone.engine.native.sums import block_sums

__all__ = ["NativeRunner", "block_sums", "load", "reason", "supported"]
