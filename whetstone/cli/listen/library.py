"""What one asks of the library: show it, search it, list it, put names right, take something out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whetstone.cli.listen.options import (
    AsJson,
    Context,
    Embeddings,
    EmbeddingsName,
    Library,
    ModelName,
    With,
    embedder,
    reader,
)
from whetstone.cli.options import ApiKeyFile, EndpointFile

if TYPE_CHECKING:
    from whetstone.episodes.store import Store


def _day(day: str | None) -> str | None:
    from datetime import date

    from whetstone.errors import UsageError

    try:
        return day and date.fromisoformat(day).isoformat()
    except ValueError:
        raise UsageError(f"a day is written as 2026-03-12, not {day!r}") from None


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
    """Show the library in the browser: all episodes, search, questions, names of speakers, dismissals.

    With a model, questions are answered in its words, each line with the seconds that say so.

    Example: `whet listen serve --port 8010`

    Example: `whet listen serve --with http://127.0.0.1:8000/v1 --model smollm2-135m`
    """
    import json

    from whetstone.episodes.library.serve import serve as run
    from whetstone.episodes.several import library_file

    def ready(url: str) -> None:
        print(json.dumps({"url": url}) if as_json else f"the library is at {url}", flush=True)

    reads = reader(model, name, api_key_file, endpoint_settings, context)
    run(library or library_file(), host, port, ready, reads, embedder(embeddings, embeddings_model))


def search(
    query: Annotated[str, typer.Argument(help='Words, or "a phrase".', show_default=False)],
    library: Library = None,
    count: Annotated[int, typer.Option(min=1, help="Hits.")] = 10,
    show: Annotated[str | None, typer.Option(help="Of this show only.", show_default=False)] = None,
    speaker: Annotated[str | None, typer.Option(help="Said by this person only.", show_default=False)] = None,
    since: Annotated[
        str | None, typer.Option(help="From this day on, as 2026-03-12.", callback=_day, show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to this day.", callback=_day, show_default=False)] = None,
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
        found = Search(store, embedder(embeddings, embeddings_model))
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


def list_(library: Library = None, as_json: AsJson = False) -> None:
    """List the episodes of the library, the newest first, and the documents that are evidence.

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
        called = " · ".join(part for part in (each.about.title, each.about.show) if part)
        print(printable(f"{each.id:>5}  {called} ({told_facts})"))
    for document in documents:
        facts = [document.source, document.published, document.retrieved and f"found {document.retrieved}"]
        told_facts = ", ".join(fact for fact in facts if fact)
        print(printable(f"evidence {document.id}  {document.title} ({told_facts})"))
    if not episodes and not documents:
        print("the library is empty")


def remove(
    episodes: Annotated[
        list[int] | None, typer.Argument(help="Numbers, as `whet listen list` shows them.", show_default=False)
    ] = None,
    evidence: Annotated[
        list[int] | None, typer.Option(help="The number of a document; repeatable.", show_default=False)
    ] = None,
    library: Library = None,
) -> None:
    """Take episodes and evidence out of the library, with all that was made of them. Your own files and pages stay.

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
