"""vLLM, where it is installed, as a `Sampler`: token ids in, token ids and log-probabilities out.

For models and GPUs that are too large for the local engine. vLLM holds its own copy of the weights, so it serves
evaluation and generation; training samples from the tensors that it changes. https://docs.vllm.ai/en/latest/api/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whetstone.engine.protocol import Completion, Finish, Progress, Request, SamplingParams
from whetstone.errors import UsageError, WorkFailed

# Sequences handed over at once: many more than fit on a GPU together, few enough that progress is seen.
ROUND = 1024
SEED_MASK = 2**63 - 1  # its seeds are signed
TRUNCATION = ("top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


class VllmEngine:
    """Samples from the model in `folder` by `vllm.LLM`; `options` go to it as they are.

    Log-probabilities are those of vLLM's processed logits: at the sampling temperature, for greedy at temperature 1,
    which is what `Completion.logprobs` asks for; with top-p, top-k or min-p they are of the truncated distribution.
    The weights never change: `weight_version` is 0.

    Raises UsageError when vLLM is not installed, WorkFailed when it cannot hold the model.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        try:
            import vllm
        except ImportError as failure:
            raise UsageError(
                f"vLLM is not installed here ({failure}): `pip install vllm` on a machine with a GPU, "
                "or leave out --backend vllm"
            ) from None
        settings = {
            "skip_tokenizer_init": True,  # ids come and go; text is ours (law 2)
            "generation_config": "vllm",  # the model's own defaults change no request
            "logprobs_mode": "processed_logprobs",
            "disable_log_stats": True,
        }
        self._vllm = vllm
        try:
            self._llm: Any = vllm.LLM(model=str(folder), **{**settings, **options})
        except (RuntimeError, ValueError, OSError) as failure:
            raise WorkFailed(f"vLLM cannot load {folder}: {failure}") from failure

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        """See `Sampler.sample`. Raises ValueError for an empty prompt or no room for a new token."""
        if params.max_new_tokens < 1 or any(not request.prompt_ids for request in requests):
            raise ValueError("every prompt needs a token, and max_new_tokens must be at least 1")
        asked = [(number, seed) for number, request in enumerate(requests) for seed in request.seeds]
        results: list[list[Completion]] = [[] for _ in requests]
        for first in range(0, len(asked), ROUND):
            part = asked[first : first + ROUND]
            outputs = self._llm.generate(
                [self._vllm.TokensPrompt(prompt_token_ids=list(requests[number].prompt_ids)) for number, _ in part],
                [self._params(requests[number].limited(params), seed) for number, seed in part],
                use_tqdm=False,
            )
            for (number, _), output in zip(part, outputs, strict=True):
                results[number].append(_completion(output.outputs[0]))
            if progress is not None:
                progress(first + len(part), len(asked))
        return results

    def _params(self, params: SamplingParams, seed: int) -> Any:
        """One completion each, for its seed is its own; it stops at our stop ids and at nothing else."""
        if getattr(params, "constraint", None) is not None:
            raise UsageError("structured output needs the local engine: leave out --backend vllm")
        further = {name: getattr(params, name) for name in TRUNCATION}
        if params.logit_bias:
            further["logit_bias"] = dict(params.logit_bias)
        return self._vllm.SamplingParams(
            n=1,
            seed=seed & SEED_MASK,
            temperature=params.temperature,
            max_tokens=params.max_new_tokens,
            stop_token_ids=sorted(params.stop_ids),
            ignore_eos=True,
            logprobs=0,  # of the chosen token only
            detokenize=False,
            **further,
        )


def _completion(output: Any) -> Completion:
    """From vLLM's CompletionOutput; its `logprobs` are one dict a position, token id to an object with `.logprob`."""
    ids = tuple(int(token) for token in output.token_ids)
    logprobs = tuple(float(place[token].logprob) for place, token in zip(output.logprobs, ids, strict=True))
    finish: Finish = "stop" if output.finish_reason == "stop" else "length"
    return Completion(ids, logprobs, finish, 0)
