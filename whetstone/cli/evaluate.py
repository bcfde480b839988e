"""`whet eval`: how good is a model at a task, on fresh problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from whetstone.cli.options import ApiKeyFile, AskedModel, BackendName, Device, EndpointFile, Level, ServedName, Task


def evaluate(
    model: AskedModel,
    task: Task = "addition",
    level: Level = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Different problems.")] = 500,
    samples: Annotated[int, typer.Option(min=1, help="Answers per problem; several give pass@k.")] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(min=0.0, max=100.0, help="0 is greedy.", show_default="0 for one answer, 1 for several"),
    ] = None,
    style: Annotated[str, typer.Option(help="Prompt style.")] = "only",
    seed: Annotated[int, typer.Option(help="Its key draws the problems: another seed, other problems.")] = 0,
    device: Device = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="A folder for report.html and report.json.", show_default=False)
    ] = None,
    name: ServedName = None,
    api_key_file: ApiKeyFile = None,
    endpoint_settings: EndpointFile = None,
    backend: BackendName = "local",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Measure a model on fresh problems, with an interval.

    Example: `whet eval smollm2-135m --task addition --n 200`

    Example: `whet eval https://HOST/v1 --model NAME --api-key-file key.txt --task addition --n 200`
    """
    import json

    from whetstone.engine.backends import Source
    from whetstone.evals.eval_page import prepare
    from whetstone.evals.evaluate import evaluate as run
    from whetstone.runs.progress import Progress
    from whetstone.text import printable

    source = Source(model, name, api_key_file, endpoint_settings, backend, device)
    with Progress() as progress:
        if out:
            prepare(out)
        result = run(
            source,
            task,
            level=level,
            n=n,
            samples=samples,
            temperature=temperature,
            style=style,
            seed=seed,
            progress=progress,
        )
    rows = result.pop("rows", [])
    written = _report(out, result, rows) if out else []
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    accuracy = result["accuracy"]
    warmth = f" at temperature {result['temperature']:g}" if result["temperature"] else ""
    print(
        f"{printable(result['task'])} level {result['level']}: {100 * accuracy['mean']:.1f} % right "
        f"(95 % interval {100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}, {accuracy['n']} problems){warmth}"
    )
    print("verdicts: " + ", ".join(f"{name} {count}" for name, count in result["verdicts"].items() if count))
    for row in result.get("pass_at_k", []):
        print(f"pass@{row['k']}: {100 * row['mean']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})")
    print(f"tokens per answer {result['tokens_per_answer']:.1f}, cut off {100 * result['truncated']:.0f} %")
    if facts := result.get("backend"):
        print(printable("\n".join(_endpoint_lines(facts))))
    if result["seed_note"]:
        print(f"note: {result['seed_note']}")
    for path in written:
        print(f"written: {path}")


def _report(folder: Path, result: dict[str, Any], rows: list[dict[str, Any]]) -> list[Path]:
    import shlex
    import sys

    from whetstone.evals.eval_page import write_report

    return write_report(folder, result, rows, shlex.join(["whet", *sys.argv[1:]]))


def _endpoint_lines(facts: dict[str, Any]) -> list[str]:
    from whetstone.evals.evaluate import unanswered

    usage = facts["usage"]
    lines = [
        f"{facts['model']} at {facts['address']}: {usage['requests']} requests, {usage['prompt']} prompt tokens "
        f"({usage['cached']} cached), {usage['completion']} answer tokens ({usage['reasoning']} of hidden reasoning)"
    ]
    if cost := facts.get("cost"):
        least = "" if cost["complete"] else "at least "
        lines.append(f"cost: {least}{cost['usd']:.4f} USD at the prices of {cost['date']} ({cost['source']})")
    if missing := unanswered(facts):
        lines.append(f"{missing} answers never came and count as not right; the last: {facts['last_failure']}")
    if refused := facts["failures"].get("refused"):
        lines.append(f"{refused} answers were refusals")
    if facts["left_out"]:
        lines.append(f"not sent to this endpoint: {', '.join(facts['left_out'])}")
    return lines
