"""Closed forms against running the strategies themselves on every subset of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import whetstone as wh
from tests.engine.strategies.asking import KEY, tiny_backend, tiny_loaded
from whetstone.engine.samples import Pool, SampleFile
from whetstone.engine.strategies.names import DEFAULT_TEMPERATURE, Tools
from whetstone.engine.strategies.parallel import Parallel
from whetstone.engine.strategies.run import run
from whetstone.engine.strategies.strategy import Candidate, Question, Scores
from whetstone.evals.evaluate import Asked, asked_of
from whetstone.evals.scaling.asking import Asker, Judging, questions_of
from whetstone.evals.scaling.measuring import measure
from whetstone.evals.scaling.points import FIELDS, Point
from whetstone.evals.scaling.pool import SharedPool
from whetstone.evals.scaling.settings import settings_of
from whetstone.evals.scaling.wishes import parsed_wishes
from whetstone.tasks.task import Verdict

DRAWN = 5


class Digits:
    """Likes answers with many even digits; its price is a token for each."""

    name, process = "digits", False
    params_needed: ClassVar[dict[str, Any]] = {}

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        values = [sum(c in "02468" for c in each.text) % 3 for each in candidates]
        return Scores(tuple(map(float, values)), tokens=10 * len(candidates), flops=2.0 * len(candidates))


class Letter(wh.Task):
    """Three answers and silence, so that a random model's votes have something to agree on."""

    max_new_tokens = 3

    def sample(self, seed: bytes, level: int) -> wh.Problem:
        n = int.from_bytes(seed[:2], "big")
        return wh.Problem(f"{n}?", {"n": n})

    def final_answer(self, text: str) -> str | None:
        found = [c for c in text.lower() if c.isalpha()]
        return "ambiguous" if len(found) > 1 else found[0] if found else None

    def check(self, problem: wh.Problem, text: str) -> wh.Verdict:
        right = self.final_answer(text) == "ambiguous" and problem.facts["n"] % 3
        return wh.Verdict.RIGHT if right else wh.Verdict.WRONG


@pytest.fixture(scope="module")
def asked() -> Asked:
    return replace(asked_of(Letter(), 1, 4, "only", 0), key=KEY)


@pytest.fixture(scope="module")
def asker() -> Asker:
    backend = tiny_backend()
    return Asker(backend, SharedPool(backend.sampler, "tiny"), tiny_loaded().model.config, Tools({"digits": Digits()}))


def points(asked: Asked, asker: Asker, methods: str, budgets: Sequence[int]) -> list[Point]:
    questions = questions_of(asked)
    settings, left_out = settings_of(parsed_wishes(methods) or [], budgets, questions, asker, strict=True)
    assert left_out == []
    return measure(asked, asker, settings, questions, lambda _units, _note: None, strict=True).points


def with_seeds(question: Question, members: Sequence[int]) -> Question:
    return replace(question, seed=lambda member: question.seed(members[member]))


@pytest.mark.parametrize(("how", "methods"), [("majority", "consistency"), ("best", "best:by=digits")])
def test_a_point_is_the_mean_of_the_strategy_over_all_ways_to_draw(
    asked: Asked, asker: Asker, how: Any, methods: str, tmp_path: Path
) -> None:
    """All subsets, in all orders, for the first among equals wins."""
    found = [point for point in points(asked, asker, methods, (1, 2, 3, DRAWN)) if point.kind == "method"]
    pool, judging = Pool(asker.backend.sampler, "tiny", SampleFile(tmp_path / "samples")), Judging(asked)
    assert len(found) == 4
    for point in found:
        strategy = Parallel("it", point.budget, how, DEFAULT_TEMPERATURE, Digits() if how == "best" else None)
        right_SN, spent_SNF = [], []
        for members in permutations(range(DRAWN), point.budget):
            questions = [with_seeds(question, members) for question in questions_of(asked)]
            outcomes = run(strategy, questions, asker.backend, pool, asker.config)
            verdicts = [judging.outcome(*each) for each in zip(asked.problems, outcomes, strict=True)]
            right_SN.append([verdict is Verdict.RIGHT for verdict in verdicts])
            spent_SNF.append([[getattr(each.spent, name) for name in FIELDS] for each in outcomes])
        np.testing.assert_allclose(point.right_N, np.mean(right_SN, axis=0), rtol=1e-5)
        spent_NF = np.mean(spent_SNF, axis=0)
        for place, name in enumerate(FIELDS):
            if name == "seconds":  # of other batches
                assert (point.spent_NF[:, place] > 0).all()
            else:
                np.testing.assert_allclose(point.spent_NF[:, place], spent_NF[:, place], rtol=1e-5, err_msg=name)
    assert len({float(point.right_N.mean()) for point in found}) > 1, "choosing makes a difference here"


def test_methods_share_one_pool_and_controls_stand_beside_gains(asked: Asked) -> None:
    backend = tiny_backend()
    pool = SharedPool(backend.sampler, "tiny")
    asker = Asker(backend, pool, None, Tools({"digits": Digits()}))
    found = points(asked, asker, "greedy,consistency,best:by=digits,weighted:by=digits", (1, 4))
    assert pool.drawn == len(asked.problems) * 5, "four samples for all, and the greedy answer"
    by_name = {point.name: point for point in found}
    assert [point.kind for point in found] == sorted((p.kind for p in found), key=["method", "control", "oracle"].index)
    assert set(by_name) == {
        "greedy",
        *(
            f"{m}-{k}{o}"
            for m, o in (("consistency", ""), ("best", ":by=digits"), ("weighted", ":by=digits"))
            for k in (1, 4)
        ),
        *(f"best-{k}:by=digits, scores shuffled" for k in (1, 4)),
        "pass@1",
        "pass@4",
    }
    # one sample is one sample, whoever chooses it
    for name in ("best-1:by=digits", "weighted-1:by=digits", "pass@1", "best-1:by=digits, scores shuffled"):
        np.testing.assert_allclose(by_name[name].right_N, by_name["consistency-1"].right_N, rtol=1e-5)
    assert (by_name["pass@4"].right_N >= by_name["best-4:by=digits"].right_N - 1e-6).all()
    assert by_name["best-4:by=digits"].mean("verifier_tokens") == 40
    assert by_name["greedy"].of("flops") is None and by_name["greedy"].of("usd") is None


def test_points_survive_a_file(asked: Asked, asker: Asker) -> None:
    import json

    for point in points(asked, asker, "greedy,consistency", (1, 3)):
        row = {name: getattr(point, name) for name in ("method", "name", "budget", "kind", "how", "failures")}
        again = Point.read(json.loads(json.dumps(row | {"per_problem": point.rows()})))
        np.testing.assert_array_equal(again.right_N, point.right_N)
        np.testing.assert_array_equal(again.spent_NF, point.spent_NF)
