"""What decides which model and strategy answers a question, in a file that a server reads.

An option is a model with a strategy. A cascade asks the cheap option first and goes on while the answer is not trusted;
a classifier reads the question and asks one option. Both are a generator of tries, so that one definition serves a
measurement of answers that are known and a server's single request.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whetstone.engine.strategies.strategy import Choice
from whetstone.errors import UsageError
from whetstone.files import atomic_write_json

KIND, VERSION = "whetstone route", 1
FILE = "route.json"

Floats = npt.NDArray[np.float64]
Tries = Generator[int, float, int]  # yields the option to ask, is sent the answer's confidence, returns the one to take


@dataclass(frozen=True)
class Option:
    """`model` as the user typed it, `strategy` as `strategy_of` takes it; `weights` tells the model from all others
    (the hash of its files; address and name of an endpoint)."""

    model: str
    strategy: str
    weights: str

    @property
    def name(self) -> str:
        return f"{self.model}@{self.strategy}"


@dataclass(frozen=True)
class Cascade:
    """Options in the order in which they are asked, and what confidence the answer of each but the last needs."""

    order: tuple[int, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.order or len(self.thresholds) != len(self.order) - 1 or len(set(self.order)) < len(self.order):
            raise ValueError("a cascade asks different options and has one threshold fewer than options")

    def tries(self) -> Tries:
        """See `Tries`."""
        for option, threshold in zip(self.order, self.thresholds, strict=False):
            confidence = yield option
            if confidence >= threshold:
                return option
        yield self.order[-1]
        return self.order[-1]


@dataclass(frozen=True)
class Features:
    """What a classifier sees of a question: "ngrams" hashed into `size` places, or "hidden", the mean hidden state of
    the model of option number `option`."""

    kind: str
    size: int
    option: int = 0


@dataclass(frozen=True)
class Classifier:
    """Takes the option with the greatest chance of being right less `rate` times its cost.

    The chance is logistic: sigmoid(weights_OD ((x_D - mean_D) / scale_D) + bias_O). costs_O: each option's mean cost.
    """

    features: Features
    mean_D: Floats
    scale_D: Floats
    weights_OD: Floats
    bias_O: Floats
    costs_O: Floats
    rate: float

    def chances(self, features_ND: Floats) -> Floats:
        """[N, O]."""
        logits_NO = ((features_ND - self.mean_D) / self.scale_D) @ self.weights_OD.T + self.bias_O
        chances_NO: Floats = 0.5 * (1 + np.tanh(logits_NO / 2))
        return chances_NO

    def choose(self, features_ND: Floats) -> npt.NDArray[np.int64]:
        """[N]: the option for each question; among equals the first."""
        worth_NO = self.chances(features_ND) - self.rate * self.costs_O
        chosen_N: npt.NDArray[np.int64] = worth_NO.argmax(axis=1)
        return chosen_N

    def tries(self, features_D: Floats) -> Tries:
        """See `Tries`."""
        option = int(self.choose(features_D[None])[0])
        yield option
        return option


Rule = Cascade | Classifier


def confidence(choice: Choice) -> float:
    """How sure a strategy is of its answer, 0 to 1: its share of the votes; of a single sample the geometric mean of
    its tokens' probabilities. 0 for no answer, and where nothing is known."""
    if choice.answer is None:
        return 0.0
    if len(choice.of) != 1:
        return choice.confidence or 0.0
    logprobs = choice.of[0].completion.logprobs
    return math.exp(max(-700.0, sum(logprobs) / len(logprobs))) if logprobs else 0.0


@dataclass(frozen=True)
class Policy:
    """The options, the rule that chooses among them, and `facts` about how it was learned (for people)."""

    options: tuple[Option, ...]
    rule: Rule
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        used = self.rule.order if isinstance(self.rule, Cascade) else (self.rule.features.option,)
        if not self.options or not all(0 <= place < len(self.options) for place in used):
            raise ValueError("a route's rule must go by its own options")

    @property
    def needs_features(self) -> bool:
        return isinstance(self.rule, Classifier)

    def tries(self, features_D: Floats | None = None) -> Tries:
        """See `Tries`. A classifier needs the question's features."""
        if isinstance(self.rule, Cascade):
            return self.rule.tries()
        assert features_D is not None
        return self.rule.tries(features_D)

    def used(self) -> tuple[int, ...]:
        """The options that can be asked, or whose model computes features."""
        return self.rule.order if isinstance(self.rule, Cascade) else tuple(range(len(self.options)))

    def to_dict(self) -> dict[str, Any]:
        """As JSON carries it."""
        rule: dict[str, Any]
        if isinstance(self.rule, Cascade):
            rule = {"kind": "cascade", "order": list(self.rule.order), "thresholds": list(self.rule.thresholds)}
        else:
            told = {name: getattr(self.rule, name).tolist() for name in _ARRAYS}
            rule = {"kind": "classifier", "features": asdict(self.rule.features), "rate": self.rule.rate} | told
        options = [asdict(option) for option in self.options]
        return {"kind": KIND, "version": VERSION, "options": options, "rule": rule, "facts": dict(self.facts)}

    def save(self, folder: Path) -> Path:
        """Write FILE into the folder."""
        atomic_write_json(folder / FILE, self.to_dict())
        return folder / FILE

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Read a route: its folder, or the file. Raises UsageError for what is none, or one of another version."""
        path = path / FILE if path.is_dir() else path
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["kind"] != KIND:
                raise ValueError("it is something else")
            if told["version"] != VERSION:
                raise UsageError(
                    f"{path} is a route of version {told['version']}, and {VERSION} is read: learn it anew"
                )
            options = tuple(Option(**option) for option in told["options"])
            return cls(options, _rule(told["rule"], len(options)), told["facts"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as failure:
            raise UsageError(f"{path} is no route that can be read ({failure}): make one by `whet route`") from None


_ARRAYS = ("mean_D", "scale_D", "weights_OD", "bias_O", "costs_O")


def _rule(told: Mapping[str, Any], options: int) -> Rule:
    if told["kind"] == "cascade":
        return Cascade(tuple(map(int, told["order"])), tuple(map(float, told["thresholds"])))
    arrays = {name: np.array(told[name], dtype=np.float64) for name in _ARRAYS}
    features = Features(**told["features"])
    size, outs = (features.size,), (options,)
    shapes = (size, size, (options, features.size), outs, outs)
    if told["kind"] != "classifier" or any(a.shape != s for a, s in zip(arrays.values(), shapes, strict=True)):
        raise ValueError("its rule does not fit its options")
    return Classifier(features, **arrays, rate=float(told["rate"]))


def option_names(options: Sequence[Option]) -> list[str]:
    """Names for a page; those of the same spelling are told apart by their weights."""
    names = [option.name for option in options]
    return [f"{o.name} ({o.weights[:8]})" if names.count(o.name) > 1 else o.name for o in options]
