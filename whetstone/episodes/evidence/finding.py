"""Passages that a claim is held against: documents that the user added and, where wanted, pages that a search found for
it and other episodes of the library by other people. An episode is never evidence for itself, not even as a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from whetstone.episodes.evidence.own_words import OwnWords
from whetstone.episodes.model.factcheck import Passage
from whetstone.episodes.page.clock import clock
from whetstone.episodes.search import Found, Hit, Search
from whetstone.episodes.store import Episode, Store

AROUND = 2  # segments before and after a hit that make its passage
LOOKED_AT = 40  # hits in other episodes
_NOBODY = re.compile(r"(?:speaker|voice|person) ?\w{0,3}", re.IGNORECASE)  # how programs call voices


class EvidenceFinder:
    """Finds passages for claims of one episode. `from_library`: in other episodes too. `found`: the documents that a
    search found, by the claim's text."""

    def __init__(
        self,
        search: Search,
        episode: Episode,
        own: OwnWords,
        from_library: bool = False,
        found: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self._search, self._own, self._found = search, own, found or {}
        self._others = _by_others(search.store, episode) if from_library else frozenset()

    def find(self, text: str, most: int) -> Sequence[Passage]:
        """The passages nearest to a claim, at most so many of each kind: the best of every kind first."""
        added = map(_stored, self._search.evidence(text, most))
        on_the_web = map(_stored, self._search.evidence(text, most, self._found.get(text, ())))
        spoken: list[Passage] = []
        if self._others:
            hits = [hit for hit in self._search.find(text, limit=LOOKED_AT) if hit.episode in self._others]
            spoken = [_said(self._search.store, hit) for hit in hits[:most]]
        ranked = [passage for rank in zip_longest(added, on_the_web, spoken) for passage in rank if passage is not None]
        return [passage for passage in dict.fromkeys(ranked) if not self._own.has(passage.text)]


def _people(store: Store, episode: Episode) -> frozenset[str]:
    """Who is in an episode, in small letters: the feed's people and all who speak under a name."""
    speakers = (each.name for each in store.speakers(episode.id))
    told = (name for name, _ in episode.about.people)
    named = (name for name in (*told, *speakers) if name and not _NOBODY.fullmatch(name))
    return frozenset(" ".join(name.casefold().split()) for name in named)


def _by_others(store: Store, episode: Episode) -> frozenset[int]:
    """Episodes in which nobody of this one is known to speak; those that name nobody might be the same people's."""
    own = _people(store, episode)
    if not own:
        return frozenset()
    others = (each for each in store.episodes() if each.words and each.id != episode.id)
    return frozenset(each.id for each in others if (people := _people(store, each)) and not people & own)


def _stored(found: Found) -> Passage:
    return Passage(found.text, found.title, found.source, found.published, found.retrieved)


def _said(store: Store, hit: Hit) -> Passage:
    transcript = store.transcript(hit.episode)
    assert transcript is not None
    speaker = transcript.segments[hit.segment].speaker
    first = last = hit.segment
    while first > max(0, hit.segment - AROUND) and transcript.segments[first - 1].speaker == speaker:
        first -= 1
    while last < min(len(transcript.segments) - 1, hit.segment + AROUND) and (
        transcript.segments[last + 1].speaker == speaker
    ):
        last += 1
    words = transcript.text(transcript.segments[first].first, transcript.segments[last].end)
    when = transcript.start(transcript.segments[first].first)
    told = [speaker, "" if when is None else clock(when)]
    who = ", ".join(part for part in told if part)
    title = f"{hit.title} ({who})" if who else hit.title
    about = store.episode(hit.episode).about
    return Passage(words, title, about.link or f"episode {hit.episode} of the library", hit.published)
