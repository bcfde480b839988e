"""`whet eval`: how good is a model at a task, on fresh problems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from whetstone.cli.options import ApiKeyFile, AskedModel, BackendName, Device, EndpointFile, Level, ServedName, Task

_PASSED = ("level", "n", "samples", "temperature", "style", "seed")


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on fresh problems, with an interval.

    Example: `whet eval smollm2-135m --task addition --n 200`

    Example: `whet eval smollm2-135m --task arc.jsonl --export lm-eval=out`

    Example: `whet eval https://HOST/v1 --model NAME --api-key-file key.txt --task addition --n 200`
    """

    model: AskedModel
    task: Task = "addition"
    level: Level = None
    n: Annotated[int, typer.Option("--n", min=1, help="Different problems.")] = 500
    samples: Annotated[int, typer.Option(min=1, help="Answers per problem; several give pass@k.")] = 1
    temperature: Annotated[
        float | None,
        typer.Option(min=0.0, max=100.0, help="0 is greedy.", show_default="0 for one answer, 1 for several"),
    ] = None
    style: Annotated[
        str | None, typer.Option(help="Prompt style.", show_default="only; for a file of choices likelihood")
    ] = None
    seed: Annotated[int, typer.Option(help="Its key draws the problems: another seed, other problems.")] = 0
    device: Device = "cpu"
    out: Annotated[Path | None, typer.Option(help="A folder for report.html and report.json.", show_default=False)] = (
        None
    )
    name: ServedName = None
    api_key_file: ApiKeyFile = None
    endpoint_settings: EndpointFile = None
    backend: BackendName = "local"
    samples_out: Annotated[
        Path | None, typer.Option(help="Write every answer to this .jsonl file.", show_default=False)
    ] = None
    exports: Annotated[
        list[str] | None,
        typer.Option("--export", metavar="FORMAT=DIR", help="lm-eval=DIR or inspect=DIR.", show_default=False),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False

    def run(self) -> None:
        import json

        from whetstone.engine.backends import Source
        from whetstone.evals.eval_page import prepare
        from whetstone.evals.evaluate import evaluate
        from whetstone.evals.exports.export import export, parsed_exports, write_rows
        from whetstone.runs.progress import Progress

        wanted = parsed_exports(self.exports or [])
        endpoint = self.name, self.api_key_file, self.endpoint_settings
        source = Source(self.model, *endpoint, self.backend, self.device)
        with Progress() as progress:
            if self.out:
                prepare(self.out)
            passed = {name: getattr(self, name) for name in _PASSED}
            rows_wanted = bool(self.samples_out or wanted or self.out)
            result = evaluate(source, self.task, rows=rows_wanted, progress=progress, **passed)
        rows = result.pop("rows", [])
        written = [write_rows(rows, self.samples_out)] if self.samples_out else []
        for format, folder in wanted:
            written += export(result, rows, format, folder)
        written += _report(self.out, result, rows) if self.out else []
        if self.as_json:
            print(json.dumps(result, indent=2, ensure_ascii=False))
            return
        _show(result)
        for path in written:
            print(f"written: {path}")


def _show(result: dict[str, Any]) -> None:
    from whetstone.text import printable

    accuracy = result["accuracy"]
    warmth = f" at temperature {result['temperature']:g}" if result.get("temperature") else ""
    level = f" level {result['level']}" if "level" in result else ""
    print(f"{printable(result['task'])}{level}: {_share(accuracy)}, {accuracy['n']} problems){warmth}")
    if normalised := result.get("accuracy_normalised"):
        print(f"by log-probability per character (acc_norm): {_share(normalised)})")
    print("verdicts: " + ", ".join(f"{name} {count}" for name, count in result["verdicts"].items() if count))
    for row in result.get("pass_at_k", []):
        print(f"pass@{row['k']}: {100 * row['mean']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})")
    if "tokens_per_answer" in result:
        print(f"tokens per answer {result['tokens_per_answer']:.1f}, cut off {100 * result['truncated']:.0f} %")
    if facts := result.get("backend"):
        print(printable("\n".join(_endpoint_lines(facts))))
    if file := result.get("file"):
        print(f"note: {accuracy['n']} of the file's {file['items']} items, chosen by the seed; {file['note']}")
    if looks := result["looks"]:
        print(f"look {looks['weights']} at this task with these weights, {looks['task']} with any, on this machine")
    if result["seed_note"]:
        print(f"note: {result['seed_note']}")


def _report(folder: Path, result: dict[str, Any], rows: list[dict[str, Any]]) -> list[Path]:
    import shlex
    import sys

    from whetstone.evals.eval_page import write_report

    return write_report(folder, result, rows, shlex.join(["whet", *sys.argv[1:]]))


def _share(value: dict[str, Any]) -> str:
    low, high = 100 * value["low"], 100 * value["high"]
    return f"{100 * value['mean']:.1f} % right (95 % interval {low:.1f} to {high:.1f}"


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
