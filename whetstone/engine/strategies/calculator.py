"""A calculator in the loop: where the model has written `28 + 21 =`, the exact value is put behind it and it goes on.

Calling tools while text is written goes back to Toolformer (Schick et al. 2023, arXiv 2302.04761); here no training is
needed, as models write sums out by themselves. The text is read by exact parsers with caps and never executed.
"""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass, replace
from fractions import Fraction

from whetstone.engine.backends import Backend
from whetstone.engine.selection import select
from whetstone.engine.strategies.chain import Chain, Writer, require_ids, require_positions, together
from whetstone.engine.strategies.parallel import chosen
from whetstone.engine.strategies.strategy import Candidate, Question, Steps
from whetstone.engine.strategies.thinking import Ending, own_marks
from whetstone.engine.text.detokenize import token_texts
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.exact import exact
from whetstone.tasks.formula import Tree, parse
from whetstone.tasks.notation import FormulaError

LONGEST = 200  # characters of a sum
MOST_DIGITS = 30  # of a result, each of its two parts
MOST_DECIMALS = 12
LOOKS = 4  # signs of equality at which the text is looked at, for each use that is allowed

_ARITHMETIC = {"num", "add", "mul", "div", "pow", "neg"}
_TIMES = re.compile(r"(?<=[0-9)])(?: x |\s?(?:×|\\times|\\cdot)\s?)(?=[-−]?[0-9($])")
_SUM = re.compile(r"[-−]?[0-9($.][-0-9+*/^.,()$ ×·÷−–]*+\Z")
_BEGINS = re.compile(r"[.,]\s+|\A\d{1,2}\)\s+")  # "1. 28 + 21" and "1) 28 + 21" are points of a list
_SIGN = re.compile(r"[-+*/^−–×·÷]")
_OPEN_BEFORE = re.compile(r"(?:[-+*/^%×·÷−–]\s*|[A-Za-z0-9_)\]}\\])\Z")  # the sum began further to the left
_EQUALS = re.compile(r"(?<![<>!=:~≈])=\s?\Z")


def worked_out(text: str) -> str | None:
    """What belongs behind the sign of equality with which `text` ends: the value of the arithmetic in front of it.

    An integer, a decimal number where the fraction has one, else the fraction. None where there is no sum of plain
    numbers, where its beginning is not clear, or where it is too large.
    """
    sign = _EQUALS.search(text)
    if sign is None:
        return None
    line = text[max(0, sign.start() - LONGEST) : sign.start()]
    whole = len(line) < LONGEST or "\n" in line
    line = _TIMES.sub("*", line.rpartition("\n")[2].replace("\\(", " ").replace("\\[", " ")).rstrip()
    found = _SUM.search(line)
    if found is None or (found.start() == 0 and not whole):
        return None
    start = found.start() + max((end.end() for end in _BEGINS.finditer(found.group())), default=0)
    before, written = line[:start], line[start:]
    if _OPEN_BEFORE.search(before):
        return None
    if re.match(r"[-−]\S", written):
        if before.rstrip()[-1:].isalnum():  # x -3 + 4
            return None
    elif _SIGN.match(written):
        return None
    return _value(written)


def _value(written: str) -> str | None:
    while True:
        try:
            tree = parse(written)
            if not _plain(tree) or not _SIGN.search(written[1:]):
                return None
            value = exact(tree)
            return None if value is None else _shown(value, written)
        except FormulaError:
            if not written.startswith("("):
                return None
            written = written[1:].lstrip()  # a remark in brackets: "(28 + 21 = 49)"


def _plain(tree: Tree) -> bool:
    parts = [part for part in tree[1:] if isinstance(part, tuple)]
    return tree[0] in _ARITHMETIC and all(map(_plain, parts))


def _shown(value: Fraction, written: str) -> str | None:
    if max(abs(value.numerator), value.denominator) >= 10**MOST_DIGITS:
        return None
    if value.denominator == 1:
        return str(value.numerator)
    scaled = value * 10**MOST_DECIMALS
    if scaled.denominator == 1:
        digits = f"{abs(scaled.numerator):0{MOST_DECIMALS + 1}}"
        number = f"{digits[:-MOST_DECIMALS]}.{digits[-MOST_DECIMALS:]}".rstrip("0")
        return f"-{number}" if value < 0 else number
    return None if str(value) == "".join(written.split()) else str(value)


@dataclass(frozen=True)
class Calculator:
    """The question in the wording that asks for steps, and at most `uses` sums worked out for the model. The majority
    of `samples` answers counts. What is put in counts as written: answers have the wording's room."""

    name: str
    uses: int
    temperature: float = 0.0
    samples: int = 1

    def solve(self, question: Question, backend: Backend) -> Steps:
        tokenizer, wording = require_ids(backend, self.name), question.stepwise
        messages = list(question.prompts[0] if own_marks(tokenizer) else wording.messages)
        prompt, ending = backend.request(messages, ()), Ending.of(tokenizer, tokenizer.render(messages))
        require_positions(backend, self.name, len(prompt.prompt_ids) + wording.room)
        writers = [Writer(backend, prompt, question.seed(member), self.temperature) for member in range(self.samples)]
        chains = [self._answer(question, writer, ending, tokenizer, wording.room) for writer in writers]
        candidates = yield from together(chains)
        place = select("majority", [each.answer for each in candidates])
        forced = sum(writers[place or 0].forced)
        return replace(chosen(candidates, place), notes={"forced_tokens": forced})

    def _answer(
        self, question: Question, writer: Writer, ending: Ending, tokenizer: Tokenizer, room: int
    ) -> Chain[Candidate]:
        uses, looks = self.uses, self.uses * LOOKS
        while writer.end is None and len(writer.ids) < room:
            stops = equality_signs(tokenizer) if uses and looks else frozenset[int]()
            if not (yield from writer.write(room - len(writer.ids), stops)):
                continue
            looks -= 1
            value = worked_out(writer.text)
            if value is None:
                continue
            ids = tokenizer.encode(value if writer.text.endswith(" ") else f" {value}")
            if len(writer.ids) + len(ids) <= room:
                writer.force(ids)
                uses -= 1
        split = None if ending.within else ending.split(writer, tokenizer)
        return writer.candidate(question, None if split is None else split.answer)


_SIGNS: weakref.WeakKeyDictionary[Tokenizer, frozenset[int]] = weakref.WeakKeyDictionary()


def equality_signs(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids of the tokens that end in a sign of equality, perhaps with a blank behind it."""
    if (found := _SIGNS.get(tokenizer)) is None:
        texts = token_texts(tokenizer)
        names = [texts.token(place) for place in range(tokenizer.vocab_size)]
        found = _SIGNS[tokenizer] = frozenset(
            place
            for place, name in enumerate(names)
            if name is not None and name not in texts.special and _EQUALS.search(tokenizer.decode([place]))
        )
    return found
