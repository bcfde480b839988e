"""`whet sharpen`, `whet resume` and `whet report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from whetstone.cli.options import MODEL_HELP, Device, Level, Task

_PASSED = (
    *("model", "task", "level", "minutes", "steps", "seed", "device", "learning_rate", "prompts", "group_size"),
    *("temperature", "objective", "style", "problems", "twin", "keep_twins"),
)
Out = Annotated[Path, typer.Argument(help="The run's directory.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print report.json on standard output.")]


@dataclass(frozen=True)
class Sharpen:
    """Make a model better at a task that a function can check, and prove it.

    Example: `whet sharpen --task addition --minutes 14 --out runs/first`
    """

    out: Annotated[Path, typer.Option("--out", help="Directory for the run; it must be new.", show_default=False)]
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "smollm2-135m"
    task: Task = "addition"
    level: Level = None
    minutes: Annotated[
        float | None, typer.Option(help="Time for everything, evaluation and control included.", show_default="14")
    ] = None
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of --minutes.")] = None
    full: Annotated[bool, typer.Option("--full/--lora", help="Train all weights, or low-rank adapters.")] = True
    seed: Annotated[int, typer.Option(help="All keys and samples follow from it.")] = 0
    device: Device = "cpu"
    learning_rate: Annotated[float | None, typer.Option(help="Peak rate; 2e-5 full, 2e-4 LoRA otherwise.")] = None
    prompts: Annotated[int, typer.Option(help="Problems with signal per step.")] = 16
    group_size: Annotated[int, typer.Option(help="Answers sampled per problem.")] = 8
    temperature: Annotated[float, typer.Option(help="Of the sampled answers, and so of the trained policy.")] = 0.8
    objective: Annotated[str, typer.Option(help="trust_region, ppo_clip or reinforce.")] = "trust_region"
    style: Annotated[str, typer.Option(help="Prompt style: only, plain, answer or steps.")] = "only"
    problems: Annotated[int, typer.Option(help="Fresh problems to measure on, before and after.")] = 500
    twin: Annotated[bool, typer.Option("--twin/--no-twin", help="Also train on random rewards, as the control.")] = True
    control: Annotated[
        list[str] | None, typer.Option(help="A further twin: format or inverted. May be given twice.")
    ] = None
    keep_twins: Annotated[
        bool, typer.Option("--keep-twins", help="Keep the twins' weights, to enter them in a round.")
    ] = False
    resume_if_started: Annotated[
        bool, typer.Option("--resume-if-started", help="Go on with --out if it holds a run.")
    ] = False
    as_json: Json = False

    def run(self) -> None:
        from whetstone.errors import UsageError
        from whetstone.runs.directory import RunState, run_state
        from whetstone.sharpen import pipeline

        if self.minutes is not None and self.steps is not None:
            raise UsageError("give --minutes or --steps, not both")
        state = run_state(self.out)
        if self.resume_if_started and state is RunState.FINISHED and not self.as_json:
            page = self.out / "report.html"
            print(f"{self.out} holds a finished run: open {page}; for another one choose another --out")
        elif self.resume_if_started and state in (RunState.STARTED, RunState.FINISHED):
            typer.echo(f"going on with the run in {self.out}, as its config.toml says", err=True)
            resume(self.out, self.as_json)
        else:
            asked = self._asked()
            _see_through(self.out, self.as_json, lambda progress: pipeline.sharpen(self.out, progress, **asked))

    def _asked(self) -> dict[str, Any]:
        passed = {name: getattr(self, name) for name in _PASSED}
        return passed | {"method": "full" if self.full else "lora", "controls": tuple(self.control or ())}


def resume(out: Out, as_json: Json = False) -> None:
    """Go on with a run that was stopped or killed; the result is the one it would have had.

    Example: `whet resume runs/first`
    """
    from whetstone.sharpen import pipeline

    _see_through(out, as_json, lambda progress: pipeline.resume(out, progress))


def report(out: Out, as_json: Json = False) -> None:
    """Print what a finished run found, and where its page is.

    Example: `whet report runs/first`
    """
    import json

    from whetstone.errors import UsageError
    from whetstone.runs.directory import RunDirectory, RunState

    directory = RunDirectory.open(out, writing=False)
    if directory.state is not RunState.FINISHED:
        raise UsageError(f"the run in {out} has no report yet: `whet resume {out}` finishes it")
    _show(json.loads(directory.report_json.read_text(encoding="utf-8")), directory.report_html, as_json)


def _see_through(out: Path, as_json: bool, work: Any) -> None:
    from whetstone.errors import WorkFailed
    from whetstone.runs.directory import RunState, run_state
    from whetstone.runs.progress import Progress
    from whetstone.sharpen.pipeline import Stopped

    try:
        with Progress() as progress:
            finished = work(progress)
    except (Stopped, KeyboardInterrupt):
        begun = run_state(out) is not RunState.ABSENT
        how = f"`whet resume {out}` goes on from what was saved" if begun else "nothing had begun yet"
        typer.echo(f"stopped; {how}", err=True)
        raise typer.Exit(130) from None
    except WorkFailed as failure:
        raise WorkFailed(f"{failure} (the run so far is in {out})") from failure
    _show(finished, out / "report.html", as_json)


def _show(finished: dict[str, Any], page: Path, as_json: bool) -> None:
    import json

    if as_json:
        print(json.dumps(finished, indent=2, ensure_ascii=False))
        return
    from whetstone.text import printable

    print(printable("\n".join(finished["verdict"])))
    print(printable(f"\nThe whole report: {page}"))
