"""`whet audit`: was it seen before? In a corpus, by its texts; in a model, by signs that are tried on siblings
first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from whetstone.cli.options import Device, Level, Model

audit = typer.Typer(
    name="audit",
    help="Look for items of a benchmark in a corpus or in a model, each sign beside its own positive control.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
Seed = Annotated[int, typer.Option(help="The items are those that `whet eval --seed` asks.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
SHOWN = 10


@audit.command()
def corpus(
    files: Annotated[list[Path], typer.Argument(help="JSON lines, text or parquet.", show_default=False)],
    task: Annotated[str | None, typer.Option(help="Look for this task's problems.", show_default=False)] = None,
    items: Annotated[
        Path | None, typer.Option(help="Look for the items of this file (jsonl, txt, parquet).", show_default=False)
    ] = None,
    level: Level = None,
    n: Annotated[int, typer.Option("--n", min=1, help="How many problems of the task.")] = 500,
    seed: Seed = 0,
    near: Annotated[bool, typer.Option("--near/--no-near", help="Look for near-duplicates as well.")] = True,
    as_json: Json = False,
) -> None:
    """Print which items stand in a corpus, with the matched text, its file and line.

    Example: `whet audit corpus train.jsonl --items benchmark.jsonl`
    """
    import json

    from whetstone.evals.contamination.corpus_audit import audit_corpus
    from whetstone.runs.progress import Progress
    from whetstone.text import printable

    with Progress() as progress:
        found = audit_corpus(files, progress, task=task, items=items, level=level, n=n, seed=seed, near=near)
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else printable("\n".join(_corpus_lines(found))))


def _corpus_lines(found: dict[str, Any]) -> list[str]:
    names = {"words": "a run of 13 words", "characters": "a run of 50 characters", "near": "a near-duplicate"}
    lines = [f"{found['items']} items of {found['source']} in {found['documents']} documents:"]
    for kind, share in found["held"].items():
        lines.append(f"  {names[kind]}: {round(share['mean'] * share['n'])} items ({100 * share['mean']:.2f} %)")
    for match in found["matches"][:SHOWN]:
        lines.append(
            f"  {match['place']}  {100 * match['coverage']:.0f} % of item {match['item']} by {match['kind']}: "
            f'"{match["text"]}"'
        )
    for match in found["near"][:SHOWN]:
        lines.append(f'  {match["place"]}  {match["similarity"]:.2f} like item {match["item"]}: "{match["text"]}"')
    left = len(found["matches"]) + len(found["near"])
    left -= min(SHOWN, len(found["matches"])) + min(SHOWN, len(found["near"]))
    if left:
        lines.append(f"  and {left} more (--json prints all)")
    lines.append("planted in this corpus and found again (95 % interval):")
    for wording, methods in found["recall"].items():
        shares = (f"{method} {100 * s['low']:.0f} to {100 * s['high']:.0f} %" for method, s in methods.items())
        lines.append(f"  {wording}: {', '.join(shares)}")
    if found["too_short"]:
        lines.append(f"  {found['too_short']} items are shorter than four words and were not looked for by words")
    return lines + found["notes"]


@audit.command()
def model(
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="Directory for the scores and the report.", show_default=False)],
    task: Annotated[str, typer.Option(help="A built-in task, or your own as file.py:Class.")] = "reversal",
    level: Level = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Items, against twice as many fresh twins.")] = 60,
    seed: Seed = 0,
    effort: Annotated[str, typer.Option(help="Of the positive control: quick or full.")] = "quick",
    planted: Annotated[
        bool, typer.Option("--canaries", help="The items were published with the canaries of their key.")
    ] = False,
    reference: Annotated[
        list[str] | None, typer.Option(help="A model taken for clean, for the twin gap; may be repeated.")
    ] = None,
    style: Annotated[str, typer.Option(help="Prompt style.")] = "only",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Look for signs that a model was trained on a task's items, each tried first on siblings that were.

    Call it again with the same --out to go on after it was stopped.

    Example: `whet audit model smollm2-135m --task reversal --out audits/first`
    """
    import json

    from whetstone.evals.contamination.model_audit import audit_model
    from whetstone.evals.contamination.summary import lines
    from whetstone.runs.progress import Progress
    from whetstone.text import printable

    options = {"n": n, "seed": str(seed), "effort": effort, "planted": planted, "style": style, "device": device}
    try:
        with Progress() as progress:
            found = audit_model(model, task, out, progress, level, references=tuple(reference or ()), **options)
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command goes on from what is in {out}", err=True)
        raise typer.Exit(130) from None
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else printable("\n".join(lines(found, out))))


@audit.command()
def judge(
    task: Annotated[str, typer.Option(help="A built-in task, or your own as file.py:Class.", show_default=False)],
    level: Level = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Fresh problems to attack.")] = 5,
    as_json: Json = False,
) -> None:
    """Try a thousand hostile answers to each of a few problems. Exit code 1 if the judge is fooled, hangs or fails.

    Example: `whet audit judge --task mytask.py:Mine`
    """
    import json

    from whetstone.evals.judge_audit import audit_judge
    from whetstone.runs.progress import Progress
    from whetstone.text import printable

    with Progress() as progress, progress.stage("problems", n) as stage:
        found = audit_judge(task, level, n, lambda done, _wanted: stage.advance(done - stage.done))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print(printable("\n".join(_judge_lines(found))))
    if found["found"]:
        raise typer.Exit(1)


def _judge_lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{found['task']} level {found['level']}: {found['answers']} hostile answers to {found['problems']} problems "
        f"in {found['seconds']:.1f} s"
    ]
    if not found["knows_answer"]:
        lines.append("the task has no `answer`: answers made from a right one could not be tried")
    for group in found["findings"]:
        lines.append(
            f"  {group['count']} {group['trouble']} ({group['kind']}), such as {group['examples'][0]['text']!r}"
        )
    return [*lines, f"{found['found']} found" if found["found"] else "none was judged right, hung or failed"]
