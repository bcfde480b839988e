"""`whet listen`: an episode in, a page out; and the library of all of them."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

from whetstone.cli.listen import library, page
from whetstone.cli.verb import command

HELP = """A podcast in, a page out, and every quote on it was really said.

`whet listen SOURCE --out DIR` makes the page; `whet listen page --help` names its options. The other verbs are for the
library of all episodes.

Example: `whet listen episode.mp3 --out page`

Example: `whet listen talk.vtt --with https://HOST/v1 --model NAME --out page`
"""


class _PageByDefault(typer.core.TyperGroup):
    """`whet listen FILE` is `whet listen page FILE`: a file needs no verb, wherever its options stand."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["page", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="listen",
    cls=_PageByDefault,
    help=HELP,
    subcommand_metavar="SOURCE --out DIR | COMMAND [ARGS]...",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.command("page")(command(page.Page))
app.command()(library.serve)
app.command()(library.search)
app.command("list")(library.list_)
app.command()(library.remove)
app.command()(library.rename)
