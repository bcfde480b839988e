"""Peer for `whet bench rlvr`: seconds per optimizer step of TRL's GRPO trainer. Runs in .venv-bench.

The settings are those that make TRL quickest for this work without changing it: no gradient checkpointing,
no reference model (beta 0), one generation per optimizer step in a single batch, a micro-batch size to tune.
Prints one JSON object on stdout; everything TRL says goes to stderr.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from memory import peak_bytes
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


def main() -> None:
    options = read_options()
    with contextlib.redirect_stdout(sys.stderr):
        result = measure(options)
    print(json.dumps(result), flush=True)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a Hugging Face model folder")
    parser.add_argument("prompts", help="JSON file: a list of message lists (chat) or of rendered strings")
    parser.add_argument("--prompts-per-step", type=int, default=8)
    parser.add_argument("--generations", type=int, default=16, help="completions per prompt")
    parser.add_argument("--tokens", type=int, default=12, help="longest completion")
    parser.add_argument("--full-length", action="store_true", help="ignore the stop token: equal work for all")
    parser.add_argument("--micro-batch", type=int, default=16, help="completions per forward and backward pass")
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--warm-up", type=int, default=1, help="steps before the timed ones")
    parser.add_argument("--steps", type=int, default=2, help="timed steps")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16 (parameters stay fp32)")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train warm-up + timed steps; the figures of the timed ones. Seconds."""
    prompts = json.loads(Path(options.prompts).read_text())
    steps = options.warm_up + options.steps
    wanted = steps * options.prompts_per_step
    data = Dataset.from_list([{"prompt": prompts[i % len(prompts)]} for i in range(wanted)])
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    clock = StepClock()
    generation = timed(model, "generate")
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=mixed_reward,
            train_dataset=data,
            args=grpo_config(options, steps, folder),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    every = [row for row in trainer.state.log_history if "completions/mean_length" in row]
    logged = every[options.warm_up :]
    completions = options.prompts_per_step * options.generations
    tokens_seen = every[-1]["num_tokens"]
    timed_steps = clock.seconds[options.warm_up :]
    return {
        "peer": "trl",
        "seconds_per_step": sum(timed_steps) / len(timed_steps),
        "step_seconds": timed_steps,
        "generation_seconds": sum(generation[options.warm_up :]) / max(1, len(generation) - options.warm_up),
        "completions_per_step": completions,
        "prompt_tokens": tokens_seen / completions / steps - mean(row["completions/mean_length"] for row in every),
        "mean_completion_tokens": mean(row["completions/mean_length"] for row in logged),
        "groups_without_signal": mean(row["frac_reward_zero_std"] for row in logged),
        "micro_batch": options.micro_batch,
        "peak_memory": peak_bytes(),
        "peak_device_memory": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
        "threads": torch.get_num_threads(),
        "versions": {name: metadata.version(name) for name in ("trl", "transformers", "torch", "accelerate")},
    }


def grpo_config(options: argparse.Namespace, steps: int, folder: str) -> GRPOConfig:
    completions = options.prompts_per_step * options.generations
    if completions % options.micro_batch:
        sys.exit(f"--micro-batch {options.micro_batch} must divide {completions} completions per step")
    return GRPOConfig(
        output_dir=folder,
        use_cpu=options.device == "cpu",
        bf16=options.bf16,
        fp16=False,
        gradient_checkpointing=False,
        max_steps=steps,
        per_device_train_batch_size=options.micro_batch,
        gradient_accumulation_steps=completions // options.micro_batch,
        num_generations=options.generations,
        max_completion_length=options.tokens,
        generation_kwargs={"min_new_tokens": options.tokens} if options.full_length else None,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        beta=0.0,
        shuffle_dataset=False,
        learning_rate=options.learning_rate,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=0,
    )


def mixed_reward(completions: list[Any], **_: Any) -> list[float]:
    """Every other completion is right: each group has signal, and judging costs nothing."""
    return [float(i % 2) for i in range(len(completions))]


class StepClock(TrainerCallback):  # type: ignore[misc]
    """Seconds from the end of one optimizer step to the end of the next: generation and data included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._last = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


def timed(owner: Any, method: str) -> list[float]:
    """Wrap a method so that each call's seconds are appended to the list returned."""
    seconds: list[float] = []
    inner: Callable[..., Any] = getattr(owner, method)

    def wrapper(*arguments: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return inner(*arguments, **named)
        finally:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begin)

    setattr(owner, method, wrapper)
    return seconds


def mean(values: Any) -> float:
    found = list(values)
    return sum(found) / len(found) if found else float("nan")


if __name__ == "__main__":
    main()
