"""Which methods at which budgets: what a user asks for, or everything that is honest and possible."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from whetstone.engine.strategies.names import METHODS, Tools, strategy_of
from whetstone.engine.strategies.parallel import Parallel
from whetstone.engine.strategies.strategy import Strategy
from whetstone.errors import UsageError

BUDGETS = (1, 2, 4, 8, 16)
MOST = 1000  # beyond, the number of subsets is no floating-point number
_WISH = re.compile(r"(?P<method>[a-z]+(?:-[a-z]+)*)(?:-(?P<number>[0-9]{1,9}))?(?::(?P<options>\S+))?")


@dataclass(frozen=True)
class Wish:
    """A method with its options, at every budget; at one setting only where `number` is given (consistency-8)."""

    method: str
    options: str = ""
    number: int | None = None

    @property
    def name(self) -> str:
        """As a curve is called: `best:by=certainty`."""
        number = "" if self.number is None else f"-{self.number}"
        return f"{self.method}{number}" + (f":{self.options}" if self.options else "")

    def settings(self, budgets: Sequence[int], room: int) -> list[tuple[int, str]]:
        """(budget, full name) for each budget that makes sense.

        A budget of b is b samples, turns or beams, whatever the method counts; of those that count tokens, b times the
        `room` of one answer. Methods that take no number have one setting, of budget 1.
        """
        about, tail = METHODS[self.method], f":{self.options}" if self.options else ""
        if self.number is not None:
            return [(self.number, f"{self.method}-{self.number}{tail}")]
        if not about.number:
            return [(1, f"{self.method}{tail}")]
        unit = room if counts_tokens(self.method) else 1
        return [(b, f"{self.method}-{b * unit}{tail}") for b in budgets if b * unit >= about.smallest]


def counts_tokens(method: str) -> bool:
    """Whether a method's number is one of tokens."""
    return "token" in METHODS[method].number


def parsed_wishes(text: str | None) -> list[Wish] | None:
    """`greedy,consistency,best:by=certainty`; None for None: everything. A comma before NAME=VALUE is one of options.

    Raises UsageError for what is no method, a number that it does not take, or a method named twice.
    """
    if text is None:
        return None
    pieces: list[str] = []
    for piece in text.split(","):
        if pieces and re.fullmatch(r"\w+=\S+", piece):
            pieces[-1] += f",{piece}"
        else:
            pieces.append(piece.strip())
    wishes = [_wish(piece) for piece in pieces]
    names = [wish.name for wish in wishes]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--methods names {name} twice")
    return wishes


def _wish(piece: str) -> Wish:
    match = _WISH.fullmatch(piece)
    if match is None or match["method"] not in METHODS:
        raise UsageError(f"unknown method {piece!r}; choose from {', '.join(METHODS)}, as in greedy,consistency")
    about = METHODS[match["method"]]
    if match["number"] and not about.number:
        raise UsageError(f"{match['method']} takes no number: leave out -{match['number']}")
    number = int(match["number"]) if match["number"] else None
    if number is not None and not about.smallest <= number:
        raise UsageError(f"{match['method']} takes at least {about.smallest} {about.number}, not {number}")
    return Wish(match["method"], match["options"] or "", number)


def parsed_budgets(text: str) -> tuple[int, ...]:
    """`1,4,16`, rising. Raises UsageError for what is no list of different whole numbers from 1 to MOST."""
    try:
        budgets = tuple(sorted(int(piece) for piece in text.split(",")))
    except ValueError:
        raise UsageError(f"--budgets are whole numbers with commas between, as in 1,4,16, not {text!r}") from None
    if len(set(budgets)) < len(budgets) or not 1 <= budgets[0] <= budgets[-1] <= MOST:
        raise UsageError(f"--budgets are different numbers from 1 to {MOST}, not {text!r}")
    return budgets


def everything(tools: Tools) -> list[Wish]:
    """One curve for each method; and one for each verifier, where a method takes any and a pool says all about it."""
    found: list[Wish] = []
    for method, about in METHODS.items():
        number = f"-{max(about.smallest, about.default)}" if about.number else ""
        by = [f"by={name}" for name in tools.verifiers]
        pooled = [each for each in by if isinstance(_made(f"{method}{number}:{each}", tools), Parallel)]
        found += [Wish(method, options) for options in pooled] or [Wish(method)]
    return found


def _made(spec: str, tools: Tools) -> Strategy | None:
    try:
        return strategy_of(spec, tools)
    except UsageError:
        return None
