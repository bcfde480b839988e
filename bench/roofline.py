"""How fast this machine could possibly generate: a lower bound of the time, from bytes to read and products to do."""

from dataclasses import dataclass
from typing import Literal

from whetstone.models.decoder import Decoder, Linear
from whetstone.runs.machine import Speed

# Bytes of one weight. int8: one for the number and a share of the fp32 scale of its group of 32; llama.cpp's Q8_0
# has an fp16 scale instead.
WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1 + 4 / 32}


@dataclass(frozen=True)
class Bound:
    """Seconds that a run takes at least, and what bounds its steps: reading or computing."""

    seconds: float
    by: Literal["bytes", "products"]

    def share(self, seconds: float) -> float:
        """How much of the possible speed a run of `seconds` had: 1 would be the bound itself."""
        return self.seconds / seconds


def step(model: Decoder, storage: str, tokens: int, rows: int, cached: float, seen: float, speed: Speed) -> Bound:
    """The bound of one step: `tokens` through the layers, `rows` of logits.

    cached: positions whose keys and values are read, over all sequences; seen: positions attended to, summed over the
    tokens. With L and H the weights in the layers' matrices and in the output matrix, and w bytes for each:

        bytes   = w (L + H) + cached * kv_bytes_per_token
        flop    = 2 (L tokens + H rows) + 4 layers heads head_dim seen
        seconds = max(bytes / read bandwidth, flop / speed of an fp32 matrix product)

    The cache is fp32, as ours is. Caches that hold weights from one step to the next, and products in narrower types
    than fp32, can beat the bound; then the share is above 1.
    """
    config = model.config
    layers = sum(module.weight.numel() for module in model.layers.modules() if isinstance(module, Linear))
    head = model.head_weight_VD.numel()
    reading = (WEIGHT_BYTES[storage] * (layers + head) + cached * config.kv_bytes_per_token) / (speed.read * 1e9)
    flop = 2 * (layers * tokens + head * rows) + 4 * config.layers * config.heads * config.head_dim * seen
    computing = flop / (speed.matmul * 1e9)
    return Bound(reading, "bytes") if reading > computing else Bound(computing, "products")


def decoding(model: Decoder, storage: str, batch: int, prompt: float, tokens: int, speed: Speed) -> Bound:
    """The bound of `tokens` steps of `batch` sequences each, whose prompts have `prompt` tokens."""
    context = batch * (prompt + (tokens + 1) / 2)  # its mean over the steps
    each = step(model, storage, batch, batch, context, context, speed)
    return Bound(tokens * each.seconds, each.by)


def run(model: Decoder, storage: str, batch: int, prompts: list[int], tokens: int, speed: Speed) -> Bound:
    """The bound of a whole run: all `prompts` (their lengths, each computed once) in one step, which also gives each
    of the `batch` sequences its first token, then tokens - 1 steps. `by` is what bounds those."""
    causal = sum(length * (length + 1) / 2 for length in prompts)
    first = step(model, storage, sum(prompts), batch, sum(prompts), causal, speed)
    rest = decoding(model, storage, batch, sum(prompts) / len(prompts), tokens - 1, speed)
    return Bound(first.seconds + rest.seconds, rest.by)
