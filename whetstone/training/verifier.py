"""Makes a learned verifier: rollouts on training problems, their outcomes as labels, a head fitted and calibrated.

Problems come from a training key's training split, never from an evaluation's. They are divided, whole problems at a
time, into quarters. Two of them make the weights (and, by folds, the choice of what to look at and how much to
penalise), the third the probabilities, and the fourth is only looked at: in rotation, so that every problem is judged
by a head that has not seen it. The head that is kept is made from three quarters and calibrated on the fourth.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Progress, SamplingParams
from whetstone.engine.rollout import UNANSWERED, Judge
from whetstone.engine.samples import Pool
from whetstone.engine.strategies.questions import question_of
from whetstone.engine.strategies.run import Account
from whetstone.engine.strategies.spending import Spent
from whetstone.engine.strategies.strategy import Candidate, candidate
from whetstone.engine.verifiers.head import Calibration, Head, as_written, ended_itself
from whetstone.engine.verifiers.states import POOLINGS, SAID, Pooled, look
from whetstone.errors import WorkFailed
from whetstone.models.config import ModelConfig
from whetstone.models.loading import Loaded
from whetstone.tasks.task import Problem, PromptStyle, Task, Verdict
from whetstone.training.logistic import EXACT, ROUGH, Floats, Linear, fit, log_loss, platt

QUARTERS = 4
CUTS = 2  # places where an answer is also looked at unfinished; together they weigh as much as the finished answer
FOLDS = 3
PENALTIES = (0.03, 0.1, 0.01, 0.003)  # the first one chooses layer and pooling
DEPTHS = (0.6, 1.0)  # shares of the model's blocks; a middle layer often knows more (docs/strategies.md)
STRETCH = 3.0  # of the log-probabilities' columns: three among hundreds, they would be penalised to nothing
FEWEST = 8  # right answers, and wrong ones, that training needs

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Rollouts:
    """One problem with everything that was answered to it, and what of it is right. `source`: what the problem was made
    from; problems of one source stay together."""

    problem: Problem
    source: bytes
    candidates: tuple[Candidate, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True)
class Rows:
    """Answers, finished and cut, as a head sees them; all [M]. sample: which answer; group: which problem; source: what
    the problem was made from; whole: not cut by us; ended: the model itself had ended."""

    layers: dict[int, Pooled]
    right_M: Floats
    weight_M: Floats
    sample_M: NDArray[np.int64]
    group_M: NDArray[np.int64]
    source_M: NDArray[np.int64]
    whole_M: Bools
    ended_M: Bools

    @property
    def quarter_M(self) -> NDArray[np.int64]:
        """0..3: which quarter of the sources a row belongs to."""
        return self.source_M % QUARTERS

    def of(self, pooling: str, layer: int) -> Floats:
        """Features [M, F]."""
        return self.layers[layer].pooled(pooling)

    def only(self, kept_M: Bools) -> Rows:
        """Some of the rows."""
        layers = {
            layer: Pooled(pooled.last_MD[kept_M], pooled.mean_MD[kept_M], pooled.said_MS[kept_M])
            for layer, pooled in self.layers.items()
        }
        rest = [getattr(self, each.name)[kept_M] for each in fields(self) if each.name != "layers"]
        return Rows(layers, *rest)


@dataclass(frozen=True)
class Chosen:
    """What the folds preferred, and their mean log loss on problems that they were not fitted on (nats)."""

    layer: int
    pooling: str
    l2: float
    loss: float


def draw_rollouts(
    backend: Backend,
    pool: Pool,
    task: Task,
    style: PromptStyle,
    problems: Sequence[Problem],
    samples: int,
    key: bytes,
    params: SamplingParams,
    progress: Progress | None = None,
    config: ModelConfig | None = None,
) -> tuple[list[Rollouts], Spent]:
    """`samples` answers to each problem, judged by the task, and what they cost (FLOPs where `config` is known). What
    the pool has is not drawn again.

    Raises WorkFailed when the task's check is broken, and what the sampler raises."""
    questions = [question_of(task, problem, [style], key) for problem in problems]
    seeds = range(samples)
    requests = [backend.request(list(q.prompts[0]), tuple(q.seed(member) for member in seeds)) for q in questions]
    verdict, found, spent = Judge(task), [], Spent()
    drawn = pool.sample(requests, params, progress)
    for problem, question, request, group in zip(problems, questions, requests, drawn, strict=True):
        account = Account(config)
        account.drawn(request, group)
        spent += account.spent
        candidates = tuple(candidate(question, backend, request, sample.completion) for sample in group)
        right = tuple(
            each.completion.finish not in UNANSWERED and verdict(problem, each.text) is Verdict.RIGHT
            for each in candidates
        )
        source = task.source(problem)
        found.append(Rollouts(problem, problem.id.encode() if source is None else source, candidates, right))
    return found, spent


def depths(loaded: Loaded) -> list[int]:
    """The layers that are tried."""
    return sorted({max(1, round(share * loaded.model.config.layers)) for share in DEPTHS})


def rows_of(
    loaded: Loaded, rollouts: Sequence[Rollouts], layers: Sequence[int], cuts: int, progress: Progress | None = None
) -> tuple[Rows, Spent]:
    """Every answer with `cuts` of its beginnings (fewer where it is short), which are drawn from the request's seed. A
    beginning counts as right when the whole answer is: it is how often one that begins so succeeds. With what looking
    cost."""
    written, right, weight, sample, group, source, whole, ended = [], [], [], [], [], [], [], []
    numbers, sources = itertools.count(), dict[bytes, int]()
    for place, each in enumerate(rollouts):
        for member, (answer, good) in enumerate(zip(each.candidates, each.right, strict=True)):
            plain = as_written(answer)
            inner = range(plain.start + 1, len(plain.ids))
            chooser = random.Random(answer.request.seeds[member])
            places = sorted(chooser.sample(inner, min(cuts, len(inner))))
            written.append(replace(plain, ends=(*places, len(plain.ids))))
            count = len(places)
            right += [float(good)] * (count + 1)
            weight += [1 / max(1, count)] * count + [1.0]
            sample += [next(numbers)] * (count + 1)
            group += [place] * (count + 1)
            source += [sources.setdefault(each.source, len(sources))] * (count + 1)
            whole += [False] * count + [True]
            ended += [False] * count + [ended_itself(answer, loaded)]
    began = time.perf_counter()
    looked = look(loaded, written, layers, progress)
    spent = Spent(verifier_tokens=looked.tokens, seconds=time.perf_counter() - began, flops=looked.flops)
    rows = Rows(
        looked.layers,
        np.array(right),
        np.array(weight),
        np.array(sample, dtype=np.int64),
        np.array(group, dtype=np.int64),
        np.array(source, dtype=np.int64),
        np.array(whole, dtype=bool),
        np.array(ended, dtype=bool),
    )
    return rows, spent


def choose(rows: Rows) -> Chosen:
    """First the layer and the pooling, then the penalty, whose heads do best, in `FOLDS` folds of whole sources, on
    whole answers that were left out (log loss; among equals the first). Raises WorkFailed for a fold without right
    answers."""
    looks = itertools.product(rows.layers, POOLINGS)
    first = min((_tried(rows, *each, PENALTIES[0]) for each in looks), key=lambda chosen: chosen.loss)
    others = [_tried(rows, first.layer, first.pooling, l2) for l2 in PENALTIES[1:]]
    return min([first, *others], key=lambda chosen: chosen.loss)


def _tried(rows: Rows, layer: int, pooling: str, l2: float) -> Chosen:
    fold_M = rows.source_M // QUARTERS % FOLDS
    features_MF = rows.of(pooling, layer)
    logits_M = np.zeros(len(features_MF))
    for fold in range(FOLDS):
        inside = fold_M != fold
        if not 0 < rows.right_M[inside].sum() < inside.sum():
            raise WorkFailed(_too_few(rows))
        linear = _fit(features_MF[inside], rows.right_M[inside], rows.weight_M[inside], l2, ROUGH)
        logits_M[~inside] = linear(features_MF[~inside])
    return Chosen(layer, pooling, l2, log_loss(logits_M[rows.whole_M], rows.right_M[rows.whole_M]))


def _fit(features_MF: Floats, right_M: Floats, weight_M: Floats, l2: float, tolerance: float = EXACT) -> Linear:
    stretch_F = np.ones(features_MF.shape[1])
    stretch_F[-SAID:] = STRETCH
    return fit(features_MF, right_M, weight_M, l2, stretch_F, tolerance)


def train(rows: Rows, calibration: Rows) -> tuple[Head, Chosen]:
    """A head fitted on the one and calibrated on the other. Raises WorkFailed where right or wrong answers are too few
    to learn from."""
    good, count = rows.right_M[rows.whole_M].sum(), rows.whole_M.sum()
    if min(good, count - good) < FEWEST:
        raise WorkFailed(_too_few(rows))
    chosen = choose(rows)
    linear = _fit(rows.of(chosen.pooling, chosen.layer), rows.right_M, rows.weight_M, chosen.l2)
    logits_M = linear(calibration.of(chosen.pooling, chosen.layer))
    whole, prefix = (
        Calibration(*platt(logits_M[mask], calibration.right_M[mask])) if mask.any() else Calibration(1.0, 0.0)
        for mask in (calibration.ended_M, ~calibration.ended_M)
    )
    return Head(linear.weight_F, linear.bias, chosen.layer, chosen.pooling, whole, prefix), chosen


def final(rows: Rows) -> tuple[Head, Chosen]:
    """The head to keep: made from three quarters, calibrated on the last."""
    last_M = rows.quarter_M == QUARTERS - 1
    return train(rows.only(~last_M), rows.only(last_M))


@dataclass(frozen=True)
class Judged:
    """What heads in rotation say of rows that they have not seen: probabilities [M]; and the control [K, M], logits of
    heads that learned from outcomes dealt out anew (comparable within a problem only: they have no common scale)."""

    probability_M: Floats
    control_KM: Floats


def rotated(rows: Rows, shuffles: int, seed: int = 0, progress: Progress | None = None) -> Judged:
    """Each quarter judged by a head that was fitted on two others and calibrated on the next. Raises WorkFailed as
    `train`; `progress` hears (quarters done, quarters)."""
    probability_M, control_KM = np.zeros(len(rows.right_M)), np.zeros((shuffles, len(rows.right_M)))
    for quarter in range(QUARTERS):
        test_M, next_M = rows.quarter_M == quarter, rows.quarter_M == (quarter + 1) % QUARTERS
        seen, test = rows.only(~test_M & ~next_M), rows.only(test_M)
        head, chosen = train(seen, rows.only(next_M))
        probability_M[test_M] = head.probabilities(test.layers[head.layer], test.ended_M)
        control_KM[:, test_M] = _shuffled_logits(seen, test, chosen, shuffles, seed)
        if progress is not None:
            progress(quarter + 1, QUARTERS)
    return Judged(probability_M, control_KM)


def _shuffled_logits(rows: Rows, test: Rows, chosen: Chosen, shuffles: int, seed: int) -> Floats:
    """Logits [shuffles, M of test] of heads fitted in the same way, the outcomes dealt out anew among the answers."""
    generator = np.random.default_rng(seed)
    features_MF, test_MF = (each.of(chosen.pooling, chosen.layer) for each in (rows, test))
    _, first, sample_M = np.unique(rows.sample_M, return_index=True, return_inverse=True)
    logits = []
    for _ in range(shuffles):
        dealt_M = generator.permutation(rows.right_M[first])[sample_M]
        logits.append(_fit(features_MF, dealt_M, rows.weight_M, chosen.l2, ROUGH)(test_MF))
    return np.array(logits)


def _too_few(rows: Rows) -> str:
    good, count = int(rows.right_M[rows.whole_M].sum()), int(rows.whole_M.sum())
    return (
        f"a verifier cannot be learned: {good} of {count} training answers are right, and at least {FEWEST} right and "
        f"{FEWEST} wrong ones are needed; take more problems or samples, another level, or another temperature"
    )
