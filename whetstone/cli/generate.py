"""`whet generate`: one prompt, one or several answers."""

from __future__ import annotations

from typing import Annotated

import typer

from whetstone.cli.options import ApiKeyFile, AskedModel, BackendName, Device, EndpointFile, ServedName


def generate(
    model: AskedModel,
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads standard input.")],
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    n: Annotated[int, typer.Option("--n", min=1, help="How many answers.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**63, help="Other seeds, other samples.")] = 0,
    device: Device = "cpu",
    name: ServedName = None,
    api_key_file: ApiKeyFile = None,
    endpoint_settings: EndpointFile = None,
    backend: BackendName = "local",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with ids and log-probabilities.")
    ] = False,
) -> None:
    """Answer one prompt.

    Example: `whet generate smollm2-135m "What is the capital of France?"`
    """
    import json
    import sys

    from whetstone.engine.backends import Source
    from whetstone.engine.protocol import SamplingParams
    from whetstone.engine.rollout import UNANSWERED, completion_text
    from whetstone.errors import UsageError, WorkFailed

    asked = Source(model, name, api_key_file, endpoint_settings, backend, device).open()
    messages = [] if system is None else [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": sys.stdin.read() if prompt == "-" else prompt})
    request = asked.request(messages, tuple(_seed(seed, i) for i in range(n)))
    if asked.positions is not None:
        room = asked.positions - len(request.prompt_ids)
        if room < 1:
            raise UsageError(
                f"the prompt has {len(request.prompt_ids)} tokens and the model takes "
                f"{asked.positions}, its answer included: shorten the prompt"
            )
        max_tokens = min(max_tokens, room)
    params = SamplingParams(max_tokens, temperature, asked.stop_ids)
    completions = asked.sampler.sample([request], params)[0]
    for completion in completions:
        text = completion_text(completion, asked.tokenizer)
        if as_json:
            row = {
                "text": text,
                "finish": completion.finish,
                "ids": completion.ids,
                "logprobs": completion.logprobs,
            }
            print(json.dumps(row, ensure_ascii=False))
        else:
            print(text)
    failed = [completion.finish for completion in completions if completion.finish in UNANSWERED]
    if failed:
        facts = asked.facts() or {}
        reason = facts.get("last_failure") or f"the endpoint ended it by {failed[-1]}"
        raise WorkFailed(f"{len(failed)} of {n} answers did not come: {reason}")


def _seed(seed: int, answer: int) -> int:
    """A hash, so that neighbouring seeds share no answers."""
    from whetstone.tasks.keys import problem_seed

    return int.from_bytes(problem_seed(str(seed).encode(), "generate", "", "", answer)[:8], "big")
