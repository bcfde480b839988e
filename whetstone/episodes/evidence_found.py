"""Passages that a claim is held against: documents that the user added and, where wanted, other episodes of the library
by other people. An episode is never evidence for itself, not even as a file that was added."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from whetstone.episodes.model.factcheck import Passage
from whetstone.episodes.normal import tokens
from whetstone.episodes.page.clock import clock
from whetstone.episodes.search import Hit, Search
from whetstone.episodes.store import Episode, Store
from whetstone.episodes.transcript import Transcript

RUN = 12  # tokens in a row that two texts share only where one has them from the other
COPIED = 0.5  # share of a passage's runs that the episode has, above which it is a piece of the episode
AROUND = 2  # segments before and after a hit that make its passage
LOOKED_AT = 40  # hits in other episodes
_NOBODY = re.compile(r"(?:speaker|voice|person) ?\w{0,3}", re.IGNORECASE)  # how programs call voices


class EvidenceFinder:
    """Finds passages for claims of one episode. `from_library`: in other episodes too."""

    def __init__(self, search: Search, episode: Episode, transcript: Transcript, from_library: bool = False) -> None:
        self._search, self._episode = search, episode
        self._runs = frozenset(_runs(" ".join(word.text for word in transcript.words)))
        self._others = _by_others(search.store, episode) if from_library else frozenset()

    def find(self, text: str, most: int) -> Sequence[Passage]:
        """The passages nearest to a claim, the best first, at most so many of each kind."""
        found = [
            Passage(each.text, each.title, each.source, each.published) for each in self._search.evidence(text, most)
        ]
        if self._others:
            hits = [hit for hit in self._search.find(text, limit=LOOKED_AT) if hit.episode in self._others]
            found += [_said(self._search.store, hit) for hit in hits[:most]]
        return [passage for passage in found if not self._is_own(passage.text)]

    def _is_own(self, text: str) -> bool:
        """Whether a passage is the episode's own words: a copy of its transcript, or a page that repeats it."""
        runs = list(_runs(text))
        return bool(runs) and sum(run in self._runs for run in runs) >= COPIED * len(runs)


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    found = tokens(text)
    for at in range(len(found) - RUN + 1):
        yield found[at : at + RUN]


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
