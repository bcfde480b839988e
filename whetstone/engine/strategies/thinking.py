"""Budgets of thinking: at most so many tokens before the answer, at least so many, and "Wait" to make a model go on.

Thinking is what stands before the closing mark of a model that has one (`</think>`), and before "Answer:" of any other.
Who has not closed it when the budget is used up is made to: the mark is put in, and the answer written behind it. Who
closes it too early gets "Wait" instead of the mark (budget forcing: Muennighoff et al. 2025, arXiv 2501.19393). Who
ends without a mark, but in words that are an answer already, has answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from whetstone.engine.backends import Backend
from whetstone.engine.selection import select
from whetstone.engine.strategies.chain import Chain, Writer, require_ids, require_positions, together
from whetstone.engine.strategies.parallel import chosen
from whetstone.engine.strategies.strategy import Candidate, Question, Steps
from whetstone.engine.text.reasoning import ThinkingMarks, thinking_marks
from whetstone.errors import UsageError
from whetstone.models.tokenizer import Tokenizer

ANSWER = re.compile(r"\b(?:final\s)?answer\b[*_ ]{0,3}:", re.IGNORECASE)
# behind a bare "Answer:" SmolLM2 writes the X of its instruction three times as often
CLOSE, WAIT = "\nFinal Answer:", "\nWait"
_PARAGRAPH = re.compile(r"(?<=\S)\s*?\n\s*\n")


def own_marks(tokenizer: Tokenizer) -> ThinkingMarks | None:
    """The marks of a model that thinks by itself."""
    template = tokenizer.config.get("chat_template")
    return thinking_marks(template if isinstance(template, str) else str(template))


@dataclass(frozen=True)
class Split:
    """An answer's tokens: those `before` the mark, those up to and `through` it, and the text of the answer proper."""

    before: int
    through: int
    answer: str


@dataclass(frozen=True)
class Ending:
    """How thinking is told from the answer: `mark` finds where that begins. Ids: `open` begins the thinking, `close`
    puts the mark there, `wait` makes a model go on. `within`: the mark is a part of the answer's text ("Answer: 4")."""

    mark: re.Pattern[str]
    open: tuple[int, ...]
    close: tuple[int, ...]
    wait: tuple[int, ...]
    within: bool

    @classmethod
    def of(cls, tokenizer: Tokenizer, prompt: str) -> Ending:
        """Of a model with this tokenizer, behind this prompt."""
        wait = tuple(tokenizer.encode(WAIT))
        marks = own_marks(tokenizer)
        if marks is None:
            return cls(ANSWER, (), tuple(tokenizer.encode(CLOSE)), wait, True)
        opened = "" if marks.opened_by(prompt) else f"{marks.open}\n"
        close = tuple(tokenizer.encode(f"\n{marks.close}\n\n"))
        return cls(re.compile(re.escape(marks.close)), tuple(tokenizer.encode(opened)), close, wait, False)

    def split(self, writer: Writer, tokenizer: Tokenizer) -> Split | None:
        """Where the mark stands; None for nowhere yet."""
        found = self.mark.search(writer.text)
        if found is None:
            return None
        before, through = writer.place(found.start()), writer.place(found.end() - 1) + 1
        shared = writer.upto(through)[found.end() :]  # of the token in which the mark ends
        answer = (shared + tokenizer.decode(writer.ids[through:])).strip()
        if self.within:  # who goes on after an empty line has begun something else
            answer = f"{found.group()} {_PARAGRAPH.split(answer, maxsplit=1)[0]}"
        return Split(before, through, answer)


@dataclass(frozen=True)
class Thinking:
    """At most `budget` tokens of thinking, then an answer within its room. What is put in counts, and so does what is
    taken back. A model that closes its thinking before `least` tokens, or the first `waits` times, is told to wait, as
    long as the budget lasts. The majority of `samples` answers counts."""

    name: str
    budget: int
    least: int = 0
    waits: int = 0
    temperature: float = 0.0
    samples: int = 1

    def solve(self, question: Question, backend: Backend) -> Steps:
        tokenizer, wording = require_ids(backend, self.name), question.stepwise
        # a model with marks of its own thinks without being asked for steps
        messages = list(question.prompts[0] if own_marks(tokenizer) else wording.messages)
        prompt, ending = backend.request(messages, ()), Ending.of(tokenizer, tokenizer.render(messages))
        needed = len(ending.open) + len(ending.close)
        if needed > self.budget:
            raise UsageError(f"{self.name}: to open and close the thinking alone takes {needed} tokens, so allow more")
        require_positions(backend, self.name, len(prompt.prompt_ids) + self.budget + wording.answer)
        writers = [Writer(backend, prompt, question.seed(member), self.temperature) for member in range(self.samples)]
        chains = [_Chain(self, question, writer, ending, tokenizer, wording.answer).run() for writer in writers]
        candidates = yield from together(chains)
        place = select("majority", [each.answer for each in candidates])
        writer = writers[place or 0]
        split = ending.split(writer, tokenizer)
        notes: dict[str, float | str] = {"forced_tokens": sum(writer.forced)}
        if split is not None:
            notes |= {"thinking_tokens": split.through, "thinking": writer.upto(split.before)}
        return replace(chosen(candidates, place), notes=notes)


@dataclass
class _Chain:
    """One answer in the making."""

    strategy: Thinking
    question: Question
    writer: Writer
    ending: Ending
    tokenizer: Tokenizer
    room: int

    @property
    def left(self) -> int:
        """Tokens of the budget, those of the closing mark set aside."""
        return self.strategy.budget - len(self.ending.close) - self.writer.spent

    def split(self) -> Split | None:
        return self.ending.split(self.writer, self.tokenizer)

    def run(self) -> Chain[Candidate]:
        """Think, close, answer."""
        writer = self.writer
        writer.force(self.ending.open)
        split = yield from self._think()
        if writer.failed:
            return writer.candidate(self.question, "")
        if split is None:
            if self.ending.within and writer.end == "stop" and (said := writer.candidate(self.question)).answer:
                return said
            writer.force(self.ending.close)
        yield from self._answer(len(writer.ids) if split is None else split.through)
        split = self.split()
        assert split is not None, "the closing mark reads as one"
        return writer.candidate(self.question, split.answer)

    def _think(self) -> Chain[Split | None]:
        """Where the model closed its thinking; None where it must be made to."""
        writer, wait, waits = self.writer, self.ending.wait, 0
        while True:
            split = self.split()
            while split is None and writer.end is None and self.left > 0:
                yield from writer.write(self.left)
                split = self.split()
            thought = len(writer.ids) if split is None else split.before
            early = waits < self.strategy.waits or thought < self.strategy.least
            by_itself = split is not None or writer.end == "stop"
            if not (early and by_itself and self.left > len(wait)):
                return split
            writer.cut(thought)
            writer.force(wait)
            waits += 1

    def _answer(self, start: int) -> Chain[None]:
        """What is written from there on shall fill the room and no more; the end mark needs a place, too."""
        writer = self.writer
        if len(writer.ids) - start + (writer.end_id is not None) > self.room:
            writer.cut(start + self.room)
            writer.end = "length"
        while writer.end is None and (left := start + self.room - len(writer.ids)) > 0:
            yield from writer.write(left)
