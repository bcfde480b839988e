"""Closed forms over a pool with silence, refusals and timeouts in it, against plain enumeration that shares no code."""

from __future__ import annotations

from itertools import permutations
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.evals.scaling import closed
from whetstone.evals.scaling.closed import PooledQuestion, Scored
from whetstone.evals.scaling.points import FIELDS
from whetstone.tasks.task import Verdict

NONE = np.zeros(len(FIELDS))
KINDS = {  # what may come back: the answer that it votes with, its verdict, how it ended
    "a": ("a", Verdict.RIGHT, "stop"),
    "b": ("b", Verdict.WRONG, "stop"),
    "c": ("c", Verdict.WRONG, "length"),
    "unreadable": (None, Verdict.NO_ANSWER, "stop"),
    "refused": (None, Verdict.NO_ANSWER, "refused"),
    "timeout": (None, Verdict.TIMEOUT, "timeout"),
}


class Drawn(NamedTuple):
    kind: str
    score: int

    @property
    def answer(self) -> str | None:
        return KINDS[self.kind][0]

    @property
    def right(self) -> float:
        return float(KINDS[self.kind][1] is Verdict.RIGHT)


def pooled(samples: list[Drawn]) -> PooledQuestion:
    answers, verdicts, finishes = zip(*(KINDS[each.kind] for each in samples), strict=True)
    scored = Scored(tuple(float(each.score) for each in samples), NONE)
    return PooledQuestion(answers, verdicts, finishes, (3,) * len(samples), NONE, NONE, {"s": scored})


def voted(order: tuple[Drawn, ...], weighted: bool) -> float:
    """Most votes, or most weight; of equals who was heard first; who says nothing does not vote."""
    heard = [each for each in order if each.answer is not None]
    totals = {each.answer: 0 for each in heard}
    for each in heard:
        totals[each.answer] += each.score if weighted else 1
    best = max(totals.values(), default=0)
    return next((each.right for each in heard if totals[each.answer] == best), 0.0)


def best(order: tuple[Drawn, ...]) -> float:
    """The highest score among those that say something; of equals who came first."""
    heard = [each for each in order if each.answer is not None]
    return max(heard, key=lambda each: each.score).right if heard else 0.0


def first(order: tuple[Drawn, ...]) -> float:
    return next((each.right for each in order if each.answer is not None), 0.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.builds(Drawn, st.sampled_from(list(KINDS)), st.integers(0, 2)), min_size=1, max_size=5), st.data())
def test_every_choice_among_k_samples_is_the_mean_over_all_orders(samples: list[Drawn], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(samples)))
    orders = list(permutations(samples, k))
    pool = [pooled(samples)]
    found = {
        "majority": closed.right_at(pool, "majority", k, None)[0],
        "weighted": closed.right_at(pool, "weighted", k, "s")[0],
        "best": closed.right_at(pool, "best", k, "s")[0],
        "first": closed.right_at(pool, "first", k, None)[0],
        "pass": closed.pass_at(pool, k)[0],
    }
    assert found == {
        "majority": pytest.approx(fmean(voted(order, False) for order in orders)),
        "weighted": pytest.approx(fmean(voted(order, True) for order in orders)),
        "best": pytest.approx(fmean(best(order) for order in orders)),
        "first": pytest.approx(fmean(first(order) for order in orders)),
        "pass": pytest.approx(fmean(float(any(each.right for each in order)) for order in orders)),
    }
    failures = closed.failures_at(pool, k)
    for kind in ("refused", "timeout"):
        assert failures.get(kind, 0.0) == pytest.approx(fmean(sum(s.kind == kind for s in order) for order in orders))
