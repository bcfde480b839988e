"""`whet bench gpu_rlvr`: reinforcement learning steps on a GPU, for a 135M and a 0.6B shape, in one call.

    python bench/gpu_rlvr.py

Needs torch (2.11 or newer), numpy and the repository, nothing else: no network, no weights, no tokenizer. The models
have the sizes of SmolLM2-135M and Qwen3-0.6B and random parameters; prompts are random token ids. Activations are
bf16, parameters, head and log-softmax fp32, as `whet sharpen --device cuda` has them. Before anything is timed the
arithmetic is checked; a check that fails ends the script with exit code 1. Where transformers or TRL can be imported
(here or in .venv-bench) they do the same work; where not, that is said and the ratio is left out. Without a GPU the
same code runs with a tiny shape on the CPU: that shows that it runs, its figures mean nothing.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import gpu, peer, report
from bench.gpu import SHAPES, interpreters, now, relative, release, require
from bench.peers.memory import peak_bytes
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.errors import WorkFailed
from whetstone.models.config import ModelConfig
from whetstone.models.decoder import Decoder
from whetstone.models.packing import TokenTrie
from whetstone.runs import machine
from whetstone.training.logprobs import token_logprobs
from whetstone.training.objectives import trust_region
from whetstone.training.rows import Row, packs
from whetstone.training.trainer import Schedule, StepResult, Trainer

# Dense bf16 FLOP/s by the vendors' data sheets; any other device is measured.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
DEFAULT_SHAPES = "135M,0.6B"
MICRO_BATCHES = (32, 64, 128)
LEARNING_RATE = 1e-6
# About three times what bf16 on a CPU gives for these shapes (0.018, 0.0002 and 0.012); in fp32 far more than rounding.
LIMITS = {
    "device_error": 1e-3,  # logits of the tiny shape on the device beside the CPU, fp32
    "narrow_error": 0.05,  # logits in the compute dtype beside fp32, same device, relative
    "narrow_kl": 0.002,  # nats
    "mismatch_wide": 1e-3,  # mean |sampler's - trainer's log-probability|, fp32, nats
    "mismatch_narrow": 0.05,  # the same in the compute dtype
}


def main() -> None:
    options = read_options()
    shapes = gpu.settle(options, DEFAULT_SHAPES)
    if options.device == "cpu":
        options.prompts, options.samples = min(options.prompts, 4), min(options.samples, 4)
    found = []
    peak = peak_flops(options.device)
    for shape in shapes:
        report.say(f"== {shape}")
        found.append(measure(shape, options, peak))
        if options.json:
            report.print_rows(rows(found[-1], options), as_json=True)
    if not options.json:
        print(table(found, options, peak))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu.add_options(parser, DEFAULT_SHAPES)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=16, help="completions per prompt")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one to warm up")
    parser.add_argument("--pack-tokens", type=int, default=8192, help="tokens per forward and backward pass of ours")
    parser.add_argument("--micro-batch", type=int, default=None, help="TRL's; a few are tried unless given")
    return parser.parse_args()


@dataclass
class Found:
    """What was measured for one shape. Seconds, tokens, bytes, FLOP/s."""

    shape: str
    parameters: int
    checks: dict[str, float]
    generate_seconds: list[float] = field(default_factory=list)
    train_seconds: list[float] = field(default_factory=list)
    generated_tokens: int = 0
    trained_tokens: int = 0
    peak: float = math.nan
    peak_memory: int = 0
    trl: dict[str, Any] | None = None
    transformers: dict[str, Any] | None = None

    @property
    def step_seconds(self) -> float:
        return fmean(self.generate_seconds) + fmean(self.train_seconds)

    @property
    def generate_speed(self) -> float:
        return self.generated_tokens / fmean(self.generate_seconds)

    @property
    def train_speed(self) -> float:
        return self.trained_tokens / fmean(self.train_seconds)

    @property
    def mfu(self) -> float:
        """6 N FLOP per trained token over the device's peak; N counts every parameter, a tied head once."""
        return 6 * self.parameters * self.train_speed / self.peak


def measure(shape: str, options: argparse.Namespace, peak: float) -> Found:
    """Check the shape's arithmetic, time its steps, then the peers. Raises WorkFailed when a check fails."""
    checks = {"device_error": device_error(options.device)}
    require(checks, LIMITS, shape)
    config = SHAPES[shape]
    model = Decoder(config).randomise(0).to(options.device)
    checks |= check_arithmetic(model)
    require(checks, LIMITS, shape)
    report.say("checks: " + ", ".join(f"{name} {value:.2g}" for name, value in checks.items()))
    found = Found(shape, sum(parameter.numel() for parameter in model.parameters()), checks, peak=peak)
    prompts = random_prompts(config, options.prompts, options.prompt_tokens)
    with tempfile.TemporaryDirectory() as temporary:
        peers = {} if options.no_peers else interpreters(("trl", "transformers"))
        if peers:
            write_folder(model, Path(temporary))
        time_steps(model, prompts, options, found)
        del model
        release()
        time_peers(Path(temporary), prompts, options, found, peers)
    return found


def device_error(device: str) -> float:
    """Relative error of the logits of the tiny shape on the device, beside the CPU's, both in fp32."""
    ids = random_prompts(SHAPES["tiny"], 3, 20)
    results = [logits(Decoder(SHAPES["tiny"]).randomise(0).to(where), ids).cpu() for where in ("cpu", device)]
    return relative(results[1], results[0])


def check_arithmetic(model: Decoder) -> dict[str, float]:
    """How far the compute dtype is from fp32, and the sampler from the trainer. Leaves the model in bf16."""
    ids = random_prompts(model.config, 4, 32)
    model.compute_dtype = torch.float32
    wide, mismatch_wide = logits(model, ids), mismatch(model, ids)
    model.compute_dtype = torch.bfloat16
    narrow, mismatch_narrow = logits(model, ids), mismatch(model, ids)
    log_wide, log_narrow = wide.log_softmax(-1), narrow.log_softmax(-1)
    return {
        "narrow_error": relative(narrow, wide),
        "narrow_kl": float((log_wide.exp() * (log_wide - log_narrow)).sum(-1).mean()),
        "narrow_top1_agreement": float((wide.argmax(-1) == narrow.argmax(-1)).float().mean()),
        "mismatch_wide": mismatch_wide,
        "mismatch_narrow": mismatch_narrow,
    }


@torch.no_grad()
def logits(model: Decoder, prompts: list[tuple[int, ...]]) -> torch.Tensor:
    tree = TokenTrie(prompts, model.device)
    return model.logits(model(tree.ids_N, tree.positions_N, tree))


@torch.no_grad()
def mismatch(model: Decoder, prompts: list[tuple[int, ...]]) -> float:
    """Mean |difference| between the log-probabilities that the sampler gave its tokens and the trainer's own."""
    requests = [Request(prompt, (2 * place, 2 * place + 1)) for place, prompt in enumerate(prompts)]
    completions = Engine(model).sample(requests, SamplingParams(24))
    differences = []
    for pack in packs(training_rows(requests, completions), 256, model.device):
        hidden_ND = model(pack.tree.ids_N, pack.tree.positions_N, pack.tree)
        logprobs_M, _ = token_logprobs(hidden_ND[pack.before_M], model.head_weight_VD, pack.targets_M)
        differences.append((logprobs_M - pack.logprobs_M).abs())
    return float(torch.cat(differences).mean())


def training_rows(requests: list[Request], completions: list[list[Completion]]) -> list[Row]:
    """Every other completion is right: each token's advantage is plus or minus a half."""
    return [
        Row(
            prompt_ids=request.prompt_ids,
            ids=completion.ids,
            rl=(0.5 if member % 2 else -0.5,) * len(completion.ids),
            ce=(0.0,) * len(completion.ids),
            logprobs=completion.logprobs,
        )
        for request, group in zip(requests, completions, strict=True)
        for member, completion in enumerate(group)
    ]


def time_steps(model: Decoder, prompts: list[tuple[int, ...]], options: argparse.Namespace, found: Found) -> None:
    """One step to warm up, then the timed ones, into `found`."""
    schedule = Schedule(LEARNING_RATE, options.steps + 1)
    trainer = Trainer(model, model.named_parameters(), schedule, max_tokens=options.pack_tokens)
    batch = options.prompts * options.samples
    width = options.prompt_tokens + options.tokens
    engine = Engine(model, max_rows=batch, cache_bytes=cache_bytes(model, batch * width, options.device))
    params = SamplingParams(options.tokens)
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for step in range(options.steps + 1):
        first = step * batch
        requests = [
            Request(prompt, tuple(range(first + place * options.samples, first + (place + 1) * options.samples)))
            for place, prompt in enumerate(prompts)
        ]
        begin = now(options.device)
        completions = engine.sample(requests, params)
        middle = now(options.device)
        result = trainer.step(training_rows(requests, completions), trust_region)
        end = now(options.device)
        check_step(found.shape, result, batch * options.tokens)
        engine.weight_version = trainer.steps
        if step > 0:
            found.generate_seconds.append(middle - begin)
            found.train_seconds.append(end - middle)
            found.generated_tokens, found.trained_tokens = batch * options.tokens, result.forward_tokens
    found.peak_memory = torch.cuda.max_memory_allocated() if options.device == "cuda" else peak_bytes()
    report.say(f"ours: {found.step_seconds:.3g} s a step")


def check_step(shape: str, result: StepResult, tokens: int) -> None:
    if result.response_tokens != tokens or not math.isfinite(result.loss) or abs(result.ratio_mean - 1) > 0.05:
        raise WorkFailed(f"{shape}: a training step went wrong: {result}")


def cache_bytes(model: Decoder, tokens: int, device: str) -> int:
    """Room for the whole batch, at most a third of the GPU."""
    wanted = tokens * model.config.kv_bytes_per_token
    return min(wanted, torch.cuda.get_device_properties(0).total_memory // 3) if device == "cuda" else wanted


def peak_flops(device: str) -> float:
    """bf16 FLOP/s of the device: of its data sheet where the table has it, else the fastest product measured."""
    if device == "cpu":
        return machine.measure().matmul * 1e9
    if (peak := gpu.of_sheet(PEAKS)) is not None:
        return peak
    left, right = gpu.matrices(device)
    best = math.inf
    for _ in range(10):
        begin = now(device)
        torch.mm(left, right)
        best = min(best, now(device) - begin)
    return 2 * gpu.SIDE**3 / best


def random_prompts(config: ModelConfig, count: int, length: int) -> list[tuple[int, ...]]:
    """Token ids from 1 on (0 is the stop token of the peers); all prompts share their first quarter."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, config.vocab_size, (count, length), generator=generator)
    ids[:, : length // 4] = ids[0, : length // 4]
    return [tuple(prompt) for prompt in ids.tolist()]


def write_folder(model: Decoder, folder: Path) -> None:
    """The same random weights as a Hugging Face folder, with a tokenizer of one word per id."""
    import tokenizers

    from whetstone.models.checkpoint import write_model
    from whetstone.models.tokenizer import Tokenizer

    words = {word(i): i for i in range(model.config.vocab_size)}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token=word(0)))
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    special = {f"{role}_token": word(0) for role in ("eos", "pad", "unk")}
    write_model(model, folder, Tokenizer(core, {**special, "tokenizer_class": "PreTrainedTokenizerFast"}))


def word(token: int) -> str:
    return f"w{token}"


def time_peers(
    folder: Path, prompts: list[tuple[int, ...]], options: argparse.Namespace, found: Found, peers: dict[str, Path]
) -> None:
    """The same work by TRL (the step) and transformers (generation only); what fails is said and left out."""
    for package, time_it in (("trl", time_trl), ("transformers", time_transformers)):
        if package in peers:
            try:
                setattr(found, package, time_it(folder, prompts, options, peers[package]))
            except WorkFailed as error:
                report.say(f"{package} is left out: {error}")


def time_trl(folder: Path, prompts: list[tuple[int, ...]], options: argparse.Namespace, python: Path) -> dict[str, Any]:
    arguments = {
        "prompts-per-step": options.prompts,
        "generations": options.samples,
        "tokens": options.tokens,
        "full-length": True,
        "learning-rate": LEARNING_RATE,
        "warm-up": 1,
        "steps": options.steps,
        "device": options.device,
        "bf16": options.device == "cuda",
    }
    result = peer.run_grpo(
        folder,
        [" ".join(map(word, prompt)) for prompt in prompts],
        arguments,
        micro_batch=options.micro_batch,
        sizes=MICRO_BATCHES,
        tuning_warm_up=1,
        python=python,
        say=report.say,
    )
    sizes = (result["mean_completion_tokens"], result["prompt_tokens"])
    if max(abs(sizes[0] - options.tokens), abs(sizes[1] - options.prompt_tokens)) > 1e-3:
        raise WorkFailed(f"it did not do equal work: {sizes[0]:g} tokens after {sizes[1]:g} of the prompt")
    return result


def time_transformers(
    folder: Path, prompts: list[tuple[int, ...]], options: argparse.Namespace, python: Path
) -> dict[str, Any]:
    arguments = {
        "tokens": options.tokens,
        "batches": options.prompts * options.samples,
        "modes": "sampled",
        "device": options.device,
        "dtype": "bfloat16" if options.device == "cuda" else "float32",
    }
    spelled_out = [list(prompt) for prompt in prompts for _ in range(options.samples)]
    [result] = peer.run_generate(folder, spelled_out, arguments, python=python, say=report.say).values()
    report.say(f"transformers, {result['cache']} cache: {result['tokens_per_second']:.4g} tokens/s")
    return result


def rows(found: Found, options: argparse.Namespace) -> Iterable[dict[str, Any]]:
    """The contract's rows: the whole step beside TRL, generation beside transformers."""
    trl, transformers = found.trl, found.transformers
    work = {
        "prompts": options.prompts,
        "samples": options.samples,
        "prompt_tokens": options.prompt_tokens,
        "tokens": options.tokens,
        "steps": options.steps,
        "dtype": "bfloat16 activations, float32 parameters",
        "device": options.device,
    }
    yield report.row(
        f"gpu_rlvr.{found.shape}",
        found.step_seconds,
        None if trl is None else trl["seconds_per_step"],
        "TRL GRPOTrainer",
        "s/step",
        higher_is_better=False,
        peer_versions=None if trl is None else trl["versions"],
        **work,
        parameters=found.parameters,
        checks=found.checks,
        generate_seconds=found.generate_seconds,
        train_seconds=found.train_seconds,
        generate_tokens_per_second=found.generate_speed,
        train_tokens_per_second=found.train_speed,
        trained_tokens=found.trained_tokens,
        mfu=found.mfu,
        peak_flops=found.peak,
        peak_memory_gib=found.peak_memory / machine.GIB,
        peer_details=trl,
    )
    yield report.row(
        f"gpu_rlvr.{found.shape}.generate",
        found.generate_speed,
        None if transformers is None else transformers["tokens_per_second"],
        "transformers generate",
        "tokens/s",
        higher_is_better=True,
        peer_versions=None if transformers is None else transformers["versions"],
        **work,
        peer_cache=None if transformers is None else transformers["cache"],
    )


def table(found: list[Found], options: argparse.Namespace, peak: float) -> str:
    about = [
        f"{options.prompts} prompts of {options.prompt_tokens} tokens x {options.samples} samples of {options.tokens} "
        f"forced tokens; {options.steps} steps after one to warm up; MFU = 6 N tokens / {peak / 1e12:.4g} TFLOP/s",
    ]
    columns = ["shape", "params", "s/step", "generate tok/s", "train tok/s", "MFU", "GiB", "x TRL", "x transformers"]
    lines = [columns]
    for each in found:
        trl = "-" if each.trl is None else f"{each.trl['seconds_per_step'] / each.step_seconds:.2f}"
        theirs = each.transformers
        generate = "-" if theirs is None else f"{each.generate_speed / theirs['tokens_per_second']:.2f}"
        lines.append(
            [
                each.shape,
                f"{each.parameters / 1e6:.4g}M",
                f"{each.step_seconds:.3g}",
                f"{each.generate_speed:.4g}",
                f"{each.train_speed:.4g}",
                f"{each.mfu:.1%}",
                f"{each.peak_memory / machine.GIB:.3g}",
                trl,
                generate,
            ]
        )
    dtypes = "bf16 activations, fp32 parameters, head and log-softmax"
    return "\n".join(gpu.table(options.device, dtypes, about, lines))


if __name__ == "__main__":
    report.main(main)
