"""`whet route`: learn which of several models and strategies to ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from whetstone.cli.options import Device, Level, Task

_SAMPLED = ("n", "calibrate_on", "learn_from", "level", "style", "seed", "device")
_PASSED = ("out", "kind", "want", "budget", "cost", "prices", "endpoints", *_SAMPLED)


@dataclass(frozen=True)
class Route:
    """Learn from samples which model and strategy to ask, and measure that against every control.

    Example: `whet route smollm2-135m@greedy smollm2-135m@consistency-16 --task addition --out routes/sums`

    Example: `whet route small@consistency-3 big@greedy --endpoints models.toml --cost usd --prices prices.toml --out r`

    Then: `whet serve smollm2-135m --route auto=routes/sums` serves it as the model `auto`.
    """

    options: Annotated[
        list[str],
        typer.Argument(metavar="MODEL@STRATEGY...", help="What there is to choose between.", show_default=False),
    ]
    out: Annotated[Path, typer.Option(help="Folder for route.json, route.html and the samples.", show_default=False)]
    task: Task = "addition"
    level: Level = None
    n: Annotated[int, typer.Option("--n", min=2, help="Problems to measure on.")] = 200
    calibrate_on: Annotated[
        int | None, typer.Option(min=2, help="Problems to choose thresholds on.", show_default="as --n")
    ] = None
    learn_from: Annotated[
        int | None, typer.Option(min=2, help="Problems that a classifier learns from.", show_default="as --n")
    ] = None
    kind: Annotated[str, typer.Option(help="cascade, classifier, or both: the better one is taken.")] = "both"
    want: Annotated[
        float | None, typer.Option(help="Accuracy to reach as cheaply as possible.", show_default="the best option's")
    ] = None
    budget: Annotated[
        float | None, typer.Option(help="Mean cost to keep to, as accurately as possible.", show_default=False)
    ] = None
    cost: Annotated[str, typer.Option(help="tokens, flops, seconds or usd.")] = "tokens"
    prices: Annotated[Path | None, typer.Option(help="TOML table of prices (docs/routing.md).", show_default=False)] = (
        None
    )
    endpoints: Annotated[
        Path | None, typer.Option(help="TOML file that names models behind addresses.", show_default=False)
    ] = None
    style: Annotated[str, typer.Option(help="Prompt style.")] = "only"
    seed: Annotated[int, typer.Option(help="Its key draws the problems: another seed, other problems.")] = 0
    device: Device = "cpu"
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False

    def run(self) -> None:
        import json

        from whetstone.evals.routing.route import PAGE, route
        from whetstone.runs.progress import Progress

        with Progress() as progress:
            passed = {name: getattr(self, name) for name in _PASSED}
            told = route(self.options, self.task, progress=progress, **passed)
        if self.as_json:
            print(json.dumps(told, indent=2, ensure_ascii=False))
            return
        _show(told)
        print(f"written: {self.out / 'route.json'}, {self.out / PAGE}")


def _show(told: dict[str, Any]) -> None:
    from whetstone.evals.page.numbers import accuracy, signed
    from whetstone.evals.routing.page import UNITS, number, rule_in_words
    from whetstone.text import printable

    facts = told["facts"]
    unit = UNITS[facts["unit"]]
    lines = [f"route: {rule_in_words(told)}"]
    for row in (*facts["singles"], *facts["equal_cost"], {"option": "the route", **facts["test"]}):
        lines.append(f"{row['option']}: {accuracy(row['accuracy'])} right, {number(row['cost']['mean'])} {unit}")
    if (area := facts["area_over_diagonal"]) is not None:
        lines.append(f"area over the diagonal: {signed(area)} points")
    lines.append(facts["sentence"])
    if facts["seed_note"]:
        lines.append(f"note: {facts['seed_note']}")
    print(printable("\n".join(lines)))
