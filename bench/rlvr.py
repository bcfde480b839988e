"""`whet bench rlvr`: seconds per optimizer step, generation included, beside TRL's GRPO trainer on the CPU.

Both sides: the same weights, the same prompts every step, as many completions of as many forced tokens (no stop
token), T = 1, fp32, AdamW, no KL term, one optimizer step per batch, one step to warm up. The reward says "right" of
every other completion, whatever it says: each group has signal, nothing is dropped or drawn again. TRL's micro-batch
is tuned first. Each side runs in a process of its own; ours before and after the peer, and the mean counts.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import peer, report
from bench.peers.memory import peak_bytes
from whetstone.errors import WorkFailed
from whetstone.models.hub import DEFAULT_MODEL, resolve
from whetstone.models.loading import load
from whetstone.models.packing import TokenTrie
from whetstone.runs import machine, metrics
from whetstone.training.rewards import task_reward
from whetstone.training.rlvr import Settings, Setup, TrainingRun

SIDES = ("ours", "defaults")
WARM_UP = 1
LEARNING_RATE = 2e-5
REWARD = (
    'the reward calls every other completion "right", whatever it says, on both sides: '
    "every group has signal, nothing is dropped or drawn again"
)


def main() -> None:
    options = read_options()
    if options.side:
        print(json.dumps(measure(options)), flush=True)
        return
    compare(options)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model folder or name, as `whet sharpen` takes it")
    parser.add_argument("--prompts", type=int, default=8, help="prompts a step")
    parser.add_argument("--group", type=int, default=16, help="completions per prompt")
    parser.add_argument("--tokens", type=int, default=12, help="new tokens per completion")
    parser.add_argument("--steps", type=int, default=2, help="timed steps of each run")
    parser.add_argument("--micro-batch", type=int, default=None, help="TRL's; a few are tried unless given")
    parser.add_argument(
        "--side",
        choices=SIDES,
        help="measure our side alone and print its figures: on equal work, or with our defaults",
    )
    options = parser.parse_args()
    if min(options.prompts, options.group - 1, options.tokens, options.steps) < 1:
        parser.error("--prompts, --tokens and --steps are at least 1, --group at least 2")
    return options


def compare(options: argparse.Namespace) -> None:
    """Measure ours, the peer, ours again; print a row for the time, one for our defaults, one for the memory."""
    peer.interpreter()
    folder = resolve(options.model)
    speed = machine.measure()
    before = run_ours(options, "ours")
    report.say(f"ours, before: {fmean(before['step_seconds']):.2f} s a step")
    theirs = run_trl(options, folder)
    check_equal_work(options, before, theirs)
    after = run_ours(options, "ours")
    report.say(f"ours, after: {fmean(after['step_seconds']):.2f} s a step")
    report.print_rows([time_row(options, before, theirs, after, speed.matmul)], options.json)
    try:
        report.print_rows([defaults_row(options, run_ours(options, "defaults"), theirs)], options.json)
    except WorkFailed as error:
        report.say(f"the row rlvr.defaults is left out: {error}")
    report.print_rows([memory_row(options, before, theirs)], options.json)


def run_ours(options: argparse.Namespace, side: str) -> dict[str, Any]:
    """`measure` in a process of its own, so that its memory is its own and is gone when the peer runs."""
    arguments = {name: getattr(options, name) for name in ("prompts", "group", "tokens", "steps", "model")}
    return peer.run_apart("our side", [sys.executable, __file__, "--side", side, *peer.options(arguments)])[0]


def run_trl(options: argparse.Namespace, model: Path) -> dict[str, Any]:
    arguments = {
        "prompts-per-step": options.prompts,
        "generations": options.group,
        "tokens": options.tokens,
        "full-length": True,
        "learning-rate": LEARNING_RATE,
        "warm-up": WARM_UP,
        "steps": options.steps,
    }
    chats = peer.addition_chats(options.prompts)
    return peer.run_grpo(model, chats, arguments, micro_batch=options.micro_batch, say=report.say)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Our side, in this process: warm-up and timed steps of the very loop that `whet sharpen` runs."""
    loaded = load(options.model)
    stream = peer.additions()
    equal_work = options.side == "ours"
    coin = itertools.count()
    settings = Settings(
        steps=WARM_UP + options.steps,
        learning_rate=LEARNING_RATE,
        prompts=options.prompts,
        group_size=options.group,
        max_new_tokens=options.tokens,
        oversample=1.0 if equal_work else Settings.oversample,
    )
    setup = Setup(
        task=stream.task,
        stream=stream,
        style=peer.STYLE,
        key=stream.key,
        reward=(lambda *_: float(next(coin) % 2)) if equal_work else task_reward,
    )
    step_seconds: list[float] = []
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(loaded, setup, settings, Path(folder))
        if equal_work:
            problems = stream.take(options.prompts, distinct=True)
            run.collector = replace(
                run.collector,
                problem=lambda i: problems[i % len(problems)],
                params=replace(run.collector.params, stop_ids=frozenset()),
            )
        for _ in range(settings.steps):
            begin = time.perf_counter()
            rows.append(run.step())
            step_seconds.append(time.perf_counter() - begin)
        timing = metrics.read(Path(folder) / "timing.jsonl")
    chats = peer.addition_chats(options.prompts)
    found = {name: fmean(row[name] for row in timing[WARM_UP:]) for name in timing[0] if name != "step"}
    for name in ("groups", "groups_with_signal", "response_tokens"):
        found[name] = fmean(row[name] for row in rows[WARM_UP:])
    prompts = [loaded.tokenizer.chat_ids(chat) for chat in chats]
    prompts_once = TokenTrie(prompts).tokens  # what prompts share is computed once, but for odd ends of cache blocks
    completions = options.prompts * options.group
    return found | {
        "step_seconds": step_seconds[WARM_UP:],
        "prompt_tokens": fmean(len(prompt) for prompt in prompts),
        # the first token comes from the prompt's last hidden state; the last one is never fed back
        "generate_gflop": report.products(
            loaded.model, prompts_once + found["generated_tokens"] - completions, found["generated_tokens"]
        ),
        # backward is two products for each one of forward; every computed token of a response predicts another one,
        # and so does the last token of each prompt
        "train_gflop": 3
        * report.products(
            loaded.model, found["trained_tokens"], found["trained_tokens"] - prompts_once + options.prompts
        ),
        "peak_memory": peak_bytes(),
    }


def check_equal_work(options: argparse.Namespace, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Raise WorkFailed unless both did what was asked for."""
    wanted = {
        "tokens per completion": (ours["generated_tokens"] / options.prompts / options.group, options.tokens),
        "tokens per completion of the peer": (theirs["mean_completion_tokens"], options.tokens),
        "groups with signal": (ours["groups_with_signal"], options.prompts),
        "groups without signal of the peer": (theirs["groups_without_signal"], 0),
        "tokens per prompt": (theirs["prompt_tokens"], ours["prompt_tokens"]),
    }
    for name, (found, expected) in wanted.items():
        if abs(found - expected) > 1e-3:
            raise WorkFailed(f"the two sides did not do equal work: {name} {found:g}, not {expected:g}")


def time_row(
    options: argparse.Namespace,
    before: dict[str, Any],
    theirs: dict[str, Any],
    after: dict[str, Any],
    matmul: float,
) -> dict[str, Any]:
    runs = (before, after)
    seconds = fmean(each for run in runs for each in run["step_seconds"])
    phases = {}
    for phase in ("generate", "train"):
        spent, gflop = fmean(run[f"{phase}_seconds"] for run in runs), before[f"{phase}_gflop"]
        phases[phase] = {
            "seconds": spent,
            "gflop": gflop,
            "gflops": gflop / spent,
            "share_of_matmul": gflop / spent / matmul,
        }
    gflop = before["generate_gflop"] + before["train_gflop"]
    share = gflop / seconds / matmul
    spent_on = " and ".join(
        f"{phase} {each['seconds']:.3g} s at {each['gflops']:.3g} GFLOP/s ({each['share_of_matmul']:.0%})"
        for phase, each in phases.items()
    )
    note = (
        f"{REWARD}. Ours {fmean(before['step_seconds']):.3g} s before the peer, {fmean(after['step_seconds']):.3g} s "
        f"after it: {spent_on}; the machine's own matrix products reach {matmul:.3g} GFLOP/s, at which the step's "
        f"{gflop:.3g} GFLOP would take {gflop / matmul:.3g} s. Tokens a step: {before['generated_tokens']:.0f} "
        f"generated, {before['trained_tokens']:.0f} trained (what sequences share once). TRL spends "
        f"{theirs['generation_seconds']:.3g} s of its step generating; micro-batch {theirs['micro_batch']}."
    )
    return report.row(
        "rlvr.step",
        seconds,
        theirs["seconds_per_step"],
        "TRL GRPOTrainer",
        "s/step",
        higher_is_better=False,
        peer_versions=theirs["versions"],
        note=note,
        **work(options),
        ours_before=before["step_seconds"],
        ours_after=after["step_seconds"],
        peer_steps=theirs["step_seconds"],
        peer_generation_seconds=theirs["generation_seconds"],
        micro_batch=theirs["micro_batch"],
        micro_batches_tried=theirs["micro_batches_tried"],
        generated_tokens=before["generated_tokens"],
        trained_tokens=before["trained_tokens"],
        response_tokens=before["response_tokens"],
        gflop=gflop,
        gflops=gflop / seconds,
        machine_gflops=matmul,
        share_of_matmul=share,
        phases=phases,
    )


def defaults_row(options: argparse.Namespace, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    note = (
        "not equal work: ours as `whet sharpen` trains. The task's own reward; groups without signal are dropped and "
        f"others drawn in their place; stop tokens count. {ours['groups']:.1f} groups a step, of which "
        f"{ours['groups_with_signal']:.1f} with signal; {ours['generated_tokens']:.0f} tokens generated, "
        f"{ours['trained_tokens']:.0f} trained. TRL as above."
    )
    return report.row(
        "rlvr.defaults",
        fmean(ours["step_seconds"]),
        theirs["seconds_per_step"],
        "TRL GRPOTrainer",
        "s/step",
        higher_is_better=False,
        peer_versions=theirs["versions"],
        note=note,
        **work(options),
        **{key: value for key, value in ours.items() if not key.endswith("_gflop")},
    )


def memory_row(options: argparse.Namespace, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    return report.row(
        "rlvr.memory",
        ours["peak_memory"] / machine.GIB,
        theirs["peak_memory"] / machine.GIB,
        "TRL GRPOTrainer",
        "GiB",
        higher_is_better=False,
        peer_versions=theirs["versions"],
        note=f"peak resident memory of each process in the row rlvr.step; TRL's micro-batch {theirs['micro_batch']}",
        **work(options),
        micro_batch=theirs["micro_batch"],
    )


def work(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "model": options.model,
        "prompts": options.prompts,
        "group": options.group,
        "tokens": options.tokens,
        "steps": options.steps,
        "dtype": "float32",
    }


if __name__ == "__main__":
    report.main(main)
