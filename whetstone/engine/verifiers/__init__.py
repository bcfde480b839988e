"""Verifiers: what tells better candidates from worse ones (`Verifier` in `strategies/strategy.py`).

check: the question's own, where it may be asked. certainty: what the model's probabilities say, for nothing. head: a
small classifier on the model's hidden states (`training/verifier.py` makes one). judge: any model, asked yes or no.
"""

from __future__ import annotations

from whetstone.engine.strategies.strategy import Verifier
from whetstone.engine.verifiers.certainty import Certainty, Likelihood
from whetstone.engine.verifiers.check import Check


def free_verifiers() -> dict[str, Verifier]:
    """Those that need nothing but the candidates, by name: "check", "certainty", "confidence", "likelihood"."""
    every: list[Verifier] = [Check(), Certainty(), Certainty("confidence", window=16), Likelihood()]
    return {verifier.name: verifier for verifier in every}
