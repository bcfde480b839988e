"""`whet listen`: an episode in, a page out; and the library of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from whetstone.cli.options import ApiKeyFile, EndpointFile

LIBRARY_HELP = "The file that keeps all episodes ($WHETSTONE_LIBRARY)."
Library = Annotated[Path | None, typer.Option(help=LIBRARY_HELP, show_default="in your data folder")]


class _PageByDefault(typer.core.TyperGroup):
    """`whet listen FILE` is `whet listen page FILE`: a file needs no verb."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = ["page", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="listen",
    cls=_PageByDefault,
    help="A podcast in, a page out, and every quote on it was really said: `whet listen FILE --out DIR`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command()
def page(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Sound (mp3, m4a, wav, ogg, flac), a transcript (VTT, SRT, JSON, HTML, text), a folder, or a feed.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder for the page; for several episodes one in it for each.")],
    episode: Annotated[int, typer.Option(min=1, help="Which of a feed's episodes, 1 the newest.")] = 1,
    all_of_feed: Annotated[bool, typer.Option("--all", help="All of a feed's episodes.")] = False,
    title: Annotated[str | None, typer.Option(help="What a single file is called.", show_default="its name")] = None,
    model: Annotated[
        str | None,
        typer.Option("--with", metavar="MODEL", help="A model that reads: https://HOST/v1, smollm2-135m, a folder."),
    ] = None,
    name: Annotated[str | None, typer.Option("--model", help="What an endpoint calls the model.")] = None,
    merge_with: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Another model for merging, prose and checks.")
    ] = None,
    merge_name: Annotated[str | None, typer.Option(help="What an endpoint calls that one.")] = None,
    api_key_file: ApiKeyFile = None,
    endpoint_settings: EndpointFile = None,
    context: Annotated[int | None, typer.Option(min=1024, help="Tokens that the model takes.")] = None,
    judge: Annotated[bool, typer.Option("--judge/--no-judge", help="Two looks of the model at every line.")] = True,
    evidence: Annotated[
        list[Path] | None, typer.Option(help="A text or HTML file to check claims against; repeatable.")
    ] = None,
    recogniser: Annotated[
        str, typer.Option(help="base, tiny.en, a Whisper folder, or an endpoint https://HOST/v1.")
    ] = "base",
    recogniser_name: Annotated[str | None, typer.Option(help="What an endpoint calls its recogniser.")] = None,
    second: Annotated[
        str | None, typer.Option(help="Another recogniser, which hears every quote again.", show_default=False)
    ] = None,
    speakers: Annotated[
        int | None, typer.Option(min=0, help="Tell so many voices apart; 0 finds out.", show_default=False)
    ] = None,
    language: Annotated[str | None, typer.Option(help="Of the sound, as en.", show_default="found out")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Let the model read again, though it did before.")] = False,
    library: Library = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Make the page of an episode.

    Example: `whet listen episode.mp3 --out page`

    Example: `whet listen talk.vtt --with https://HOST/v1 --model NAME --out page`

    Example: `whet listen https://example.org/feed.xml --episode 2 --out page`
    """
    import json

    from whetstone.engine.backends import Source
    from whetstone.episodes.listening import Settings
    from whetstone.episodes.model.writer import Writer
    from whetstone.episodes.several import listen
    from whetstone.errors import UsageError
    from whetstone.runs.progress import Progress

    if merge_with and not model:
        raise UsageError("--merge-with is a second model: name the first by --with")
    opened: list[Writer] = []
    for spec, called in ((model, name), (merge_with, merge_name)):
        if spec:
            remote = spec.startswith(("http://", "https://"))
            source = Source(spec, called, api_key_file if remote else None, endpoint_settings if remote else None)
            opened.append(Writer.open(source, context))
    settings = Settings(
        mapper=opened[0] if opened else None,
        reducer=opened[1] if len(opened) > 1 else None,
        judged=judge,
        recogniser=recogniser,
        recogniser_name=recogniser_name,
        second=second,
        speakers=speakers,
        language=language,
        anew=anew,
    )
    with Progress() as progress:
        made = listen(
            sources, out, settings, progress, library=library, episode=episode, every=all_of_feed, title=title or "",
            evidence=evidence or [],
        )  # fmt: skip
    facts = [each.facts() for each in made]
    if as_json:
        print(json.dumps(facts[0] if len(facts) == 1 else facts, indent=2, ensure_ascii=False))
        return
    for each in facts:
        _show(each)


def _show(facts: dict[str, Any]) -> None:
    from whetstone.text import printable

    counts = facts["counts"]
    print(printable(f"{facts['page']}: {facts['words']} words ({facts['origin']} transcript), {facts['made_by']}"))
    print(
        f"  quotes: {facts['quotes']} shown; {counts['quotes_proposed']} proposed, {counts['quotes_kept']} passed the "
        f"gate; lines: {counts['lines_kept']} of {counts['lines_proposed']} kept; read {counts['covered']} of "
        f"{counts['segments']} segments; {facts['questions']} questions answered"
    )
    if facts["claims"]:
        print("  claims: " + ", ".join(f"{name} {count}" for name, count in facts["claims"].items()))


@app.command()
def serve(
    library: Library = None,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8010,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON when ready.")] = False,
) -> None:
    """Show the library in the browser: all episodes, search over all of them, names and dismissals.

    Example: `whet listen serve --port 8010`
    """
    import json

    from whetstone.episodes.library.serve import serve as run
    from whetstone.episodes.several import library_file

    def ready(url: str) -> None:
        print(json.dumps({"url": url}) if as_json else f"the library is at {url}", flush=True)

    run(library or library_file(), host, port, ready)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help='Words, or "a phrase".', show_default=False)],
    library: Library = None,
    count: Annotated[int, typer.Option(min=1, help="Hits.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Search all episodes.

    Example: `whet listen search "tidal power"`
    """
    import json
    from dataclasses import asdict

    from whetstone.episodes.page.clock import clock
    from whetstone.episodes.search import Search
    from whetstone.episodes.several import library_file
    from whetstone.episodes.store import Store
    from whetstone.errors import UsageError
    from whetstone.text import printable

    path = library or library_file()
    if not path.is_file():
        raise UsageError(f"there is no library at {path}: `whet listen FILE --out DIR` makes one")
    with Store(path) as store:
        hits = Search(store).find(query, limit=count)
    if as_json:
        print(json.dumps([asdict(hit) for hit in hits], indent=2, ensure_ascii=False))
        return
    for hit in hits:
        when = clock(hit.start) if hit.start is not None else "--:--"
        print(printable(f"{hit.title}  {when}  {hit.speaker + ': ' if hit.speaker else ''}{hit.snippet}"))
    if not hits:
        print("nothing was found")
