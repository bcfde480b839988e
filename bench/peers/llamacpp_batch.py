"""Peer for `whet bench llamacpp`: greedy generation by llama.cpp's batch interface. Runs in .venv-bench.

All sequences go through `llama_decode` together: one call for all prompts, then one for each new token; the likeliest
token is found in the logits by numpy, which is quicker than llama.cpp's own sampler over 49,152 candidates. Each of
the settings that matter for speed is tried at each batch size, the quickest value stays. Prints one JSON object per
batch size. With --scores: the logits before the tokens of given answers, as float32 in a .npy file, and nothing timed.
"""

import argparse
import ctypes
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

GGML_TYPE = {"f32": 0, "f16": 1}


@dataclass(frozen=True)
class Settings:
    """What changes llama.cpp's speed and not its work. cache: the type of keys and values; unified: one buffer for the
    keys and values of all sequences, or one for each; micro_batch: most tokens computed at once."""

    flash: bool = True
    cache: str = "f16"
    unified: bool = False
    micro_batch: int = 512


# tried one after the other, each with the best of those before it
CHANGES: tuple[dict[str, Any], ...] = ({"flash": False}, {"cache": "f32"}, {"unified": True}, {"micro_batch": 2048})


def main() -> None:
    options = read_options()
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.use_extra_bufts = not options.plain_buffers
    model = llama_cpp.llama_model_load_from_file(options.model.encode(), params)
    if not model:
        sys.exit(f"llama.cpp cannot load {options.model}")
    prompts = json.loads(Path(options.prompts).read_text())
    if options.scores:
        np.save(options.scores, scores(model, prompts, options))
        print(json.dumps({"scores": options.scores}), flush=True)
        return
    for batch in map(int, options.batches.split(",")):
        print(json.dumps(measure(model, prompts[:batch], options)), flush=True)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("prompts", help="JSON file: a list of lists of token ids; with --scores [[ids, prompt tokens]]")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of each sequence")
    parser.add_argument("--batches", default="1,8,32", help="batch sizes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2, help="timed runs; the quickest counts")
    parser.add_argument(
        "--tune", type=int, default=16, help="new tokens of the trials of settings; 0: f32 cache, as is"
    )
    parser.add_argument("--plain-buffers", action="store_true", help="weights as the file has them, not repacked")
    parser.add_argument("--scores", default=None, help="where to write logits")
    return parser.parse_args()


class Generator:
    """A context for a batch of sequences of up to `length` tokens."""

    def __init__(
        self, model: Any, sequences: int, length: int, prompt_tokens: int, threads: int, how: Settings
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        each = -(-length // 256) * 256
        params.n_ctx = each * sequences
        params.n_seq_max = sequences
        params.n_batch = max(prompt_tokens, sequences, 32)
        params.n_ubatch = min(how.micro_batch, params.n_batch)
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if how.flash else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.type_k = params.type_v = GGML_TYPE[how.cache]
        params.kv_unified = how.unified
        self.context = llama_cpp.llama_init_from_model(model, params)
        if not self.context:
            raise RuntimeError(f"llama.cpp makes no context with {how}")
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self.batch = llama_cpp.llama_batch_init(params.n_batch, 0, 1)

    def close(self) -> None:
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.context)

    def decode(self, ids: Any, positions: Any, owners: Any, wanted: Any) -> np.ndarray:
        """Logits [wanted, V] of a step; a view that the next step overwrites."""
        count = len(ids)
        batch = self.batch
        batch.n_tokens = count
        for field, values in ((batch.token, ids), (batch.pos, positions), (batch.logits, wanted)):
            np.ctypeslib.as_array(field, (count,))[:] = values
        np.ctypeslib.as_array(batch.n_seq_id, (count,))[:] = 1
        for place, owner in enumerate(owners):
            batch.seq_id[place][0] = owner
        code = llama_cpp.llama_decode(self.context, batch)
        if code != 0:
            raise RuntimeError(f"llama_decode gave {code}")
        rows = int(np.sum(wanted))
        logits = ctypes.cast(llama_cpp.llama_get_logits(self.context), ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(logits, (rows, self.vocabulary))

    def run(self, prompts: list[list[int]], tokens: int) -> tuple[float, float, list[list[int]]]:
        """Seconds of the prompts with each sequence's first token, of the rest, and the new ids of each sequence."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        lengths = np.array([len(prompt) for prompt in prompts])
        begin = time.perf_counter()
        ids = [token for prompt in prompts for token in prompt]
        positions = np.concatenate([np.arange(length) for length in lengths])
        owners = np.repeat(np.arange(len(prompts)), lengths)
        wanted = np.zeros(len(ids), dtype=np.int8)
        wanted[np.cumsum(lengths) - 1] = 1
        said = [self.decode(ids, positions, owners.tolist(), wanted).argmax(-1)]
        middle = time.perf_counter()
        everyone, all_wanted = list(range(len(prompts))), np.ones(len(prompts), dtype=np.int8)
        for step in range(tokens - 1):
            said.append(self.decode(said[-1], lengths + step, everyone, all_wanted).argmax(-1))
        end = time.perf_counter()
        return middle - begin, end - middle, np.array(said).T.tolist()


def measure(model: Any, prompts: list[list[int]], options: argparse.Namespace) -> dict[str, Any]:
    """The quickest run with the quickest settings."""
    how = Settings(flash=False, cache="f32")
    tried: list[dict[str, Any]] = []
    if options.tune:
        how, tried = tuned(model, prompts, options)
    runs = list(timed(model, prompts, options.tokens, options.repeats, options.threads, how))
    prefill, decode, ids = min(runs, key=lambda run: run[0] + run[1])
    return {
        "peer": "llama.cpp",
        "batch": len(prompts),
        "tokens": options.tokens,
        "prompt_tokens": sum(map(len, prompts)),
        "seconds": prefill + decode,
        "prefill_seconds": prefill,
        "decode_seconds": min(run[1] for run in runs),
        "ids": ids,
        "settings": {**asdict(how), "repacked": not options.plain_buffers},
        "tried": tried,
        "threads": options.threads,
        "versions": {"llama-cpp-python": metadata.version("llama-cpp-python")},
        "system": llama_cpp.llama_print_system_info().decode().strip(),
    }


def tuned(model: Any, prompts: list[list[int]], options: argparse.Namespace) -> tuple[Settings, list[dict[str, Any]]]:
    """The quickest settings, and the seconds of all that were tried: for the whole run, estimated from a short one."""
    tokens = min(max(2, options.tune), options.tokens)
    tried: list[dict[str, Any]] = []

    def estimate(how: Settings) -> float:
        try:
            [(prefill, decode, _)] = timed(model, prompts, tokens, 1, options.threads, how)
        except RuntimeError as error:
            tried.append({**asdict(how), "seconds": None, "why": str(error)})
            return float("inf")
        seconds = prefill + decode * (options.tokens - 1) / (tokens - 1)
        tried.append({**asdict(how), "seconds": seconds})
        return seconds

    best = Settings()
    quickest = estimate(best)
    for change in CHANGES:
        if "unified" in change and len(prompts) == 1:
            continue
        if "micro_batch" in change and sum(map(len, prompts)) <= best.micro_batch:
            continue
        how = replace(best, **change)
        seconds = estimate(how)
        if seconds < quickest:
            best, quickest = how, seconds
    return best, tried


def timed(
    model: Any, prompts: list[list[int]], tokens: int, repeats: int, threads: int, how: Settings
) -> Iterator[tuple[float, float, list[list[int]]]]:
    """Runs after a short one that warms up."""
    length = max(map(len, prompts)) + tokens
    generator = Generator(model, len(prompts), length, sum(map(len, prompts)), threads, how)
    try:
        generator.run([prompt[:8] for prompt in prompts], 3)
        for _ in range(repeats):
            yield generator.run(prompts, tokens)
    finally:
        generator.close()


def scores(model: Any, samples: list[tuple[list[int], int]], options: argparse.Namespace) -> np.ndarray:
    """Logits [places, V] before each token of each answer, one sample after the other."""
    longest = max(len(ids) for ids, _ in samples)
    generator = Generator(model, 1, longest, longest, options.threads, Settings(flash=False, cache="f32"))
    found = []
    for ids, prompt_tokens in samples:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(generator.context), True)
        places = np.arange(len(ids) - 1)
        wanted = (places >= prompt_tokens - 1).astype(np.int8)
        found.append(generator.decode(ids[:-1], places, [0] * len(places), wanted).copy())
    generator.close()
    return np.concatenate(found)


if __name__ == "__main__":
    main()
