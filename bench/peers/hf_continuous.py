"""Peer for bench/gpu_engine.py: tokens/s of transformers' continuous batching, end to end.

The model has the given configuration and random weights made on the device: the time does not depend on their values,
since every completion has exactly N new tokens. The time goes from adding the requests to the last result, without
what `generate_batch` sets up, captures and takes down around that. Prints one JSON object per batch size and
way of decoding.
"""

import argparse
import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig
from transformers.generation.continuous_batching.utils import WorkloadHints

GRAPHS = {"default": None, "graphs": True}


def main() -> None:
    options = read_options()
    content = json.loads(Path(options.config).read_text())
    config = AutoConfig.for_model(**content)
    with torch.device(options.device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, options.dtype)).eval()
    versions = {name: metadata.version(name) for name in ("transformers", "torch")}
    begin = time.perf_counter()
    for batch in map(int, options.batches.split(",")):
        generator = torch.Generator().manual_seed(batch)
        prompts = torch.randint(1, config.vocab_size, (batch, options.prompt_tokens), generator=generator).tolist()
        for way in options.ways.split(","):
            if time.perf_counter() - begin > options.seconds:
                continue
            seconds = best_seconds(model, prompts, options, GRAPHS[way])
            result = {
                "peer": "transformers",
                "way": way,
                "batch": batch,
                "tokens": options.tokens,
                "seconds": seconds,
                "tokens_per_second": batch * options.tokens / seconds,
                "attention": model.config._attn_implementation,
                "dtype": options.dtype,
                "versions": versions,
            }
            print(json.dumps(result), flush=True)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config.json")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128, help="new tokens per completion")
    parser.add_argument("--batches", default="1,16,64,256", help="batch sizes")
    parser.add_argument("--ways", default=",".join(GRAPHS), help="CUDA graphs as the library decides, or always")
    parser.add_argument("--repeats", type=int, default=2, help="timed calls; the quickest counts")
    parser.add_argument("--seconds", type=float, default=180, help="nothing more is begun after that")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    return parser.parse_args()


def best_seconds(model: Any, prompts: list[list[int]], options: argparse.Namespace, graphs: bool | None) -> float:
    """Seconds of the quickest of the calls after one that warms up."""
    settings = GenerationConfig(
        max_new_tokens=options.tokens,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=-1,
        pad_token_id=0,
    )
    batching = ContinuousBatchingConfig(use_cuda_graph=graphs)
    if options.device == "cpu":
        batching = ContinuousBatchingConfig(use_cuda_graph=graphs, num_blocks=64, max_batch_tokens=256)
    times = []
    hints = WorkloadHints(
        max_prompt_length=options.prompt_tokens, max_generated_length=options.tokens, num_requests=len(prompts)
    )
    with model.continuous_batching_context_manager(
        generation_config=settings, continuous_batching_config=batching, workload_hints=hints
    ) as manager:
        for _ in range(options.repeats + 1):
            begin = time.perf_counter()
            manager.add_requests(inputs=prompts, max_new_tokens=options.tokens)
            lengths = []
            while len(lengths) < len(prompts):
                found = manager.get_result(timeout=1)
                if found is not None and found.is_finished():
                    lengths.append(len(found.generated_tokens))
                elif found is None and not manager.is_running():
                    sys.exit("continuous batching stopped by itself")
            times.append(time.perf_counter() - begin)
            if set(lengths) != {options.tokens}:
                sys.exit(f"continuous batching gave answers of {sorted(set(lengths))} tokens")
    return min(times[1:])


if __name__ == "__main__":
    main()
