"""The command `whet`: one file per verb, no logic. Heavy imports happen inside the verbs: help is instant."""

import errno
import os
import sys
from collections.abc import Sequence

import typer

from whetstone.cli import (
    audit,
    bench,
    chat,
    doctor,
    evaluate,
    generate,
    listen,
    round,
    route,
    scale,
    serve,
    sharpen,
)
from whetstone.cli.verb import command
from whetstone.errors import UsageError, WorkFailed
from whetstone.text import printable

app = typer.Typer(
    name="whet",
    help="Sharpen small language models on hardware you own, and know the gain is real.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.command()(doctor.doctor)
app.command("sharpen")(command(sharpen.Sharpen))
app.command()(sharpen.resume)
app.command()(sharpen.report)
app.command("eval")(command(evaluate.Evaluate))
app.command("scale")(command(scale.Scale))
app.add_typer(round.app)
app.add_typer(audit.audit)
app.command("generate")(command(generate.Generate))
app.command("route")(command(route.Route))
app.command("serve")(command(serve.Serve))
app.command()(chat.chat)
app.add_typer(listen.app)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(bench.bench)


@app.callback()
def _verbs() -> None:
    # A callback keeps `whet` a group of verbs, however few there are.
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `whet` and leave the process with its exit code (DESIGN law 9).

    0 ok; 1 the work failed; 2 bad usage; 130 interrupted. Failures are one line on stderr. With
    WHETSTONE_TRACEBACK=1 the exception is raised with its stack trace instead.
    """
    try:
        typer.main.get_command(app)(args=None if arguments is None else list(arguments), prog_name="whet")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("WHETSTONE_TRACEBACK") == "1":
            raise
        print(f"whet: {one_line(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def one_line(error: Exception) -> str:
    """What to tell the user about an exception, on one line."""
    if isinstance(error, UsageError | WorkFailed):
        text = str(error)
    elif isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        text = "the disk is full: free some space, then go on with `whet resume DIR`"
    else:
        text = (
            f"unexpected {type(error).__name__}: {error} "
            "(this is a defect of whetstone; WHETSTONE_TRACEBACK=1 shows where)"
        )
    return printable(" ".join(text.split()))
