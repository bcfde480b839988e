"""Verbs whose options are data: what typer makes of them, and that no option is asked for in vain."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, fields
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from whetstone.cli.evaluate import Evaluate
from whetstone.cli.generate import Generate
from whetstone.cli.route import Route
from whetstone.cli.scale import Scale
from whetstone.cli.serve import Serve
from whetstone.cli.sharpen import Sharpen
from whetstone.cli.verb import Verb, command


@dataclass(frozen=True)
class Echo:
    """Say it.

    Example: `echo hello`
    """

    word: Annotated[str, typer.Argument(help="What to say.")]
    times: Annotated[int, typer.Option(min=1, help="How often.")] = 2
    loud: Annotated[bool, typer.Option("--loud", help="In capitals.")] = False

    def run(self) -> None:
        print(" ".join([self.word.upper() if self.loud else self.word] * self.times))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["hey"], 0, "hey hey\n"),
        (["hey", "--times", "1", "--loud"], 0, "HEY\n"),
        ([], 2, "Missing argument"),
        (["hey", "--times", "0"], 2, "Invalid value for '--times'"),
        (["--help"], 0, "Example: echo hello"),
    ],
)
def test_fields_are_options(arguments: list[str], code: int, said: str) -> None:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(command(Echo))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code and said in result.output.replace("`", "")


@pytest.mark.parametrize("verb", [Evaluate, Generate, Route, Scale, Serve, Sharpen])
def test_no_option_is_forgotten(verb: type[Verb]) -> None:
    """Each is read by name, or is in the list of those that are handed on."""
    source = inspect.getsource(sys.modules[verb.__module__])
    for field in fields(verb):
        assert f"self.{field.name}" in source or f'"{field.name}"' in source, field.name
    assert "Example: `whet " in (verb.__doc__ or "")
