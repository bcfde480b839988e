"""`whet generate`: one prompt, one or several answers."""

from __future__ import annotations

from typing import Annotated, TextIO

import typer

from whetstone.cli.options import (
    ApiKeyFile,
    AskedModel,
    BackendName,
    Device,
    DraftModel,
    DraftWeights,
    EndpointFile,
    ServedName,
)


def generate(
    model: AskedModel,
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads standard input.")],
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, max=100.0, help="0 is greedy.")] = 0.0,
    n: Annotated[int, typer.Option("--n", min=1, help="How many answers.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**63, help="Other seeds, other samples.")] = 0,
    device: Device = "cpu",
    name: ServedName = None,
    api_key_file: ApiKeyFile = None,
    endpoint_settings: EndpointFile = None,
    backend: BackendName = "local",
    draft: DraftModel = None,
    draft_weights: DraftWeights = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with ids and log-probabilities.")
    ] = False,
) -> None:
    """Answer one prompt. A single answer is shown as it comes.

    Example: `whet generate smollm2-135m "What is the capital of France?"`
    """
    import json
    import sys
    from dataclasses import asdict
    from functools import partial

    from whetstone.engine.backends import Source
    from whetstone.engine.generate import sample
    from whetstone.engine.rollout import UNANSWERED
    from whetstone.errors import WorkFailed
    from whetstone.text import printable

    asked = sys.stdin.read() if prompt == "-" else prompt
    opened = Source(model, name, api_key_file, endpoint_settings, backend, device, draft, draft_weights).open()
    heard = None if as_json or n > 1 else partial(_show, sys.stdout)
    [answers] = sample(
        opened,
        asked,
        n=n,
        temperature=temperature,
        max_new_tokens=max_tokens,
        system=system,
        seed=seed,
        heard=heard,
    )
    for answer in answers:
        if as_json:
            print(json.dumps(asdict(answer), ensure_ascii=False))
        else:
            print("" if heard else printable(answer.text))
    failed = [answer.finish for answer in answers if answer.finish in UNANSWERED]
    if failed:
        facts = opened.facts() or {}
        reason = facts.get("last_failure") or f"the endpoint ended it by {failed[-1]}"
        raise WorkFailed(f"{len(failed)} of {n} answers did not come: {reason}")


def _show(out: TextIO, text: str) -> None:
    from whetstone.text import printable

    out.write(printable(text))
    out.flush()
