"""The thinking section that reasoning models write before their answer: `<think>…</think>`."""

from __future__ import annotations

from dataclasses import dataclass

from whetstone.engine.text.events import Content, Reasoning
from whetstone.engine.text.marks import MarkFinder
from whetstone.engine.text.parser import GeneratorParser
from whetstone.engine.text.source import SPACE, Steps
from whetstone.tasks.task import THINKING


@dataclass(frozen=True)
class ThinkingMarks:
    """What opens and closes a thinking section."""

    open: str = "<think>"
    close: str = "</think>"

    def opened_by(self, prompt: str) -> bool:
        """Whether the prompt ends inside a section that its template has opened, so that the answer starts in it."""
        return prompt.rstrip(SPACE).endswith(self.open)


KNOWN_MARKS = tuple(ThinkingMarks(*pair) for pair in THINKING)


def thinking_marks(template: str) -> ThinkingMarks | None:
    """The marks that a chat template mentions; None for a model that does not think."""
    return next((marks for marks in KNOWN_MARKS if marks.close in template), None)


class ReasoningParser(GeneratorParser):
    """Tells the thinking section from the answer, as `Reasoning` and `Content`.

    A section stands at the beginning of the message; the same marks later on are content. Blanks at the edges
    of the section, and before the answer behind it, belong to the format and are dropped. A section that is never
    closed is reasoning to the end.

    Args:
        marks: what opens and closes the section.
        inside: the prompt has opened the section (`marks.opened_by(prompt)`); opening it again is let pass.
    """

    def __init__(self, marks: ThinkingMarks | None = None, inside: bool = False) -> None:
        super().__init__()
        self._marks = marks or ThinkingMarks()
        self._inside = inside

    def _run(self) -> Steps[None]:
        source = self._source
        blank = yield from source.spaces()
        read = ""
        for wanted in self._marks.open:
            if (yield from source.peek()) != wanted:
                break
            source.at += 1
            read += wanted
        opened = read == self._marks.open
        if opened or self._inside:
            yield from self._section("" if opened else read)
            yield from source.spaces()
        else:
            self._out.append(Content(blank + read))
        while (yield from source.more()):
            self._out.append(Content(source.text[source.at :]))
            source.at = len(source.text)

    def _section(self, read: str) -> Steps[None]:
        """Up to the closing mark; blanks are held, as only what follows tells whether they are an edge."""
        finder = MarkFinder([self._marks.close])
        plain, mark, _ = finder.feed(read)
        held: list[str] = []
        started = last = False
        while True:
            kept = (plain if started else plain.lstrip(SPACE)).rstrip(SPACE)
            if kept:
                self._out.extend(map(Reasoning, held))
                head = plain if started else plain.lstrip(SPACE)
                self._out.append(Reasoning(kept))
                held, started = [head[len(kept) :]], True
            elif started:
                held.append(plain)
            if mark or last:
                return
            last = not (yield from self._source.more())
            plain, mark = yield from self._source.until(finder)
