"""`whet bench kernel`: the CPU kernel beside torch, on the same model in one process.

Three parts. `products`: the matrix products of all layers, weights coming from memory, beside `F.linear`. `decode`:
steps of B rows at one context length, beside the decoder's own forward with a dense cache. `fidelity`: how far bf16 and
int8 weights move the model's distribution on text that the model itself wrote (KL divergence in nats, agreement of the
most likely token). Both sides take turns and the quickest repetition counts.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench import peer, report
from whetstone.engine.native import NativeRunner, load, reason
from whetstone.engine.native.packed import STORAGES, StorageKind
from whetstone.engine.step import BLOCK, Step
from whetstone.errors import WorkFailed
from whetstone.models import loading
from whetstone.models.config import ModelConfig
from whetstone.models.decoder import Decoder
from whetstone.models.hub import DEFAULT_MODEL

BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.125}  # of a stored weight
Clock = Callable[[], float]


def main() -> None:
    options = read_options()
    if load(report.say) is None:
        raise WorkFailed(f"there is no kernel to measure: {reason()}")
    loaded = loading.load(options.model)
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        for part in options.parts:
            report.print_rows(PARTS[part](loaded, options), options.json)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model folder or name, as `whet sharpen` takes it")
    parser.add_argument("--parts", default="products,decode,fidelity")
    parser.add_argument("--storages", default=",".join(STORAGES))
    parser.add_argument("--rows", default="1,8,32,128,512", help="rows of the products")
    parser.add_argument("--batches", default="1,8,32,128", help="rows of the decode steps")
    parser.add_argument("--context", type=int, default=64, help="tokens before each decode step")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=2.0, help="of repetitions for each side of each figure")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="with one thread: count the processor time of the thread, which other processes disturb less",
    )
    options = parser.parse_args()
    for name, kind in (("parts", str), ("storages", str), ("rows", int), ("batches", int)):
        try:
            setattr(options, name, [kind(each) for each in getattr(options, name).split(",")])
        except ValueError:
            parser.error(f"--{name} is a list with commas")
    if set(options.parts) - set(PARTS) or set(options.storages) - set(STORAGES):
        parser.error(f"the parts are {', '.join(PARTS)}, the storages {', '.join(STORAGES)}")
    if min(options.rows + options.batches + [options.context, options.threads]) < 1 or options.seconds < 0:
        parser.error("sizes are at least 1")
    if options.cpu_time and options.threads > 1:
        parser.error("--cpu-time needs --threads 1")
    return options


def quickest(sides: list[list[Callable[[], object]]], options: argparse.Namespace) -> list[float]:
    """Seconds of each side: each is a list of pieces of work, and the quickest times of its pieces are added up, so
    that a disturbance spoils one piece and not the whole."""
    clock: Clock = time.thread_time if options.cpu_time else time.perf_counter
    best = [[float("inf")] * len(side) for side in sides]
    begin = time.perf_counter()
    rounds = 0
    while rounds < 3 or time.perf_counter() - begin < options.seconds * len(sides):
        for side, times in zip(sides, best, strict=True):
            for piece, work in enumerate(side):
                start = clock()
                work()
                times[piece] = min(times[piece], clock() - start)
        rounds += 1
    return [sum(times) for times in best]


def runner_of(model: Decoder, storage: StorageKind, tokens: int, options: argparse.Namespace) -> NativeRunner:
    return NativeRunner(model, -(-tokens // BLOCK), storage, options.threads)


def products(loaded: loading.Loaded, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """GFLOP/s of all layers' products; the note has the bytes of weights read per second, and the machine's limits."""
    model: Any = loaded.model
    square, large = torch.randn(1024, 1024), torch.ones(64 << 20)
    sgemm, read = quickest([[lambda: square @ square], [lambda: large.sum()]], options)
    limits = f"limits: sgemm {2e-9 * 1024**3 / sgemm:.0f} GFLOP/s, memory {4e-9 * large.numel() / read:.1f} GB/s"
    runners = {storage: runner_of(model, storage, BLOCK, options) for storage in options.storages}
    weights = report.products(model, 1, 0) * 1e9 / 2
    for rows in options.rows:
        inputs = {
            width: torch.randn(rows, width) for width in {lin.weight.shape[1] for lin in linears(model.layers[0])}
        }
        out = torch.empty(rows, 4 * max(model.config.channel_width, model.config.width) + 64)

        def torchs(block: Any, inputs: dict[int, Tensor] = inputs) -> None:
            for linear in linears(block):
                F.linear(inputs[linear.weight.shape[1]], linear.weight)

        def ours(runner: NativeRunner, layer: int, inputs: dict[int, Tensor] = inputs, out: Tensor = out) -> None:
            block = model.layers[layer]
            for slot, linear in enumerate((block.mixer.q, block.mixer.o, block.channel.gate, block.channel.down)):
                runner.product(layer, slot, inputs[linear.weight.shape[1]], out)

        layers = range(len(model.layers))
        sides = [[lambda r=runner, i=layer: ours(r, i) for layer in layers] for runner in runners.values()]  # type: ignore[misc]
        sides.append([lambda b=block: torchs(b) for block in model.layers])  # type: ignore[misc]
        *times, theirs = quickest(sides, options)
        work = report.products(model, rows, 0)
        for storage, seconds in zip(runners, times, strict=True):
            bandwidth = weights * BYTES[storage] / seconds / 1e9
            yield report.row(
                f"kernel.products.{storage}.rows{rows}",
                work / seconds,
                work / theirs,
                "F.linear fp32",
                "GFLOP/s",
                higher_is_better=True,
                note=f"weights read at {bandwidth:.1f} GB/s; {limits}",
            )


def linears(block: Any) -> tuple[Any, ...]:
    mixer, channel = block.mixer, block.channel
    return (mixer.q, mixer.k, mixer.v, mixer.o, channel.gate, channel.up, channel.down)


class DenseCache:
    """The attention context of torch's side: rows of one length, each step overwrites the last column."""

    def __init__(self, config: ModelConfig, rows: int, context: int) -> None:
        shape = (2, rows, config.kv_heads, context + 1, config.head_dim)
        self._layers = [torch.zeros(shape) for _ in range(config.layers)]

    def attend(self, layer: int, q_NHE: Tensor, k_NGE: Tensor, v_NGE: Tensor, window: int | None) -> Tensor:
        assert window is None, "the dense cache knows no windows"
        keys, values = self._layers[layer]
        keys[:, :, -1], values[:, :, -1] = k_NGE, v_NGE
        return F.scaled_dot_product_attention(q_NHE.unflatten(1, (k_NGE.shape[1], -1)), keys, values).flatten(1, 2)


def decode(loaded: loading.Loaded, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Tokens per second of one decode step, logits included, the choice of the token not."""
    model, context = loaded.model, options.context
    tokens = max(options.batches) * (context + BLOCK)
    runners = {storage: runner_of(model, storage, tokens, options) for storage in options.storages}
    random = np.random.default_rng(0)
    for rows in options.batches:
        blocks = context // BLOCK + 1
        step = Step(
            random.integers(0, model.config.vocab_size, rows),
            np.full(rows, context),
            np.arange(rows),
            random.permutation(rows * blocks).reshape(rows, blocks).astype(np.int32),
            np.arange(rows),
        )
        cache = DenseCache(model.config, rows, context)
        ids, positions = torch.from_numpy(step.ids_N), torch.from_numpy(step.positions_N)
        sides: list[list[Callable[[], object]]] = [[lambda r=runner, s=step: r.run(s)] for runner in runners.values()]  # type: ignore[misc]
        sides.append([lambda i=ids, p=positions, c=cache: model.logits(model(i, p, c))])  # type: ignore[misc]
        *times, theirs = quickest(sides, options)
        for storage, seconds in zip(runners, times, strict=True):
            yield report.row(
                f"kernel.decode.{storage}.batch{rows}",
                rows / seconds,
                rows / theirs,
                "torch fp32",
                "tokens/s",
                higher_is_better=True,
                context=context,
            )


def written(loaded: loading.Loaded, runner: NativeRunner, prompt: list[int], new: int, seed: int) -> list[int]:
    """`prompt` continued by `new` tokens sampled at temperature 1."""
    generator = torch.Generator().manual_seed(seed)
    ids = list(prompt)
    for begin in [0, *range(len(prompt), len(prompt) + new)]:
        logits = runner.run(whole(ids, begin, [len(ids) - begin - 1]))
        if len(ids) < len(prompt) + new:
            ids.append(int(torch.multinomial(logits[0].double().softmax(-1), 1, generator=generator)))
    return ids


def whole(ids: list[int], begin: int, wanted: list[int] | None = None) -> Step:
    """Rows from `begin` on of one sequence in the first blocks."""
    rows = len(ids) - begin
    return Step(
        np.array(ids[begin:]),
        np.arange(begin, len(ids)),
        np.zeros(rows, dtype=np.int64),
        np.arange(-(-len(ids) // BLOCK), dtype=np.int32)[None],
        np.arange(rows) if wanted is None else np.array(wanted),
    )


def fidelity(loaded: loading.Loaded, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Mean KL(fp32 || stored) of the next-token distribution; no peer."""
    prompts, new = 8, 64
    runner = runner_of(loaded.model, "fp32", 1024, options)
    texts = []
    for seed, chat in enumerate(peer.addition_chats(prompts // 2)):
        story = [{"role": "user", "content": f"Tell me a story about {seed + 2} friends and a lighthouse."}]
        for messages in (chat, story):
            prompt = list(loaded.tokenizer.chat_ids(messages))
            texts.append((len(prompt), written(loaded, runner, prompt, new, len(texts))))
    exact = torch.cat([distribution(runner, ids, begin) for begin, ids in texts])
    for storage in options.storages:
        if storage == "fp32":
            continue
        stored = runner_of(loaded.model, storage, 1024, options)
        found = torch.cat([distribution(stored, ids, begin) for begin, ids in texts])
        divergence = float((exact.exp() * (exact - found)).sum(-1).mean())
        agreement = float((exact.argmax(-1) == found.argmax(-1)).double().mean())
        yield report.row(
            f"kernel.fidelity.{storage}",
            divergence,
            None,
            "fp32 is the measure",
            "nats",
            higher_is_better=False,
            agreement=agreement,
            tokens=len(exact),
            note=f"the same most likely token at {agreement:.1%} of {len(exact)} places",
        )


def distribution(runner: NativeRunner, ids: list[int], begin: int) -> Tensor:
    """Log-probabilities (fp64) [T, V] before each token from `begin` on."""
    return runner.run(whole(ids, 0, list(range(begin - 1, len(ids) - 1)))).double().log_softmax(-1)


PARTS = {"products": products, "decode": decode, "fidelity": fidelity}

if __name__ == "__main__":
    report.main(main)
