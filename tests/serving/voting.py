"""What the tests of strategies ask, and the votes over it that are counted by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.serving.live import alone, text_of, tiny_server
from whetstone.engine.strategies.names import DEFAULT_TEMPERATURE
from whetstone.serving.offers import Offers
from whetstone.serving.sampling import seeds
from whetstone.serving.server import Background
from whetstone.tasks.answers import read_general

ASK: list[Any] = [{"role": "user", "content": "12+34?"}]


def named_server(folder: Path) -> AbstractContextManager[Background]:
    """A server with two strategies that have names of their own."""
    return tiny_server(folder, offers=Offers({"careful": "tiny@consistency-6", "short": "tiny@greedy"}))


def samples(count: int, tokens: int, seed: int = 5, warmth: float = DEFAULT_TEMPERATURE, **params: Any) -> list[str]:
    """What the engine samples alone with the seeds that the server gives a strategy."""
    return [text_of(alone("12+34?", tokens, each, warmth, **params)) for each in seeds(seed, count)]


def majority(texts: Sequence[str]) -> str:
    answers = [read_general(text) for text in texts]
    votes = Counter(answer for answer in answers if answer is not None)
    most = max(votes.values())
    return next(text for text, answer in zip(texts, answers, strict=True) if answer and votes[answer] == most)
