"""Learned verifiers beside the models that they were made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from weakref import WeakKeyDictionary

from whetstone.engine.strategies.strategy import Verifier
from whetstone.engine.verifiers.head import HeadVerifier, made_for
from whetstone.errors import UsageError
from whetstone.models.identity import weights_identity
from whetstone.serving.models import Served
from whetstone.serving.offers import Offers


def with_heads(offers: Offers, served: Sequence[Served]) -> Offers:
    """The offers with every head of `offers.heads` beside the models that have its very weights; those that come later
    (an adapter, loaded while serving) have none.

    Raises UsageError: a folder that holds no head or a damaged one, one whose weights are not served, or a second one
    for the same weights.
    """
    if not offers.heads:
        return offers
    weights = {each: weights_identity(each.loaded.model) for each in served}
    heads: WeakKeyDictionary[Served, HeadVerifier] = WeakKeyDictionary()
    for folder in offers.heads:
        for each in _fitting(folder, weights):
            if each in heads:
                raise UsageError(f"{each.name} has a verifier already: leave out {folder}, or the other one")
            heads[each] = HeadVerifier.load(folder, each.loaded)
    given = offers.verifiers

    def verifiers(asked: Served) -> Mapping[str, Verifier]:
        head = heads.get(asked)
        return given(asked) if head is None else {**given(asked), head.name: head}

    return replace(offers, verifiers=verifiers)


def _fitting(folder: Path, weights: Mapping[Served, str]) -> list[Served]:
    """The models that the head in a folder was made for."""
    name, wanted = made_for(folder)
    found = [each for each, own in weights.items() if own == wanted]
    if not found:
        known = ", ".join(each.name for each in weights)
        raise UsageError(
            f"the verifier in {folder} was made for the weights of {name}, and {known} has others: serve that model, "
            "or make a verifier for this one by `whet scale MODEL --verifier new`"
        )
    return found
