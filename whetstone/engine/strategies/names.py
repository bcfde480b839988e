"""Strategies by name, as a user types them and a server's model is called: METHOD, METHOD-NUMBER, and options behind.

`greedy`, `consistency-8`, `best-8:by=certainty,t=0.7`. NUMBER says how much: samples, turns, beams, tokens, as the
method's line in `METHODS` says. A new method is one line there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from whetstone.engine.strategies.parallel import Greedy, Parallel
from whetstone.engine.strategies.strategy import Strategy, Verifier
from whetstone.errors import UsageError

DEFAULT_TEMPERATURE = 1.0  # what a pool is drawn at, so that all methods can share it
MOST = 1 << 16
_SPEC = re.compile(r"(?P<method>[a-z]+(?:-[a-z]+)*)(?:-(?P<number>\d+))?(?::(?P<options>\S+))?")


@dataclass(frozen=True)
class Tools:
    """What methods may need beside a sampler: verifiers by name ("certainty", "check", "head", ...), and the
    temperature where a name does not say another (`t=`)."""

    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    temperature: float = DEFAULT_TEMPERATURE

    def verifier(self, name: str, method: str) -> Verifier:
        """Raises UsageError, naming those that there are."""
        if name not in self.verifiers:
            known = ", ".join(sorted(self.verifiers)) or "none here"
            raise UsageError(f"{method} by {name!r}: there is no such verifier; known: {known}")
        return self.verifiers[name]


@dataclass
class Options:
    """NAME=VALUE pairs behind a method; what nobody asked for is an error."""

    method: str
    given: dict[str, str]
    warmth: float = DEFAULT_TEMPERATURE

    def text(self, name: str, default: str) -> str:
        return self.given.pop(name, default)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Raises UsageError for no number, or one outside."""
        raw = self.given.pop(name, None)
        if raw is None:
            return default
        try:
            value = float(raw)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise UsageError(f"{self.method}: {name} must be a number from {low:g} to {high:g}, not {raw!r}")
        return value

    def temperature(self) -> float:
        return self.number("t", self.warmth, 0.01, 100)

    def require_all_used(self) -> None:
        if self.given:
            raise UsageError(f"{self.method} has no option {next(iter(self.given))!r}")


Make = Callable[[str, int, Options, Tools], Strategy]  # full name, number, options, tools


@dataclass(frozen=True)
class Method:
    """One line of the table. `number`: what it counts ("" for methods that take none) and `default`; `smallest` is the
    least that makes sense. `ids`: it continues token ids, which an endpoint that takes messages cannot."""

    make: Make
    about: str
    number: str = ""
    default: int = 8
    smallest: int = 1
    ids: bool = False


def _greedy(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    return Greedy(name)


def _consistency(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    return Parallel(name, number, "majority", options.temperature())


def _weighted(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    by = tools.verifier(options.text("by", "certainty"), "weighted")
    return Parallel(name, number, "weighted", options.temperature(), by)


def _best(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    by = tools.verifier(options.text("by", "certainty"), "best")
    return Parallel(name, number, "best", options.temperature(), by)


def _prompts(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    wordings = int(options.number("wordings", 4, 1, 64))
    return Parallel(name, number, "majority", options.temperature(), wordings=wordings)


METHODS: dict[str, Method] = {
    "greedy": Method(_greedy, "the likeliest answer"),
    "consistency": Method(_consistency, "majority vote", "samples"),
    "weighted": Method(_weighted, "vote weighted by a verifier (by=NAME)", "samples"),
    "best": Method(_best, "the sample that a verifier likes best (by=NAME)", "samples"),
    "prompts": Method(_prompts, "majority vote over several wordings of the question", "samples"),
}


def strategy_of(spec: str, tools: Tools | None = None) -> Strategy:
    """The strategy that `spec` names. Raises UsageError that says what is wrong with it."""
    match = _SPEC.fullmatch(spec)
    if match is None or match["method"] not in METHODS:
        raise UsageError(f"unknown strategy {spec!r}; choose one of {', '.join(METHODS)}, as in consistency-8")
    method = METHODS[match["method"]]
    if match["number"] and not method.number:
        raise UsageError(f"{match['method']} takes no number: leave out -{match['number']}")
    number = int(match["number"] or method.default)
    if not method.smallest <= number <= MOST:
        raise UsageError(f"{match['method']} takes from {method.smallest} to {MOST} {method.number}, not {number}")
    pairs: dict[str, str] = {}
    for pair in (match["options"] or "").split(",") if match["options"] else []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{spec!r}: options look like name=value, and {pair!r} does not")
        pairs[name] = value
    tools = tools or Tools()
    options = Options(match["method"], pairs, tools.temperature)
    made = method.make(spec, number, options, tools)
    options.require_all_used()
    return made
