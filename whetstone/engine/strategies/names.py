"""Strategies by name, as a user types them and a server's model is called: METHOD, METHOD-NUMBER, and options behind.

`greedy`, `consistency-8`, `best-8:by=certainty,t=0.7`. NUMBER says how much: samples, turns, beams, tokens, as the
method's line in `METHODS` says. A new method is one line there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from whetstone.engine.selection import known_selection
from whetstone.engine.strategies.adaptive import Agreement, Allocation
from whetstone.engine.strategies.beam import Beam
from whetstone.engine.strategies.calculator import Calculator
from whetstone.engine.strategies.confident import Confident
from whetstone.engine.strategies.growing import Pace
from whetstone.engine.strategies.parallel import Greedy, Parallel
from whetstone.engine.strategies.power import Power
from whetstone.engine.strategies.revise import Revision
from whetstone.engine.strategies.stopping import MOST_SAMPLES, NEVER, safe_threshold
from whetstone.engine.strategies.strategy import Strategy, Verifier
from whetstone.engine.strategies.thinking import Thinking
from whetstone.engine.strategies.tree import Trees
from whetstone.engine.verifiers.certainty import Likelihood
from whetstone.errors import UsageError

# What a pool is drawn at, so that all methods can share it. At 1 a small model's votes lose to its own greedy answer.
DEFAULT_TEMPERATURE = 0.7
MOST = 1 << 16
_SPEC = re.compile(r"(?P<method>[a-z]+(?:-[a-z]+)*)(?:-(?P<number>[0-9]{1,9}))?(?::(?P<options>\S+))?")


@dataclass(frozen=True)
class Tools:
    """What methods may need beside a sampler: verifiers by name ("certainty", "check", "head", ...), and the
    temperature where a name does not say another (`t=`). `samples`: more than that no method may ask for."""

    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    temperature: float = DEFAULT_TEMPERATURE
    samples: int = MOST

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

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Raises UsageError for no whole number, or one outside."""
        value = self.number(name, default, low, high)
        if value != int(value):
            raise UsageError(f"{self.method}: {name} must be a whole number, not {value:g}")
        return int(value)

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
    wordings = options.whole("wordings", 4, 1, 64)
    return Parallel(name, number, "majority", options.temperature(), wordings=wordings)


def _samples(options: Options) -> tuple[float, int]:
    """Temperature and number of answers of a method that writes one, greedily, unless it is told otherwise."""
    samples = options.whole("samples", 1, 1, MOST)
    return options.temperature() if samples > 1 else options.number("t", 0.0, 0, 100), samples


def _think(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    return Thinking(name, number, options.whole("min", 0, 0, number), 0, *_samples(options))


def _wait(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    return Thinking(name, options.whole("max", 512, 1, MOST), 0, number, *_samples(options))


def _calculator(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    return Calculator(name, number, *_samples(options))


def _revise(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    take = options.text("take", "last")
    if take not in ("last", "majority"):
        raise UsageError(f"revise: take must be last or majority, not {take!r}")
    return Revision(name, number, "last" if take == "last" else "majority", options.number("t", 0.0, 0, 100))


def _agree(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    threshold = safe_threshold(number, options.number("loss", 0.05, 0, 1))
    threshold = options.number("threshold", threshold, 0.5, NEVER)
    return Agreement(name, number, threshold, options.temperature(), options.whole("wave", 1, 1, MOST))


def _confident(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    threshold, loss = options.number("threshold", 0.99, 0.5, NEVER), options.number("loss", 0.05, 0, 1)
    window = options.whole("window", 16, 1, MOST)
    return Confident(name, number, threshold, loss, window, options.temperature(), options.whole("wave", 1, 1, MOST))


def _allocate(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    limit = min(MOST_SAMPLES, tools.samples)
    if number > limit:
        raise UsageError(f"a vote that may stop early takes at most {limit} samples, not {number}")
    free = Allocation(name, number, options.number("loss", 0.05, 0, 1), options.temperature())
    most = options.whole("most", 0, number, limit)
    return replace(free.rule(most), name=name) if most else free


def _steering(options: Options, tools: Tools) -> Verifier:
    """The score of unfinished answers that a search goes by."""
    name = options.text("by", "likelihood")
    if name == "likelihood":
        return Likelihood()
    verifier = tools.verifier(name, options.method)
    if not verifier.process:
        raise UsageError(
            f"{options.method} goes by scores of unfinished answers, and {name} judges whole ones: leave it out, "
            f"or take best-8:by={name}"
        )
    return verifier


def _pace(options: Options, temperature: float) -> Pace:
    budget = options.whole("tokens", 0, 1, 1 << 24)
    width, step = options.whole("width", 4, 1, 256), options.whole("step", 16, 1, 4096)
    return Pace(width, step, temperature, budget or None)


def _beam(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    temperature = options.temperature()
    return Beam(name, number, _steering(options, tools), _pace(options, temperature))


def _tree(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    temperature = options.temperature()
    how = known_selection(options.text("choose", "weighted"))
    return Trees(name, number, _steering(options, tools), _pace(options, temperature), how)


def _power(name: str, number: int, options: Options, tools: Tools) -> Strategy:
    alpha = options.number("alpha", 4, 1, 64)
    return Power(name, number, alpha, options.whole("block", 16, 1, 4096))


METHODS: dict[str, Method] = {
    "greedy": Method(_greedy, "the likeliest answer"),
    "consistency": Method(_consistency, "majority vote", "samples"),
    "weighted": Method(_weighted, "vote weighted by a verifier (by=NAME)", "samples"),
    "best": Method(_best, "the sample that a verifier likes best (by=NAME)", "samples"),
    "prompts": Method(_prompts, "majority vote over several wordings of the question", "samples"),
    "agree": Method(_agree, "majority vote that stops when it is decided, at most N (loss=, threshold=)", "samples"),
    "confident": Method(_confident, "vote by confidence that stops when it is sure, at most N", "samples"),
    "allocate": Method(_allocate, "N samples on average, more for hard questions (most= for one)", "samples"),
    "think": Method(_think, "at most N tokens of thinking before the answer (min=)", "tokens", 256, ids=True),
    "wait": Method(_wait, "told to wait N times before it may answer (max= tokens)", "times", 2, ids=True),
    "revise": Method(_revise, "checks and corrects its own answer (take=last or majority)", "turns", 3, 2),
    "calculator": Method(_calculator, "sums are worked out for it, at most N", "sums", ids=True),
    "beam": Method(_beam, "step by step, the beginnings that score best go on (by=NAME)", "beams", 4, ids=True),
    "tree": Method(_tree, "small searches apart, then a vote (by=NAME)", "trees", 4, ids=True),
    "power": Method(_power, "an answer from the model's distribution to a power", "steps per block", ids=True),
}


def strategy_of(spec: str, tools: Tools | None = None) -> Strategy:
    """The strategy that `spec` names. Raises UsageError that says what is wrong with it."""
    match = _SPEC.fullmatch(spec)
    if match is None or match["method"] not in METHODS:
        raise UsageError(f"unknown strategy {spec!r}; choose one of {', '.join(METHODS)}, as in consistency-8")
    method = METHODS[match["method"]]
    if match["number"] and not method.number:
        raise UsageError(f"{match['method']} takes no number: leave out -{match['number']}")
    tools = tools or Tools()
    number = int(match["number"] or method.default)
    largest = tools.samples if method.number == "samples" else MOST
    if not method.smallest <= number <= largest:
        raise UsageError(f"{match['method']} takes from {method.smallest} to {largest} {method.number}, not {number}")
    pairs: dict[str, str] = {}
    for pair in (match["options"] or "").split(",") if match["options"] else []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{spec!r}: options look like name=value, and {pair!r} does not")
        if name in pairs:
            raise UsageError(f"{spec!r}: {name} is given twice")
        pairs[name] = value
    options = Options(match["method"], pairs, tools.temperature)
    made = method.make(spec, number, options, tools)
    options.require_all_used()
    return made
