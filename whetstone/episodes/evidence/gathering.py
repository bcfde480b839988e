"""Pages that a search of the user's finds for claims: fetched once, kept as text with address and day; the episode's
own are left out.

A verdict must rest on words that stand in a page, so a search's excerpts are not used: they are cut and joined by a
program. What was found for a claim is a stage of the episode; the same claim is not searched twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from whetstone.episodes.evidence import webpage
from whetstone.episodes.evidence.own_words import OwnWords
from whetstone.episodes.evidence.searching import Result, SearchEndpoint, Unavailable, query_of
from whetstone.episodes.fetching import fetch, is_private
from whetstone.episodes.formats.decoding import decoded
from whetstone.episodes.normal import tokens
from whetstone.episodes.page.clock import day
from whetstone.episodes.store import Episode, Store, evidence, stages
from whetstone.errors import UsageError, WorkFailed

PAGES = 4  # read for a claim
TRIED = 8  # addresses for that
MOST_SEARCHED = 40  # claims of an episode, evenly over the conversation
IN_A_ROW = 3  # queries that fail, and no more are asked
LARGEST = 4 << 20  # bytes of a page
LONGEST = 200_000  # characters of its words that are kept
SECONDS = 20.0  # in which it has to come
# a page with more of the episode's words than this is about the episode, its other parts too
ABOUT_IT = 0.2
_TEXTS = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown", "")

Told = Callable[[int, int], None]  # done, wanted


@dataclass(frozen=True)
class Gathered:
    """The documents that were found for each claim, by its text, and what a reader should know of the search."""

    documents: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()


@dataclass
class Gatherer:
    """Searches for the claims of one episode. `anew`: also for those that were searched before."""

    store: Store
    endpoint: SearchEndpoint
    episode: Episode
    own: OwnWords
    anew: bool = False
    _read: dict[str, int | str] = field(default_factory=dict)  # address -> document, or why there is none
    _failed: int = 0  # queries in a row
    problem: str = ""
    _over: bool = False
    _inside: str | bool = False  # the one host in a private network of which pages may be read

    def __post_init__(self) -> None:
        self._inside = self.endpoint.host if is_private(self.endpoint.address_for("x")) else False

    def gather(self, claims: Mapping[str, str], told: Told) -> Gathered:
        """What is found for claims (id -> text), of many for some. Never fails because of the web."""
        chosen = _spread(list(claims.items()), MOST_SEARCHED)
        found: dict[str, tuple[int, ...]] = {}
        days: set[str] = set()
        missed = 0
        told(0, len(chosen))
        for done, (name, text) in enumerate(chosen, 1):
            kept = self._found(name, text)
            missed += kept is None
            if kept is not None:
                found[text] = tuple(kept["documents"])
                days.add(kept["day"])
            told(done, len(chosen))
        return Gathered(found, self._notes(len(chosen) - missed, missed, len(claims) - len(chosen), found, days))

    def _found(self, name: str, text: str) -> dict[str, Any] | None:
        """What was found for a claim, now or before; None where nothing could be asked."""
        stage, inputs = f"found/{name}", {"endpoint": self.endpoint.address, "query": query_of(text)}
        before: dict[str, Any] | None = stages.recorded(self.store, self.episode.id, stage, inputs)
        if (before is not None and not self.anew) or self._over:
            return before
        try:
            results = self.endpoint.search(inputs["query"]) if inputs["query"] else []
        except Unavailable as failure:
            self.problem = str(failure)
            self._failed += 1
            self._over = failure.final or self._failed >= IN_A_ROW
            return before
        self._failed = 0
        today = datetime.now(UTC).date().isoformat()
        documents: list[int] = []
        left_out: list[str] = []
        for result in results[:TRIED]:
            if len(documents) == PAGES:
                break
            kept = self._page(result, today)
            if isinstance(kept, str):
                left_out.append(f"{result.address}: {kept}")
            elif kept not in documents:
                documents.append(kept)
        output = {"day": today, "documents": documents, "left_out": left_out}
        stages.record(self.store, self.episode.id, stage, inputs, output)
        return output

    def _page(self, result: Result, today: str) -> int | str:
        """The number of the page's document, or why there is none."""
        if result.address not in self._read:
            try:
                page = self._fetched(result)
            except (UsageError, WorkFailed) as failure:
                self._read[result.address] = str(failure)
            else:
                self._read[result.address] = evidence.add(
                    self.store, page.title, page.text, page.address, page.published, retrieved=today
                )
        return self._read[result.address]

    def _fetched(self, result: Result) -> webpage.WebPage:
        """The page with the address that it came from. Raises UsageError or WorkFailed for one that is no evidence."""
        found = fetch(result.address, may_be_private=self._inside, largest=LARGEST, seconds=SECONDS)
        if found.media_type not in _TEXTS:
            raise UsageError(f"no text but {found.media_type[:60]}")
        if any(_place(found.address) == place for place in self._own_places()):
            raise UsageError("the episode's own site")
        text, _ = decoded(found.content, "the page", LARGEST)
        page = webpage.read(text, "the page") if webpage.is_page(text) else webpage.WebPage(text)
        words = page.text[:LONGEST]
        if not tokens(words):
            raise UsageError("it holds no words")
        if self.own.share(words) >= ABOUT_IT:
            raise UsageError("it has the episode's own words")
        title = page.title or result.title or Path(urlsplit(found.address).path).name
        return webpage.WebPage(words, title, found.address, page.published)

    def _own_places(self) -> set[str]:
        """Where the episode's publisher is: the same people's word elsewhere is no evidence."""
        show = next((show for show in self.store.shows() if show.id == self.episode.show), None)
        links = [self.episode.about.link, *((show.link, show.feed) if show else ())]
        return {place for link in links if (place := _place(link))}

    def _notes(
        self, searched: int, missed: int, skipped: int, found: Mapping[str, Sequence[int]], days: set[str]
    ) -> tuple[str, ...]:
        notes = []
        if searched:
            pages = len({document for each in found.values() for document in each})
            when = " to ".join(day(each) for each in sorted({min(days), max(days)}))
            asked = f"{self.endpoint.name} was asked for {_many(searched, 'claim')} ({when})"
            notes.append(f"{asked}; {_many(pages, 'page')} that it found could be read. Look at who says it.")
        if missed:
            notes.append(
                f"The search was not available ({self.problem}): {_many(missed, 'claim')} could not be searched for. "
                "The same command asks again."
            )
        elif self.problem:
            notes.append(f"The search was not available ({self.problem}): what it found before was used.")
        if skipped:
            notes.append(f"{_many(skipped, 'claim')} more were not searched for.")
        return tuple(notes)


def forget_unused(store: Store) -> None:
    """Take out the pages that were found for episodes that are gone."""
    rows = store.rows(
        """SELECT id FROM documents WHERE retrieved != '' AND id NOT IN (SELECT json_each.value FROM stages,
        json_each(stages.output, '$.documents') WHERE substr(stages.stage, 1, 6) = 'found/')"""
    )
    for row in rows:
        evidence.remove(store, row[0])


def _place(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower().removeprefix("www.")
    except ValueError:
        return ""


def _spread(items: list[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    return items if len(items) <= most else [items[place * len(items) // most] for place in range(most)]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
