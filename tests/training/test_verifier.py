"""How a verifier is made: whole problems stay together, what is judged was not seen, and the same comes out again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.strategies.asking import KEY, tiny_backend, tiny_loaded
from whetstone.engine.protocol import SamplingParams
from whetstone.engine.samples import Pool, SampleFile
from whetstone.engine.verifiers.states import SAID, Pooled, look
from whetstone.errors import WorkFailed
from whetstone.tasks.keys import Stream
from whetstone.tasks.registry import load_task
from whetstone.training import verifier
from whetstone.training.verifier import QUARTERS, Rows

WIDTH = 8


def rows(problems: int = 80, samples: int = 4, strength: float = 2.0, seed: int = 0) -> Rows:
    """States of which one direction says what is right, and a problem's own offset, which says how easy it is."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(problems), samples)
    states = generator.normal(size=(problems * samples, WIDTH)) + generator.normal(size=(problems, WIDTH))[group]
    count = len(group)
    chance = 1 / (1 + np.exp(-strength * states[:, 0]))
    return Rows(
        {
            1: Pooled(
                generator.normal(size=states.shape), states.astype(np.float32), np.zeros((count, SAID), np.float32)
            )
        },
        (generator.random(count) < chance).astype(float),
        np.ones(count),
        np.arange(count),
        group,
        group,
        np.ones(count, dtype=bool),
        np.ones(count, dtype=bool),
    )


def test_folds_find_the_states_that_tell() -> None:
    head, chosen = verifier.final(rows())
    assert (chosen.pooling, chosen.layer) == ("mean", 1) and chosen.loss < 0.6
    assert np.abs(head.weight_F).argmax() == 0
    again, _ = verifier.final(rows())
    assert np.array_equal(head.weight_F, again.weight_F) and head.whole == again.whole


def test_probabilities_are_calibrated_on_the_whole() -> None:
    made = rows(problems=1200)
    judged = verifier.rotated(made, shuffles=1)
    for low in np.arange(0, 1, 0.2):
        inside = (judged.probability_M >= low) & (judged.probability_M < low + 0.2)
        assert judged.probability_M[inside].mean() == pytest.approx(made.right_M[inside].mean(), abs=0.05)


def test_a_judged_problem_was_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a quarter's answers turn out to be changes nothing about what is said of them."""
    made = rows()
    plain = verifier.rotated(made, shuffles=2)
    turned = rows()
    here = turned.quarter_M == 2
    turned.right_M[here] = 1 - turned.right_M[here]
    again = verifier.rotated(turned, shuffles=2)
    assert np.array_equal(plain.probability_M[here], again.probability_M[here])
    assert np.array_equal(plain.control_KM[:, here], again.control_KM[:, here])
    assert not np.array_equal(plain.probability_M[~here], again.probability_M[~here])


def test_too_little_to_learn_from_is_said() -> None:
    made = rows()
    made.right_M[:] = 1
    made.right_M[:3] = 0
    with pytest.raises(WorkFailed, match="237 of 240 training answers are right, and at least 8 right and 8 wrong"):
        verifier.final(made)


def test_rollouts_become_rows(tmp_path: Path) -> None:
    """Labels are the task's verdicts, siblings share a quarter, cuts carry the outcome of their whole answer."""
    loaded, backend, task = tiny_loaded(), tiny_backend(), load_task("fiction")
    problems = Stream(task, KEY, "train", 1).take(16)
    params = SamplingParams(4, 1.0, backend.stop_ids | {40, 50, 60})  # many short answers, some of one token
    style = task.styles()["only"]
    pool = Pool(backend.sampler, "tiny", SampleFile(tmp_path / "samples.sqlite"))
    drawn, spent = verifier.draw_rollouts(backend, pool, task, style, problems, 3, KEY, params)
    assert pool.drawn == 48
    verifier.draw_rollouts(backend, pool, task, style, problems, 3, KEY, params)
    assert pool.drawn == 48, "an interruption costs no answers"
    assert spent.written_tokens == sum(each.completion.length for one in drawn for each in one.candidates)
    for each in drawn:
        judged = [task.check(each.problem, candidate.text) for candidate in each.candidates]
        assert each.right == tuple(verdict == "right" for verdict in judged)
    made, spent = verifier.rows_of(loaded, drawn, [1, 2], cuts=2)
    assert spent.verifier_tokens > 0 and spent.flops > 0
    assert made.whole_M.sum() == 48
    for source in set(made.source_M.tolist()):
        assert len(set(made.group_M[made.source_M == source].tolist())) == 4
    assert len(set(made.quarter_M.tolist())) == QUARTERS == len({problem.cluster for problem in problems})
    answers = [(one, member) for one in drawn for member in range(3)]
    for sample, (one, member) in enumerate(answers):
        here = np.flatnonzero(made.sample_M == sample)
        assert made.whole_M[here].tolist() == [False] * (len(here) - 1) + [True]
        assert made.weight_M[here].sum() == pytest.approx(2 if len(here) > 1 else 1)
        assert set(made.right_M[here]) == {float(one.right[member])}
        written = verifier.as_written(one.candidates[member])
        alone = look(loaded, [written], [2]).layers[2]
        np.testing.assert_allclose(made.layers[2].mean_MD[here[-1]], alone.mean_MD[0], atol=1e-4)
    assert verifier.depths(loaded) == [1, 2]
