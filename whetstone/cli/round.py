"""`whet round`: a sealed evaluation. Commit first, answer, reveal, anyone can verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from whetstone.cli.options import ApiKeyFile, EndpointFile, Level, Task

app = typer.Typer(
    name="round",
    help="Sealed evaluations: commit first, answer, reveal; anyone can verify.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The round's folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@app.command()
def new(
    folder: Folder,
    task: Task = "addition",
    level: Level = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Problems in each stratum.")] = 200,
    strata: Annotated[str, typer.Option(help="Any of A, B, C, D and E (docs/rounds.md says what they are).")] = "ABCDE",
    sealed: Annotated[
        list[str] | None, typer.Option(help="A task for stratum C whose source stays hidden: FILE.py:CLASS.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers per problem; several give pass@k and pass^k.")] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(min=0.0, max=100.0, help="0 is greedy.", show_default="0 for one answer, 1 for several"),
    ] = None,
    style: Annotated[str, typer.Option(help="Prompt style.")] = "only",
    pairs: Annotated[str, typer.Option(help='Who is compared: "first" (each with the first) or "all".')] = "first",
    title: Annotated[str, typer.Option(help="What the report calls it.", show_default=False)] = "",
) -> None:
    """Begin a round in a new folder, and commit to a secret.

    Example: `whet round new rounds/one --task addition --n 200`
    """
    from whetstone.evals.rounds.creating import new_round

    begun = new_round(
        folder,
        task,
        level=level,
        n=n,
        strata=strata,
        sealed=sealed or [],
        samples=samples,
        temperature=temperature,
        style=style,
        pairs=pairs,
        title=title,
    )
    for part in begun.manifest.parts:
        print(f"stratum {part.stratum}: {part.n} problems of {part.title()}")
    _published(begun.head, f"next: whet round enter {folder} --model MODEL")


@app.command()
def enter(
    folder: Folder,
    model: Annotated[str, typer.Option("--model", help="Weights as everywhere, or an endpoint.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="What the report calls it.", show_default="from the model")] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(help="TASK:LEVELS it was trained on, or none.", show_default="what its run's folder says"),
    ] = None,
    control: Annotated[str, typer.Option(help="What it is a control for, in words.", show_default=False)] = "",
    served: Annotated[str | None, typer.Option(help="What an endpoint calls it.", show_default=False)] = None,
) -> None:
    """Commit a model to the round, before its problems exist.

    Example: `whet round enter rounds/one --model runs/first/checkpoint --name sharpened`
    """
    from whetstone.evals.rounds.entrants import parse_declared
    from whetstone.evals.rounds.round import Round

    entered = Round(folder)
    entrant = entered.enter(model, name, declared=parse_declared(trained_on or []), control=control, served=served)
    print(f"{entrant.name} entered with the weights {entrant.weights or '(hosted: nothing can be proven)'}")
    trained = entrant.trained_on
    told = (
        "not declared"
        if trained is None
        else ", ".join(f"{task} {levels}" for task, levels in trained.items()) or "nothing"
    )
    print(f"trained on: {told}; {entrant.looks} earlier looks at these tasks")
    _published(entered.head, f"next: enter others, then whet round run {folder}")


@app.command()
def run(
    folder: Folder,
    beacon: Annotated[
        str, typer.Option(help="A public value that nobody knew when the entries closed.", show_default=False)
    ] = "",
    only: Annotated[list[str] | None, typer.Option(help="Let only this entrant answer.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="With --only: where its weights are now.", show_default=False)
    ] = None,
    api_key_file: ApiKeyFile = None,
    endpoint_settings: EndpointFile = None,
) -> None:
    """Draw the problems (which closes the entries) and let the entrants answer; goes on where it was stopped.

    Example: `whet round run rounds/one`
    """
    from whetstone.errors import UsageError
    from whetstone.evals.rounds.round import Round
    from whetstone.runs.progress import Progress

    going = Round(folder)
    if model and len(only or []) != 1:
        raise UsageError("--model says where one entrant's weights are: name it by --only")
    if going.state == "open":
        print(f"drew {len(going.draw(beacon))} problems")
    with Progress() as progress:
        for name in only or going.unanswered():
            going.answer(name, progress, model=model, api_key_file=api_key_file, settings=endpoint_settings)
    left = going.unanswered()
    _published(
        going.head,
        f"next: {', '.join(left)} must answer" if left else f"next: whet round reveal {folder}",
    )


@app.command()
def reveal(
    folder: Folder,
    without: Annotated[list[str] | None, typer.Option(help="An entrant that gave no answers in time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Open the secret, judge all answers, write report.html and report.json.

    Example: `whet round reveal rounds/one`
    """
    from whetstone.evals.rounds.round import Round
    from whetstone.runs.progress import Progress

    opened = Round(folder)
    with Progress() as progress:
        told = opened.reveal(progress, without or [])
    _show(told, as_json, folder)
    if not as_json:
        _published(opened.head, f"anyone can check it: whet round verify {folder}")


@app.command()
def report(folder: Folder, as_json: AsJson = False) -> None:
    """The report of a revealed round, made anew from its files.

    Example: `whet round report rounds/one --json`
    """
    from whetstone.evals.rounds.round import Round
    from whetstone.runs.progress import Progress

    with Progress() as progress:
        told = Round(folder).report(progress)
    _show(told, as_json, folder)


@app.command()
def verify(
    folder: Folder,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="NAME=WHERE an entrant's weights are now.", show_default=False)
    ] = None,
    rerun: Annotated[int, typer.Option(min=0, help="Ask so many problems again and compare the answers.")] = 0,
    published: Annotated[
        list[str] | None, typer.Option(help="A hash that was published: the log must hold it.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make everything anew from the manifest and the secret and compare. Exit code 1 if one byte differs.

    Example: `whet round verify rounds/one --rerun 20`
    """
    import json

    from whetstone.errors import UsageError
    from whetstone.evals.rounds.verifying import verify as check
    from whetstone.runs.progress import Progress
    from whetstone.text import printable

    models: dict[str, str] = {}
    for each in model or []:
        name, equals, where = each.partition("=")
        if not equals or not where:
            raise UsageError(f"cannot read --model {each!r}: write NAME=FOLDER")
        models[name] = where
    if not folder.is_dir():
        raise UsageError(f"there is no round in {folder}: begin one with `whet round new {folder}`")
    with Progress() as progress:
        found = check(folder, models=models, rerun=rerun, published=published or [], progress=progress)
    if as_json:
        print(json.dumps({"holds": found.holds, **vars(found)}, indent=2, ensure_ascii=False))
    else:
        for mark, texts in (("ok", found.passed), ("not checked", found.open), ("FAILED", found.failed)):
            for text in texts:
                print(printable(f"{mark}: {text}"))
        print(f"the round in {folder} {'holds' if found.holds else 'does NOT hold'}")
    if not found.holds:
        raise typer.Exit(1)


@app.command()
def appeal(folder: Folder, place: Annotated[int, typer.Argument(metavar="PROBLEM", help="Its number.")]) -> None:
    """Show one problem with all answers to it, in an order and under letters that tell nobody's name.

    Example: `whet round appeal rounds/one 17`
    """
    from whetstone.evals.rounds.appeals import blind
    from whetstone.evals.rounds.round import Round
    from whetstone.text import printable

    print(printable("\n".join(blind(Round(folder), place))))


@app.command()
def decide(
    folder: Folder,
    place: Annotated[int, typer.Argument(metavar="PROBLEM", help="Its number.")],
    action: Annotated[str, typer.Argument(help="keep, drop, accept or reject.")],
    reason: Annotated[str, typer.Option(help="Stands in the log for good.")],
    text: Annotated[str, typer.Option(help="The answer that accept or reject is about.", show_default=False)] = "",
) -> None:
    """Decide an appeal: for all entrants alike, with a reason, in the log. Then `whet round report DIR`.

    Example: `whet round decide rounds/one 17 drop --reason "the question has two answers"`
    """
    from whetstone.evals.rounds.round import Round
    from whetstone.runs.progress import Progress

    decided = Round(folder)
    decided.decide(place, action, reason, text)
    with Progress() as progress:
        _show(decided.report(progress), False, folder)


@app.command()
def void(folder: Folder, reason: Annotated[str, typer.Option(help="Stands in the log for good.")]) -> None:
    """End a round without a result. It is counted: rounds that were dropped are told by every later report.

    Example: `whet round void rounds/one --reason "the secret was lost"`
    """
    from whetstone.evals.rounds.round import Round

    Round(folder).void(reason)
    print(f"the round in {folder} is void")


@app.command()
def board(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Revealed rounds.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("board.html"),
    as_json: AsJson = False,
) -> None:
    """A leaderboard over revealed rounds, with intervals of the ranks.

    Example: `whet round board rounds/one rounds/two --out board.html`
    """
    import json

    from whetstone.evals.rounds.board import leaderboard

    told = leaderboard(folders, out)
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        print(f"wrote {out}")


def _published(head: str, following: str) -> None:
    print(f"publish this, and nothing before it can be changed unnoticed: {head}")
    print(following)


def _show(told: dict[str, Any], as_json: bool, folder: Path) -> None:
    import json

    from whetstone.evals.rounds.words import table
    from whetstone.text import printable

    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for line in table(told):
        print(printable(line))
    print(f"report: {folder / 'report.html'}")
