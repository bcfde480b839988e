"""`whet scale`: how much accuracy do tokens buy, by which method, at what price."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whetstone.cli.options import ApiKeyFile, BackendName, Device, EndpointFile, ServedName

if TYPE_CHECKING:
    from whetstone.engine.backends import Source

_PASSED = ("out", "n", "methods", "budgets", "prices", "want", "style", "seed", "device", "backend")


@dataclass(frozen=True)
class Scale:
    """Accuracy against tokens, seconds, FLOPs and money: every way to think longer, on the same fresh problems.

    Example: `whet scale smollm2-135m --task addition --n 200 --budgets 1,4,16 --out scale/addition`

    Example: `whet scale smollm2-135m runs/first --task addition@1,2 --task largest@1 --out scale/both`

    Example: `whet scale https://HOST/v1 --model NAME --task addition --methods greedy,consistency --want 0.9`

    Example: `whet scale smollm2-135m --task addition --verifier new --methods greedy,best:by=head --out scale/head`
    """

    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="As for whet eval; a run's folder stands for its sharpened model.",
            show_default=False,
        ),
    ]
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", help="A task as for whet eval, or TASK@1,2 with levels. May be repeated."),
    ] = None
    levels: Annotated[list[int] | None, typer.Option("--level", help="Of tasks that name none. May be repeated.")] = (
        None
    )
    n: Annotated[int, typer.Option("--n", min=2, help="Different problems of each task and level.")] = 200
    methods: Annotated[
        str | None,
        typer.Option(
            help="greedy,consistency,best:by=certainty and so on.", show_default="all that are honest and possible"
        ),
    ] = None
    budgets: Annotated[str, typer.Option(help="Samples, turns or beams; of tokens so many times an answer's room.")] = (
        "1,2,4,8,16"
    )
    out: Annotated[
        Path, typer.Option("--out", help="A folder: samples, scale.json, scale.html. The same one goes on.")
    ] = Path("scale")
    temperatures: Annotated[
        list[float] | None,
        typer.Option("--temperature", help="Of samples: once, or once for each model.", show_default="0.7"),
    ] = None
    trained: Annotated[
        list[Path] | None,
        typer.Option(help="A run that trained one of the models: train, or think longer?", show_default=False),
    ] = None
    verifier: Annotated[
        str | None,
        typer.Option(metavar="new|DIR", help="Train a verifier on training problems, or take that of a folder."),
    ] = None
    prices: Annotated[
        Path | None,
        typer.Option(help="TOML file: price of an hour or of tokens, with date and source.", show_default=False),
    ] = None
    want: Annotated[
        float | None, typer.Option(help="An accuracy: which setting reaches it cheapest?", show_default=False)
    ] = None
    style: Annotated[str, typer.Option(help="Prompt style.")] = "only"
    seed: Annotated[int, typer.Option(help="Its key draws the problems: another seed, other problems.")] = 0
    device: Device = "cpu"
    name: ServedName = None
    api_key_file: ApiKeyFile = None
    endpoint_settings: EndpointFile = None
    backend: BackendName = "local"
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False

    def run(self) -> None:
        import json

        from whetstone.evals.scaling.scale import scale
        from whetstone.evals.scaling.terminal import lines
        from whetstone.evals.scaling.tools import made
        from whetstone.runs.progress import Progress

        with Progress() as progress:
            try:
                result = scale(self._sources(), self.tasks or ["addition"], progress=progress, **self._asked())
            except KeyboardInterrupt:
                progress.message(f"stopped; the samples so far are in {self.out}: the same command goes on from there")
                raise
        if self.as_json:
            print(json.dumps(result, indent=2, ensure_ascii=False))
            return
        print("\n".join(lines(result)))
        print(f"written: {self.out / 'scale.json'}\nwritten: {self.out / 'scale.html'}")
        for head in made(self.out):
            print(f"a learned verifier: {head} (`whet serve MODEL --verifier {head}` offers it)")

    def _sources(self) -> list[str | Source]:
        from whetstone.engine.backends import Source
        from whetstone.errors import UsageError
        from whetstone.models.hub import is_endpoint

        if self.name is not None and not any(map(is_endpoint, self.models)):
            raise UsageError("--model is for an endpoint, and none of the models is one: leave it out")
        return [
            Source(each, self.name, self.api_key_file, self.endpoint_settings, "local", self.device)
            if is_endpoint(each)
            else each
            for each in self.models
        ]

    def _asked(self) -> dict[str, Any]:
        passed = {name: getattr(self, name) for name in _PASSED}
        repeated = {name: getattr(self, name) or () for name in ("levels", "temperatures", "trained")}
        learned = self.verifier if self.verifier in (None, "new") else Path(self.verifier)
        return passed | repeated | {"verifier": learned}
