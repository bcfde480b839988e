"""`whet generate`: one prompt, one or several answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TextIO

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

if TYPE_CHECKING:
    from whetstone.engine.backends import Backend, Source
    from whetstone.engine.generate import Answer


@dataclass(frozen=True)
class Generate:
    """Answer one prompt. A single answer is shown as it comes.

    Example: `whet generate smollm2-135m "What is the capital of France?"`

    Example: `whet generate https://HOST/v1 --model NAME --api-key-file key.txt "What is the capital of France?"`
    """

    model: AskedModel
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads standard input.")]
    system: Annotated[str | None, typer.Option(help="System message.")] = None
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256
    temperature: Annotated[float, typer.Option(min=0.0, max=100.0, help="0 is greedy.")] = 0.0
    n: Annotated[int, typer.Option("--n", min=1, help="How many answers.")] = 1
    seed: Annotated[int, typer.Option(min=0, max=2**63, help="Other seeds, other samples.")] = 0
    device: Device = "cpu"
    name: ServedName = None
    api_key_file: ApiKeyFile = None
    endpoint_settings: EndpointFile = None
    backend: BackendName = "local"
    draft: DraftModel = None
    draft_weights: DraftWeights = "auto"
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with ids and log-probabilities.")] = (
        False
    )

    def run(self) -> None:
        import sys
        from functools import partial

        from whetstone.engine.generate import sample

        backend = self._source().open()
        asked = sys.stdin.read() if self.prompt == "-" else self.prompt
        heard = None if self.as_json or self.n > 1 else partial(_show, sys.stdout)
        wished = {"temperature": self.temperature, "max_new_tokens": self.max_tokens, "system": self.system}
        [answers] = sample(backend, asked, n=self.n, seed=self.seed, heard=heard, **wished)  # type: ignore[arg-type]
        self._tell(answers, heard is not None)
        _require_all(answers, backend)

    def _source(self) -> Source:
        from whetstone.engine.backends import Source

        endpoint = self.name, self.api_key_file, self.endpoint_settings
        return Source(self.model, *endpoint, self.backend, self.device, self.draft, self.draft_weights)

    def _tell(self, answers: Sequence[Answer], shown: bool) -> None:
        import json
        from dataclasses import asdict

        from whetstone.text import printable

        for answer in answers:
            if self.as_json:
                print(json.dumps(asdict(answer), ensure_ascii=False))
            else:
                print("" if shown else printable(answer.text))


def _show(out: TextIO, text: str) -> None:
    from whetstone.text import printable

    out.write(printable(text))
    out.flush()


def _require_all(answers: Sequence[Answer], backend: Backend) -> None:
    from whetstone.engine.rollout import UNANSWERED
    from whetstone.errors import WorkFailed

    failed = [answer.finish for answer in answers if answer.finish in UNANSWERED]
    if failed:
        facts = backend.facts() or {}
        reason = facts.get("last_failure") or f"the endpoint ended it by {failed[-1]}"
        raise WorkFailed(f"{len(failed)} of {len(answers)} answers did not come: {reason}")
