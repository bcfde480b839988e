"""`whet generate`: one prompt, one or several answers."""

from __future__ import annotations

from typing import Annotated

import typer

from whetstone.cli.options import Device, Model


def generate(
    model: Model,
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads standard input.")],
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    n: Annotated[int, typer.Option("--n", min=1, help="How many answers.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**63, help="Other seeds, other samples.")] = 0,
    device: Device = "cpu",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with ids and log-probabilities.")
    ] = False,
) -> None:
    """Answer one prompt.

    Example: `whet generate smollm2-135m "What is the capital of France?"`
    """
    import json
    import sys

    from whetstone.engine.engine import Engine
    from whetstone.engine.protocol import Request, SamplingParams
    from whetstone.errors import UsageError
    from whetstone.models.loading import load

    loaded = load(model, device)
    messages = [] if system is None else [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": sys.stdin.read() if prompt == "-" else prompt})
    request = Request(tuple(loaded.tokenizer.chat_ids(messages)), tuple(_seed(seed, i) for i in range(n)))
    room = loaded.model.config.max_positions - len(request.prompt_ids)
    if room < 1:
        raise UsageError(
            f"the prompt has {len(request.prompt_ids)} tokens and the model takes "
            f"{loaded.model.config.max_positions}, its answer included: shorten the prompt"
        )
    params = SamplingParams(min(max_tokens, room), temperature, loaded.tokenizer.stop_ids)
    for completion in Engine(loaded.model).sample([request], params)[0]:
        text = loaded.tokenizer.decode(completion.ids[:-1] if completion.finish == "stop" else completion.ids)
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


def _seed(seed: int, answer: int) -> int:
    """A hash, so that neighbouring seeds share no answers."""
    from whetstone.tasks.keys import problem_seed

    return int.from_bytes(problem_seed(str(seed).encode(), "generate", "", "", answer)[:8], "big")
