"""Lines that a model writes, looked at twice before anybody reads them: by the program, and by a model as a judge.

A line that fails is written again once, from the passages that it cites; what fails then is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whetstone.episodes.content import Line
from whetstone.episodes.gate import Gate
from whetstone.episodes.gate.faithful import check_lines
from whetstone.episodes.model.judging import supported
from whetstone.episodes.model.shapes import REWRITE, REWRITE_ROOM, REWRITE_TASK, chat
from whetstone.episodes.model.windows import line as numbered
from whetstone.episodes.model.writer import Writer
from whetstone.episodes.transcript import Transcript

MOST_REWRITTEN = 8  # lines of one section

Shown = Callable[[int, int], None]


@dataclass(frozen=True)
class Lines:
    """What may be shown, in the order in which it was written; why the rest is not; how many were written again."""

    kept: tuple[Line, ...]
    dropped: tuple[str, ...]
    rewritten: int = 0


class Examiner:
    """Looks at lines about one transcript. `writer` judges (where `judged`) and writes again; None: only the program
    looks. `around`: segments before and after a cited one that a judge sees."""

    def __init__(
        self, transcript: Transcript, gate: Gate, writer: Writer | None, judged: bool, around: int = 1
    ) -> None:
        self.transcript, self._gate, self._writer, self._judged = transcript, gate, writer, judged
        self._around = around

    def examine(self, lines: Sequence[Line], shown: Shown | None = None) -> Lines:
        """The lines of one section. `shown` is told of a judge's answers."""
        faults = self._faults(lines, shown)
        final = list(lines)
        failed = [place for place, fault in enumerate(faults) if fault][:MOST_REWRITTEN]
        again = self._again([(lines[place], faults[place]) for place in failed])
        tried = [(place, line) for place, line in zip(failed, again, strict=True) if line is not None]
        for (place, line), fault in zip(tried, self._faults([line for _, line in tried], None), strict=True):
            if not fault:
                final[place], faults[place] = line, ""
        kept = tuple(line for line, fault in zip(final, faults, strict=True) if not fault)
        return Lines(kept, tuple(fault for fault in faults if fault), sum(not faults[place] for place, _ in tried))

    def passages(self, line: Line) -> list[str]:
        """The cited segments with their neighbours, as a judge sees them."""
        last = len(self.transcript.segments) - 1
        near = {
            place
            for each in line.segments
            for place in range(max(0, each - self._around), min(last, each + self._around) + 1)
        }
        return [numbered(self.transcript, place) for place in sorted(near)]

    def _faults(self, lines: Sequence[Line], shown: Shown | None) -> list[str]:
        """Why each line must not be shown; "" where it may be."""
        _, dropped = check_lines(lines, self.transcript, gate=self._gate)
        bad = {id(each.line): str(each) for each in dropped}
        faults = [bad.get(id(line), "") for line in lines]
        left = [place for place, fault in enumerate(faults) if not fault]
        if self._judged and self._writer is not None and left:
            texts, passages = [lines[place].text for place in left], [self.passages(lines[place]) for place in left]
            looks = supported(self._writer, texts, passages, shown)
            for place, good in zip(left, looks, strict=True):
                faults[place] = "" if good else f"not supported by what it cites: {lines[place].text}"
        return faults

    def _again(self, failed: Sequence[tuple[Line, str]]) -> list[Line | None]:
        """Each line in other words; None where the model gave none."""
        if self._writer is None or not failed:
            return [None] * len(failed)
        asks = [
            chat(REWRITE_TASK.format(why=why.partition(": ")[0], line=line.text), "\n".join(self.passages(line)))
            for line, why in failed
        ]
        answers = self._writer.write(asks, REWRITE, REWRITE_ROOM)
        texts = [" ".join(str(each.value["text"]).split()) if each.value else "" for each in answers]
        return [
            Line(text, line.segments) if text and text != line.text else None
            for text, (line, _) in zip(texts, failed, strict=True)
        ]
