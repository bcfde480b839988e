"""A verifier from beginning to end on the tiny model, and what is said of one whose worth is known."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.strategies.asking import KEY, tiny_backend, tiny_loaded
from whetstone.engine.protocol import Completion, Request, TopLogprobs
from whetstone.engine.samples import Pool, SampleFile
from whetstone.engine.strategies.names import Tools, strategy_of
from whetstone.engine.strategies.questions import question_of
from whetstone.engine.strategies.run import run
from whetstone.engine.strategies.strategy import Candidate
from whetstone.engine.verifiers.head import HeadVerifier
from whetstone.engine.verifiers.states import Pooled
from whetstone.errors import UsageError
from whetstone.evals.verifier_quality import make_verifier, quality
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.task import Problem, Task, Verdict
from whetstone.training.verifier import Judged, Rollouts, Rows

PROBLEMS, SAMPLES = 100, 6


class Loud(Task):
    """Say more capitals than small letters, which a model with random weights does about half the time."""

    max_new_tokens = 8

    def sample(self, seed: bytes, level: int) -> Problem:
        n = random.Random(seed).randrange(10**6)
        return Problem(f"{n}?", {"n": n})

    def check(self, problem: Problem, text: str) -> Verdict:
        loud, quiet = sum(map(str.isupper, text)), sum(map(str.islower, text))
        return Verdict.RIGHT if loud > quiet else Verdict.WRONG


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[HeadVerifier, dict[str, Any], Path]:
    folder, backend = tmp_path_factory.mktemp("made"), tiny_backend()
    pool = Pool(backend.sampler, "tiny", SampleFile(folder / "samples.sqlite"))
    verifier, found = make_verifier(
        tiny_loaded(), backend, pool, Loud(), 1, KEY, folder / "verifier", Progress(), PROBLEMS, SAMPLES
    )
    return verifier, found, folder


def test_it_learns_what_the_states_tell(made: tuple[HeadVerifier, dict[str, Any], Path]) -> None:
    _, found, _ = made
    assert found["auc_within"]["head"]["low"] > 0.6 and found["auc_overall"]["head"]["low"] > 0.55
    assert found["control"]["p"] == pytest.approx(1 / 21) and 0.4 < found["control"]["mean"] < 0.6
    assert found["brier"]["head"]["mean"] < found["brier"]["base_rate"]["mean"]
    assert found["best_of"]["best by head"]["mean"] > found["best_of"]["any one"]["mean"]
    assert found["words"][0].startswith("Of a right and a wrong answer to the same question")
    assert "no better than chance" not in found["words"][0]
    assert (
        found["spent"]["flops"] > 0 and found["spent"]["written_tokens"] > 0 and found["spent"]["verifier_tokens"] > 0
    )


def test_it_is_json_and_stands_in_the_folder(made: tuple[HeadVerifier, dict[str, Any], Path]) -> None:
    verifier, found, folder = made
    written = json.loads(json.dumps(found, allow_nan=False))
    back = HeadVerifier.load(folder / "verifier", tiny_loaded())
    assert back.about["quality"] == written
    assert back.head.layer == verifier.head.layer == found["chosen"]["layer"]
    assert sum(each["accuracy"]["n"] for each in found["calibration"]["bins"]) == found["answers"] == PROBLEMS * SAMPLES


def test_the_same_comes_out_again_and_nothing_is_drawn_twice(
    made: tuple[HeadVerifier, dict[str, Any], Path], tmp_path: Path
) -> None:
    verifier, found, folder = made
    backend = tiny_backend()
    pool = Pool(backend.sampler, "tiny", SampleFile(folder / "samples.sqlite"))
    again, measured = make_verifier(
        tiny_loaded(), backend, pool, Loud(), 1, KEY, tmp_path / "verifier", Progress(), PROBLEMS, SAMPLES
    )
    assert (pool.drawn, pool.found) == (0, PROBLEMS * SAMPLES)
    np.testing.assert_allclose(again.head.weight_F, verifier.head.weight_F, atol=1e-5)
    for name in ("chosen", "control", "auc_within", "best_of", "words"):
        assert json.dumps(measured[name])[:200] == json.dumps(found[name])[:200]


def test_it_serves_a_strategy_on_evaluation_problems(made: tuple[HeadVerifier, dict[str, Any], Path]) -> None:
    """The evaluation's problems are none of those that it was made from, and on them, too, it chooses better."""
    verifier, _, _ = made
    task, backend = Loud(), tiny_backend()
    problems = Stream(task, KEY, "eval", 1).take(PROBLEMS, distinct=True)
    trained = Stream(task, Key.derive(KEY, "verifier"), "train", 1).take(PROBLEMS, distinct=True)
    assert not {each.id for each in problems} & {each.id for each in trained}
    questions = [question_of(task, problem, [task.styles()["only"]], KEY) for problem in problems]
    pool, right = Pool(backend.sampler, "tiny"), {}
    for spec in ("best-6:by=head", "consistency-1"):
        chosen = run(strategy_of(spec, Tools({"head": verifier})), questions, backend, pool)
        verdicts = [task.check(p, outcome.choice.text) for p, outcome in zip(problems, chosen, strict=True)]
        right[spec] = sum(verdict is Verdict.RIGHT for verdict in verdicts)
    assert right["best-6:by=head"] > right["consistency-1"]


def test_too_few_problems_are_said(tmp_path: Path) -> None:
    from whetstone.tasks.registry import load_task

    backend = tiny_backend()
    with pytest.raises(UsageError, match="has only about 29 different train problems"):
        make_verifier(
            tiny_loaded(),
            backend,
            Pool(backend.sampler, "tiny"),
            load_task("addition"),
            1,
            KEY,
            tmp_path / "v",
            Progress(),
        )
    assert not (tmp_path / "v").exists()


def known(worth: float, problems: int = 120, spread: float = 1.0) -> tuple[Judged, Rows, list[Rollouts]]:
    """Answers whose chance of being right is known, and a head that sees `worth` of what tells them apart within a
    problem. Certainty is a coin; every sixth answer is silent."""
    generator = np.random.default_rng(5)
    group = np.repeat(np.arange(problems), SAMPLES)
    own, shared = generator.normal(size=len(group)) * spread, 2 * generator.normal(size=problems)[group]
    right = generator.random(len(group)) < 1 / (1 + np.exp(-2 * own - shared))
    noise = generator.normal(size=len(group))
    seen = 1 / (1 + np.exp(-2 * (worth * own + (1 - worth) * noise) - shared))
    rollouts = []
    for problem in range(problems):
        candidates = []
        for place in np.flatnonzero(group == problem):
            top = TopLogprobs((1, 2), (-0.1, -2 - float(generator.random())), -0.1)
            completion = Completion((1,), (-float(generator.random()),), "stop", 0, (top,))
            answer = None if place % 6 == 5 else str(place)
            candidates.append(Candidate(Request((1,), (0,)), completion, answer or "", answer))
        good = tuple(bool(each) for each in right[group == problem])
        rollouts.append(Rollouts(Problem("?", {}), str(problem).encode(), tuple(candidates), good))
    ones = np.ones(len(group), dtype=bool)
    rows = Rows(
        {1: Pooled(*np.zeros((3, len(group), 3), np.float32))},
        right.astype(float),
        ones * 1.0,
        group,
        group,
        group,
        ones,
        ones,
    )
    return Judged(seen, generator.normal(size=(20, len(group)))), rows, rollouts


def test_a_head_that_knows_nothing_is_told_so() -> None:
    found = quality(*known(worth=0.0))
    assert found["words"][0].endswith("no better than chance.")
    assert found["auc_within"]["head"]["low"] < 0.5 < found["auc_within"]["head"]["high"]
    assert found["auc_overall"]["head"]["low"] > 0.5, "it does know which problems are easy, which is no use"
    assert all(each["verdict"] == "not distinguishable" for each in found["gains"].values())


def test_a_head_that_knows_is_told_so() -> None:
    found = quality(*known(worth=1.0))
    assert found["control"]["p"] == pytest.approx(1 / 21) and "shuffled outcomes" in found["words"][0]
    assert found["differences"]["certainty"]["verdict"] == "gain" == found["gains"]["majority"]["verdict"]
    assert any(
        line.startswith("Within questions it is better than the model's own certainty") for line in found["words"]
    )
    assert found["calibration"]["ece"]["low"] == 0 and "no more than calibrated ones would show" in found["words"][-1]


def test_areas_within_leave_silence_out() -> None:
    judged, rows, rollouts = known(worth=0.5)
    found = quality(judged, rows, rollouts)
    areas = []
    for problem, each in enumerate(rollouts):
        here = np.flatnonzero(rows.group_M == problem)
        pairs = [
            float(judged.probability_M[i] > judged.probability_M[j])
            for i, one in zip(here, each.candidates, strict=True)
            for j, two in zip(here, each.candidates, strict=True)
            if one.answer is not None and two.answer is not None and rows.right_M[i] > rows.right_M[j]
        ]
        areas += [np.mean(pairs)] if pairs else []
    assert found["mixed"] == len(areas) and found["auc_within"]["head"]["mean"] == pytest.approx(np.mean(areas))
    chosen = [
        each.right[
            max(
                (p for p, c in enumerate(each.candidates) if c.answer),
                key=judged.probability_M[rows.group_M == n].__getitem__,
            )
        ]
        for n, each in enumerate(rollouts)
    ]
    assert found["best_of"]["best by head"]["mean"] == pytest.approx(np.mean(chosen))
    assert found["best_of"]["whichever is right"]["mean"] == np.mean([any(each.right) for each in rollouts])


def test_nothing_to_compare_is_said() -> None:
    judged, rows, rollouts = known(worth=1.0, problems=20)
    rows.right_M[:] = 0
    silent = [Rollouts(each.problem, each.source, each.candidates, (False,) * SAMPLES) for each in rollouts]
    found = quality(judged, rows, silent)
    assert found["words"] == [
        "Whether the verifier knows anything cannot be told: no problem of the test had right and wrong answers."
    ]
    assert found["auc_within"]["head"] is None and found["auc_overall"]["head"] is None
    json.dumps(found, allow_nan=False)
