"""A question over the library: the spans of what was said that may answer it, with their seconds; none is composed."""

from __future__ import annotations

from dataclasses import dataclass

from whetstone.episodes import query as queries
from whetstone.episodes.lexicon import content
from whetstone.episodes.normal import tokens, without_closing
from whetstone.episodes.search import EACH, SEGMENT_ROWS, Filters, Hit, Search, fused
from whetstone.episodes.store import schema, vectors
from whetstone.episodes.store.library import Store

_FLOOR = 0.25  # of an answer's score that it keeps though it shares no word with the question: it may mean the same


@dataclass(frozen=True)
class Answer:
    """Consecutive segments `first` to `end` (not included) of an episode that may answer a question, as they were said.

    `asked`: the segment that asks it aloud, if one does. `hit` is the segment that was found.
    """

    episode: int
    first: int
    end: int
    asked: int | None
    start: float | None
    text: str
    speakers: tuple[str, ...]
    hit: Hit


def ask(search: Search, question: str, filters: Filters | None = None, limit: int = 5) -> list[Answer]:
    """Spans of the library that may answer a question, the best first, none twice. Nothing is composed: each is
    what somebody said. Where the best match is itself a question, the span is what was answered to it."""
    query = queries.parsed(question)
    asked = filters or Filters()
    if not query.terms:
        return []
    by_words = search.words(query.any(), asked, EACH)
    by_meaning = search.meaning(query, asked, EACH, by_words)
    hits = search.hits(query, fused([("words", by_words), ("meaning", by_meaning)]), 4 * limit)
    found = [(hit.score * (_FLOOR + _covered(question, hit, answer)), answer) for hit in hits
             for answer in [_answer(search.store, hit)]]  # fmt: skip
    answers: list[Answer] = []
    for _, answer in sorted(found, key=lambda each: -each[0]):
        overlaps = any(
            answer.episode == other.episode and answer.first < other.end and other.first < answer.end
            for other in answers
        )
        if not overlaps:
            answers.append(answer)
        if len(answers) == limit:
            break
    return answers


def _covered(question: str, hit: Hit, answer: Answer) -> float:
    """The share of the question's words of content that the answer, or the sentence that was found, says. One word
    said twice in a short sentence ranks high in the index and answers nothing."""
    asked = set(content(tokens(question)))
    said = set(content(tokens(f"{hit.snippet} {answer.text}")))
    return len(asked & said) / len(asked) if asked else 1.0


def _answer(store: Store, hit: Hit) -> Answer:
    begin = hit.episode << schema.SHIFT
    rows = store.rows(
        f"{SEGMENT_ROWS} WHERE s.id BETWEEN ? AND ? ORDER BY s.id",
        (begin + max(0, hit.segment - 2), begin + min(hit.segment + 12, (1 << schema.SHIFT) - 1)),
    )
    at = next(place for place, row in enumerate(rows) if row["id"] == begin + hit.segment)
    asked = None
    if without_closing(rows[at]["text"]).endswith("?") and at + 1 < len(rows):
        asked, at = hit.segment, at + 1
    first = last = at
    # what somebody says in one go after the best sentence belongs to it, and one sentence before
    count = len(rows[at]["text"].split())
    while last + 1 < len(rows) and rows[last + 1]["speaker"] == rows[at]["speaker"]:
        count += len(rows[last + 1]["text"].split())
        if count > vectors.MOST:
            break
        last += 1
    if asked is None and first and rows[first - 1]["speaker"] == rows[at]["speaker"] and count < vectors.MOST:
        first -= 1
    part = rows[first : last + 1]
    return Answer(
        hit.episode,
        part[0]["id"] - begin,
        part[-1]["id"] - begin + 1,
        asked,
        part[0]["start"],
        " ".join(row["text"] for row in part),
        tuple(dict.fromkeys(row["speaker"] for row in part)),
        hit,
    )
