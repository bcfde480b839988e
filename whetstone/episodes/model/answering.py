"""An answer to a question over the library, in a model's words: every line is held against the passages it cites."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from whetstone.episodes.content import Line
from whetstone.episodes.gate import Gate
from whetstone.episodes.library.shelf import Hit, Reply
from whetstone.episodes.model.lines import Examiner
from whetstone.episodes.model.shapes import ANSWER, ANSWER_ROOM, ANSWER_TASK, chat
from whetstone.episodes.model.windows import line as numbered
from whetstone.episodes.model.writer import Writer
from whetstone.episodes.transcript import Origin, Segment, Timing, Transcript, Word
from whetstone.errors import UsageError, WorkFailed


class Composer:
    """Writes answers from passages that were found. Lines that fail the checks of summary lines (numbers, names,
    denials, quotations, two looks of the model) are written again once, then dropped."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lock = threading.Lock()  # a local model answers one at a time

    def __call__(self, question: str, hits: Sequence[Hit]) -> Reply:
        """The answer; one without lines, and why, where no line is left or the model gave none."""
        try:
            return self._reply(question, hits)
        except (UsageError, WorkFailed) as failure:
            return Reply((), problem=f"The model was not asked: {failure}.")

    def _reply(self, question: str, hits: Sequence[Hit]) -> Reply:
        passages = _as_transcript(hits)
        listed = "\n".join(numbered(passages, each.id) for each in passages.segments)
        with self._lock:
            answer = self._writer.write([chat(f"{ANSWER_TASK}{question}", listed)], ANSWER, ANSWER_ROOM)[0]
            if answer.value is None:
                return Reply((), problem=f"The model gave no answer: {answer.problem}.")
            lines = _lines(answer.value, len(hits))
            examiner = Examiner(passages, Gate(passages), self._writer, judged=True, around=0)
            kept = examiner.examine(lines).kept
        if not kept:
            what = "nothing that the passages say" if lines else "no answer from these passages"
            return Reply((), problem=f"{self._writer.name} gave {what}.")
        told = tuple((line.text, tuple(hits[each] for each in line.segments)) for line in kept)
        return Reply(told, self._writer.name)


def _as_transcript(hits: Sequence[Hit]) -> Transcript:
    """The passages as segments, so that a line about them is checked like a line about an episode."""
    words: list[Word] = []
    segments = []
    for place, hit in enumerate(hits):
        first = len(words)
        words += [Word(text, hit.start, None, hit.speaker) for text in hit.text.split()]
        segments.append(Segment(place, first, len(words), hit.speaker, paragraph=True))
    return Transcript(tuple(words), tuple(segments), Timing.NONE, Origin.PUBLISHER)


def _lines(value: Mapping[str, Any], count: int) -> list[Line]:
    """Lines that cite passages which exist."""
    found = []
    listed = value.get("lines")
    for item in listed if isinstance(listed, list) else []:
        text = " ".join(str(item.get("text", "")).split()) if isinstance(item, dict) else ""
        cited = item.get("passages") if isinstance(item, dict) else None
        numbers = {n for n in cited if type(n) is int and 0 <= n < count} if isinstance(cited, list) else set()
        if text and numbers:
            found.append(Line(text, tuple(sorted(numbers))))
    return found
