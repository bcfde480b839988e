"""Peer for `whet bench generate`: tokens/s of transformers' `generate`, end to end. Runs in .venv-bench.

Each completion has exactly N new tokens, so the work is the same for all. The time covers the call of
`generate` whole: prompt, every new token, stopping rules. Prints one JSON object per batch size and mode.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

MODES = ("sampled", "greedy")


def main() -> None:
    options = read_options()
    for result in measure(options):
        print(json.dumps(result), flush=True)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a Hugging Face model folder")
    parser.add_argument("prompts", help="JSON file: a list of lists of token ids; lengths may differ")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens per completion")
    parser.add_argument("--batches", default="1,8,32", help="batch sizes")
    parser.add_argument("--samples", type=int, default=1, help="num_return_sequences: completions of each prompt")
    parser.add_argument("--modes", default=",".join(MODES), help="sampled (T = 1) and greedy")
    parser.add_argument("--repeats", type=int, default=2, help="timed calls; the quickest counts")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cache", default=None, help="transformers' cache_implementation, e.g. static")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One result per batch size and mode, in tokens/s of new tokens."""
    prompts: list[list[int]] = json.loads(Path(options.prompts).read_text())
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype))
    model.to(options.device).eval()
    versions = {name: metadata.version(name) for name in ("transformers", "torch")}
    for batch in map(int, options.batches.split(",")):
        ids, mask = left_padded([prompts[i % len(prompts)] for i in range(batch)], options.device)
        for mode in options.modes.split(","):
            if mode not in MODES:
                sys.exit(f"unknown mode {mode}: {' or '.join(MODES)}")
            settings = generation_config(model, mode, options)
            seconds = best_seconds(model, ids, mask, settings, options.repeats)
            yield {
                "peer": "transformers",
                "mode": mode,
                "batch": batch,
                "tokens": options.tokens,
                "samples": options.samples,
                "prompt_tokens": int(mask.sum()) * options.samples,
                "seconds": seconds,
                "tokens_per_second": batch * options.samples * options.tokens / seconds,
                "dtype": options.dtype,
                "device": options.device,
                "threads": torch.get_num_threads(),
                "versions": versions,
            }


def left_padded(prompts: list[list[int]], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, both [B, T], padded on the left as decoder-only generation needs it."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    return ids, mask


def generation_config(model: Any, mode: str, options: argparse.Namespace) -> GenerationConfig:
    stop = model.generation_config.eos_token_id
    return GenerationConfig(
        min_new_tokens=options.tokens,
        max_new_tokens=options.tokens,
        num_return_sequences=options.samples,
        do_sample=mode == "sampled",
        temperature=1.0,
        top_k=0 if mode == "sampled" else None,
        top_p=1.0,
        eos_token_id=stop,
        pad_token_id=stop[0] if isinstance(stop, list) else stop if stop is not None else 0,
        cache_implementation=options.cache,
    )


def best_seconds(model: Any, ids: torch.Tensor, mask: torch.Tensor, settings: GenerationConfig, repeats: int) -> float:
    """Seconds of the quickest of `repeats` calls, after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        if ids.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
        if out.shape[0] != ids.shape[0] * settings.num_return_sequences:
            sys.exit(f"generate made {out.shape[0]} completions")
        if out.shape[1] != ids.shape[1] + settings.max_new_tokens:
            sys.exit(f"generate made {out.shape[1] - ids.shape[1]} tokens, not {settings.max_new_tokens}")
    return min(times[1:])


if __name__ == "__main__":
    main()
