"""`whet listen`: an episode in, a page out; and the library of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from whetstone.cli.options import ApiKeyFile, EndpointFile

if TYPE_CHECKING:
    from whetstone.episodes.embedding import Embedder
    from whetstone.episodes.model.writer import Writer
    from whetstone.episodes.store import Store
    from whetstone.episodes.web_search import SearchEndpoint

LIBRARY_HELP = "The file that keeps all episodes ($WHETSTONE_LIBRARY)."
Library = Annotated[Path | None, typer.Option(help=LIBRARY_HELP, show_default="in your data folder")]
With = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="MODEL",
        help="A model that reads: https://HOST/v1, smollm2-135m, a folder.",
        show_default="no model",
    ),
]
ModelName = Annotated[str | None, typer.Option("--model", help="What an endpoint calls the model.", show_default=False)]
Context = Annotated[int | None, typer.Option(min=1024, help="Tokens that the model takes.", show_default=False)]
Embeddings = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Search by meaning with https://HOST/v1/embeddings.", show_default="hashed words"),
]
EmbeddingsName = Annotated[
    str | None, typer.Option("--embeddings-model", help="What that endpoint calls its model.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


class _PageByDefault(typer.core.TyperGroup):
    """`whet listen FILE` is `whet listen page FILE`: a file needs no verb, wherever its options stand."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["page", *args]
        return super().parse_args(ctx, args)


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
    model: With = None,
    name: ModelName = None,
    merge_with: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Another model for merging, prose and checks.", show_default=False),
    ] = None,
    merge_name: Annotated[str | None, typer.Option(help="What an endpoint calls that one.", show_default=False)] = None,
    api_key_file: ApiKeyFile = None,
    endpoint_settings: EndpointFile = None,
    context: Context = None,
    judge: Annotated[bool, typer.Option("--judge/--no-judge", help="Two looks of the model at every line.")] = True,
    evidence: Annotated[
        list[Path] | None,
        typer.Option(help="A text or HTML file to check claims against; repeatable.", show_default=False),
    ] = None,
    evidence_from_library: Annotated[
        bool, typer.Option("--evidence-from-library", help="Also against other people's episodes in the library.")
    ] = False,
    evidence_search: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Also against pages that a search finds: the words of the claims go to this address (SearXNG, or any "
            "that answers JSON; {query} says where the words go).",
            show_default=False,
        ),
    ] = None,
    evidence_search_key_file: Annotated[
        Path | None,
        typer.Option(help="File with the search's key; otherwise $WHETSTONE_SEARCH_KEY.", show_default=False),
    ] = None,
    recogniser: Annotated[
        str, typer.Option(help="base, tiny.en, a Whisper folder, or an endpoint https://HOST/v1.")
    ] = "base",
    recogniser_name: Annotated[
        str | None, typer.Option(help="What an endpoint calls its recogniser.", show_default=False)
    ] = None,
    second: Annotated[
        str | None, typer.Option(help="Another recogniser, which hears every quote again.", show_default=False)
    ] = None,
    speakers: Annotated[
        int | None, typer.Option(min=0, help="Tell so many voices apart; 0 finds out.", show_default=False)
    ] = None,
    language: Annotated[str | None, typer.Option(help="Of the sound, as en.", show_default="found out")] = None,
    embeddings: Embeddings = None,
    embeddings_model: EmbeddingsName = None,
    anew: Annotated[bool, typer.Option("--anew", help="Let the model read, and the search look, again.")] = False,
    library: Library = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a page on standard output.")] = False,
) -> None:
    """Make the page of an episode.

    Example: `whet listen episode.mp3 --out page`

    Example: `whet listen talk.vtt --with https://HOST/v1 --model NAME --out page`

    Example: `whet listen https://example.org/feed.xml --episode 2 --out page`

    Example: `whet listen talk.vtt --with https://HOST/v1 --model NAME --evidence-search http://127.0.0.1:8888/search
    --out page`
    """
    import json

    _require_together(
        {
            "--model": (name, model, "--with"),
            "--context": (context, model, "--with"),
            "--api-key-file": (api_key_file, model, "--with"),
            "--endpoint-settings": (endpoint_settings, model, "--with"),
            "--merge-with": (merge_with, model, "--with"),
            "--merge-name": (merge_name, merge_with, "--merge-with"),
            "--evidence": (evidence, model, "--with (a model finds the claims and reads the evidence)"),
            "--evidence-from-library": (evidence_from_library, model, "--with (a model finds the claims)"),
            "--evidence-search": (evidence_search, model, "--with (a model finds the claims and reads the evidence)"),
            "--evidence-search-key-file": (evidence_search_key_file, evidence_search, "--evidence-search"),
        }
    )
    from whetstone.episodes.heard import HearingSettings
    from whetstone.episodes.listening import Settings
    from whetstone.episodes.several import Wanted, listen
    from whetstone.errors import WorkFailed
    from whetstone.runs.progress import Progress

    opened = [
        _writer(spec, called, api_key_file, endpoint_settings, context)
        for spec, called in ((model, name), (merge_with, merge_name))
        if spec
    ]
    settings = Settings(
        mapper=opened[0] if opened else None,
        reducer=opened[1] if len(opened) > 1 else None,
        judged=judge,
        hearing=HearingSettings(recogniser, recogniser_name, second, speakers, language),
        evidence_from_library=evidence_from_library,
        evidence_search=_search_endpoint(evidence_search, evidence_search_key_file),
        embedder=_embedder(embeddings, embeddings_model),
        anew=anew,
    )
    wanted = Wanted(sources, None if all_of_feed else episode, title or "", evidence or ())
    with Progress() as progress:
        try:
            outcome = listen(wanted, out, settings, progress, library)
        except KeyboardInterrupt:
            progress.message("stopped: the same command goes on from here")
            raise
    for made in outcome.made:
        if as_json:
            print(json.dumps(made.facts(), ensure_ascii=False))
        else:
            _show(made.facts())
    if outcome.failed:
        whole = len(outcome.made) + len(outcome.failed)
        first = outcome.failed[0]
        raise WorkFailed(f"{len(outcome.failed)} of {whole} episodes could not be made, the first: {first}")


def _require_together(options: dict[str, tuple[object, object, str]]) -> None:
    """Raises UsageError for an option that means nothing without another: (its value, the other's, the other)."""
    from whetstone.errors import UsageError

    for option, (value, other, needed) in options.items():
        if value and not other:
            raise UsageError(f"{option} needs {needed}")


def _writer(spec: str, name: str | None, key: Path | None, settings: Path | None, context: int | None) -> Writer:
    from whetstone.engine.backends import Source
    from whetstone.episodes.model.writer import Writer

    remote = spec.startswith(("http://", "https://"))
    return Writer.open(Source(spec, name, key if remote else None, settings if remote else None), context)


def _search_endpoint(address: str | None, key_file: Path | None) -> SearchEndpoint | None:
    """Raises UsageError."""
    if address is None:
        return None
    from whetstone.episodes.web_search import SearchEndpoint, SearchKey

    return SearchEndpoint(address, SearchKey.found(key_file))


def _embedder(address: str | None, name: str | None) -> Embedder | None:
    """Raises UsageError."""
    _require_together({"--embeddings": (address, name, "--embeddings-model"),
                       "--embeddings-model": (name, address, "--embeddings")})  # fmt: skip
    if address is None or name is None:
        return None
    from whetstone.engine.remote.credentials import ApiKey
    from whetstone.engine.remote.endpoint import is_loopback
    from whetstone.episodes.embedding import EndpointEmbedder

    safe = address.startswith("https://") or is_loopback(address)  # a key is not sent in the clear
    return EndpointEmbedder(address, name, ApiKey.from_environment() if safe else None)


def _show(facts: dict[str, Any]) -> None:
    from whetstone.text import printable

    counts = facts["counts"]
    print(printable(f"{facts['page']}: {facts['words']} words ({facts['origin']} transcript), {facts['made_by']}"))
    share = f"{100 * counts['covered'] // counts['segments']} %" if counts["segments"] else "nothing"
    print(
        f"  read {share} ({counts['covered']} of {counts['segments']} segments); quotes: {facts['quotes']} shown, "
        f"{counts['quotes_kept']} of {counts['quotes_proposed']} proposed passed the gate; lines: "
        f"{counts['lines_kept']} of {counts['lines_proposed']} kept; {facts['questions']} questions answered"
    )
    if facts["claims"]:
        print("  claims: " + ", ".join(f"{name} {count}" for name, count in facts["claims"].items()))
    for note in (*facts["notes"], *facts["searched"]):
        print(printable(f"  {note}"))


@app.command()
def serve(
    library: Library = None,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8010,
    model: With = None,
    name: ModelName = None,
    api_key_file: ApiKeyFile = None,
    endpoint_settings: EndpointFile = None,
    context: Context = None,
    embeddings: Embeddings = None,
    embeddings_model: EmbeddingsName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON when ready.")] = False,
) -> None:
    """Show the library in the browser: all episodes, search over all of them, names and dismissals.

    With a model, questions are answered in its words, each line with the seconds that say so.

    Example: `whet listen serve --port 8010`

    Example: `whet listen serve --with http://127.0.0.1:8000/v1 --model smollm2-135m`
    """
    import json

    from whetstone.episodes.library.serve import serve as run
    from whetstone.episodes.several import library_file

    _require_together(
        {
            "--model": (name, model, "--with"),
            "--context": (context, model, "--with"),
            "--api-key-file": (api_key_file, model, "--with"),
            "--endpoint-settings": (endpoint_settings, model, "--with"),
        }
    )

    def ready(url: str) -> None:
        print(json.dumps({"url": url}) if as_json else f"the library is at {url}", flush=True)

    writer = _writer(model, name, api_key_file, endpoint_settings, context) if model else None
    run(library or library_file(), host, port, ready, writer, _embedder(embeddings, embeddings_model))


@app.command()
def search(
    query: Annotated[str, typer.Argument(help='Words, or "a phrase".', show_default=False)],
    library: Library = None,
    count: Annotated[int, typer.Option(min=1, help="Hits.")] = 10,
    show: Annotated[str | None, typer.Option(help="Of this show only.", show_default=False)] = None,
    speaker: Annotated[str | None, typer.Option(help="Said by this person only.", show_default=False)] = None,
    since: Annotated[str | None, typer.Option(help="From this day on, as 2026-03-12.", show_default=False)] = None,
    until: Annotated[str | None, typer.Option(help="Up to this day.", show_default=False)] = None,
    embeddings: Embeddings = None,
    embeddings_model: EmbeddingsName = None,
    as_json: AsJson = False,
) -> None:
    """Search all episodes: the words that stand there, and what means the same.

    Example: `whet listen search "tidal power" --speaker "Ada Lovelace"`
    """
    import json
    from dataclasses import asdict

    from whetstone.episodes.page.clock import clock
    from whetstone.episodes.query import parsed
    from whetstone.episodes.search import Filters, Search
    from whetstone.errors import UsageError
    from whetstone.text import printable

    if not parsed(query).terms:
        raise UsageError("name a word to look for")
    with _library(library) as store:
        shows = [each.id for each in store.shows() if each.title == show]
        if show and not shows:
            raise UsageError(f"no show is called {show!r}: `whet listen list` names them")
        filters = Filters(shows[0] if shows else None, None, speaker or "", since or "", until or "")
        found = Search(store, _embedder(embeddings, embeddings_model))
        found.index()
        hits = found.find(query, filters, limit=count)
    if as_json:
        print(json.dumps([asdict(hit) for hit in hits], indent=2, ensure_ascii=False))
        return
    for hit in hits:
        when = clock(hit.start) if hit.start is not None else "--:--"
        print(printable(f"{hit.title}  {when}  {hit.speaker + ': ' if hit.speaker else ''}{hit.snippet}"))
    if not hits:
        print("nothing was found")


@app.command("list")
def list_(library: Library = None, as_json: AsJson = False) -> None:
    """List the episodes of the library, the newest first, and the documents that are evidence: added, or found.

    Example: `whet listen list`
    """
    import json
    from dataclasses import asdict

    from whetstone.episodes.page.clock import length
    from whetstone.episodes.store import evidence
    from whetstone.text import printable

    with _library(library) as store:
        episodes, documents = store.episodes(), evidence.documents(store)
    if as_json:
        told = [
            {
                "episode": each.id,
                "title": each.about.title,
                "show": each.about.show,
                "published": each.about.published,
                "seconds": each.about.seconds,
                "words": each.words,
                "origin": each.origin,
            }
            for each in episodes
        ]
        evidence_told = [asdict(each) for each in documents]
        print(json.dumps({"episodes": told, "evidence": evidence_told}, indent=2, ensure_ascii=False))
        return
    for each in episodes:
        facts = [
            each.about.published[:10],
            length(each.about.seconds) if each.about.seconds else "",
            f"{each.words:,} words" if each.words else "no transcript yet",
        ]
        told_facts = ", ".join(fact for fact in facts if fact)
        print(printable(f"{each.id:>5}  {each.about.title} · {each.about.show} ({told_facts})"))
    for document in documents:
        facts = [document.source, document.published, document.retrieved and f"found {document.retrieved}"]
        told_facts = ", ".join(fact for fact in facts if fact)
        print(printable(f"evidence {document.id}  {document.title} ({told_facts})"))
    if not episodes and not documents:
        print("the library is empty")


@app.command()
def remove(
    episodes: Annotated[
        list[int] | None, typer.Argument(help="Numbers, as `whet listen list` shows them.", show_default=False)
    ] = None,
    evidence: Annotated[
        list[int] | None, typer.Option(help="The number of a document; repeatable.", show_default=False)
    ] = None,
    library: Library = None,
) -> None:
    """Take episodes out of the library, with all that was made of them. Your own files and pages stay.

    Example: `whet listen remove 3 4 --evidence 1`
    """
    from whetstone.episodes.several import removed
    from whetstone.errors import UsageError
    from whetstone.text import printable

    if not episodes and not evidence:
        raise UsageError("name the number of an episode, or of a document by --evidence: `whet listen list` shows them")
    with _library(library) as store:
        for line in removed(store, episodes or (), evidence or ()):
            print(printable(line))


@app.command()
def rename(
    episode: Annotated[int, typer.Argument(help="Its number, as `whet listen list` shows it.", show_default=False)],
    speaker: Annotated[str, typer.Argument(help="As the transcript calls them: Speaker 1.", show_default=False)],
    name: Annotated[str, typer.Argument(help="What to call them from now on.", show_default=False)],
    everywhere: Annotated[bool, typer.Option("--show", help="In all episodes of the show.")] = False,
    library: Library = None,
) -> None:
    """Name a speaker. The library shows the name at once, a page when it is made again.

    Example: `whet listen rename 3 "Speaker 1" "Ada Lovelace"`
    """
    from whetstone.episodes.library.stored import rename as renamed

    with _library(library) as store:
        count = renamed(store, episode, {speaker: name}, everywhere)
    print(f"named in {count} episode{'s' if count != 1 else ''}")


def _library(path: Path | None) -> Store:
    from whetstone.episodes.several import library_file
    from whetstone.episodes.store import Store
    from whetstone.errors import UsageError

    found = path or library_file()
    if not found.is_file():
        raise UsageError(f"there is no library at {found}: `whet listen FILE --out DIR` makes one")
    return Store(found)
