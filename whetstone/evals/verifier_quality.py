"""Makes a learned verifier and says how good it is, on problems that it was not made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import SamplingParams
from whetstone.engine.samples import Pool
from whetstone.engine.selection import Selection, select
from whetstone.engine.strategies.spending import Spent
from whetstone.engine.strategies.strategy import Verifier
from whetstone.engine.verifiers.certainty import Certainty, Likelihood
from whetstone.engine.verifiers.head import Head, HeadVerifier
from whetstone.evals.statistics import (
    accuracy_interval,
    auc_by_problem,
    auc_overall,
    compare,
    mean_interval,
    reliability,
)
from whetstone.models.loading import Loaded
from whetstone.runs.progress import Progress, Stage
from whetstone.tasks.keys import Key, Stream, commitment
from whetstone.tasks.task import PromptStyle, Task
from whetstone.training import verifier as training
from whetstone.training.verifier import Chosen, Judged, Rollouts, Rows

PROBLEMS, SAMPLES = 200, 8
SHUFFLES = 20  # the real outcomes among 21 orders: to beat all the others by chance happens once in 21
LEVEL = 0.05

Floats = NDArray[np.float64]


def make_verifier(
    loaded: Loaded,
    backend: Backend,
    pool: Pool,
    task: Task,
    level: int,
    key: bytes,
    out: Path,
    progress: Progress,
    problems: int = PROBLEMS,
    samples: int = SAMPLES,
    style: PromptStyle | None = None,
    temperature: float = 1.0,
) -> tuple[HeadVerifier, dict[str, Any]]:
    """A head for `loaded` on `task`, written to the folder `out` (replaced if there), and its quality as JSON values
    (`quality`), which stands in the folder's head.json, too.

    `backend` and `pool` draw from the same model, what the pool's file has is not drawn again; `key` is a training key,
    the problems are the training split's. Use it by `Tools({"head": head})`; from disk: `HeadVerifier.load(out,
    loaded)`, with the quality in `.about["quality"]`.

    Raises UsageError for a task without that many problems, WorkFailed where right or wrong answers are too few.
    """
    own = Key.derive(key, "verifier")
    style = next(iter(task.styles().values())) if style is None else style
    drawn = Stream(task, own, "train", level).take(problems, distinct=True)
    # with what certainty needs, to be compared with it
    params = SamplingParams(style.room(task), temperature, backend.stop_ids, **Certainty().params_needed)
    with progress.stage("verifier's answers", problems * samples) as stage:
        rollouts, drawing = training.draw_rollouts(
            backend, pool, task, style, drawn, samples, own, params, _shown_by(stage), loaded.model.config
        )
    head, chosen, judged, rows, looking = _trained(loaded, rollouts, progress)
    measured = {
        "task": task.name,
        "task_version": task.version,
        "level": level,
        "style": style.name,
        "temperature": temperature,
        "problems": problems,
        "samples": samples,
        "key": commitment(own),
        "layers": loaded.model.config.layers,
        "chosen": vars(chosen),
        "spent": vars(drawing + looking),
        **quality(judged, rows, rollouts),
    }
    verifier = HeadVerifier(loaded, head, {"quality": measured})
    verifier.save(out)
    return verifier, measured


def _trained(
    loaded: Loaded, rollouts: Sequence[Rollouts], progress: Progress
) -> tuple[Head, Chosen, Judged, Rows, Spent]:
    with progress.stage("verifier's states", sum(len(each.candidates) for each in rollouts)) as stage:
        rows, spent = training.rows_of(loaded, rollouts, training.depths(loaded), training.CUTS, _shown_by(stage))
    with progress.stage("verifier's training", training.QUARTERS + 1) as stage:
        judged = training.rotated(rows, SHUFFLES, progress=_shown_by(stage))
        head, chosen = training.final(rows)
        stage.advance()
    return head, chosen, judged, rows, spent


def quality(judged: Judged, rows: Rows, rollouts: Sequence[Rollouts]) -> dict[str, Any]:
    """How good such heads are: `judged` says what heads made of the `rows` that they had not seen, `rollouts` are what
    the rows were made from. Every number is of answers as they came, but for "prefixes", which were cut.

    {answers, right, mixed, auc_within: {head, certainty, likelihood}, auc_overall: the same, differences:
    {certainty, likelihood}: head minus that one, within problems, control: {shuffles, mean, highest, p}, brier: {head,
    base_rate}, calibration, prefixes, best_of: accuracy of choosing by each, gains: {majority, certainty}: choosing by
    the head minus that, words}. Areas within problems are over the answers that can be chosen: those that say
    something at all; telling silence from an answer takes no verifier.
    """
    whole = rows.whole_M
    scores = {"head": judged.probability_M[whole]} | _others(rollouts)
    right_N, problem_N, source_N = rows.right_M[whole], rows.group_M[whole], rows.source_M[whole].tolist()
    answering_N = np.array([each.answer is not None for one in rollouts for each in one.candidates])

    def areas(scores_N: Floats) -> dict[Any, float]:
        return auc_by_problem(scores_N[answering_N], right_N[answering_N], problem_N[answering_N].tolist())

    mixed = areas(scores["head"])
    sources = [rollouts[problem].source for problem in mixed]
    both = 0 < right_N.sum() < len(right_N)
    found: dict[str, Any] = {
        "answers": len(right_N),
        "right": accuracy_interval(right_N, source_N).to_dict(),
        "mixed": len(mixed),
        "auc_within": {name: _mean_area(areas(s), rollouts) for name, s in scores.items()},
        "auc_overall": {
            name: auc_overall(s, right_N, source_N).to_dict() if both else None for name, s in scores.items()
        },
        "differences": {
            name: compare(list(areas(s).values()), list(mixed.values()), sources)
            for name, s in scores.items()
            if name != "head" and mixed
        },
        "control": _control(mixed, [areas(logits_M[whole]) for logits_M in judged.control_KM]),
        "brier": _brier(scores["head"], right_N, source_N),
        "calibration": reliability(scores["head"], right_N, source_N).to_dict(),
        "prefixes": _prefixes(judged.probability_M, rows, rollouts),
    }
    found |= _choosing(scores, rollouts)
    return found | {"words": words(found)}


def _mean_area(areas: dict[Any, float], rollouts: Sequence[Rollouts]) -> dict[str, Any] | None:
    """Over problems (places in `rollouts`), every one counting alike; None where there is none."""
    sources = [rollouts[problem].source for problem in areas]
    return accuracy_interval(list(areas.values()), sources).to_dict() if areas else None


def _others(rollouts: Sequence[Rollouts]) -> dict[str, Floats]:
    """Scores of the verifiers that cost nothing; certainty only where the backend gave the likeliest tokens."""
    candidates = [each for one in rollouts for each in one.candidates]
    verifiers: list[Verifier] = [Likelihood()]
    if all(each.completion.top or not each.completion.length for each in candidates):
        verifiers.insert(0, Certainty())
    return {verifier.name: np.array(verifier.score(candidates).values) for verifier in verifiers}


def _control(real: dict[Any, float], shuffled: Sequence[dict[Any, float]]) -> dict[str, Any] | None:
    """Heads taught shuffled outcomes beside the real one: p is the share of all that do as well (Phipson and Smyth)."""
    if not real or not shuffled:
        return None
    mean = float(np.mean(list(real.values())))
    others = [float(np.mean(list(areas.values()))) for areas in shuffled]
    beaten_by = sum(other >= mean for other in others)
    return {
        "shuffles": len(others),
        "mean": float(np.mean(others)),
        "highest": max(others),
        "p": (1 + beaten_by) / (1 + len(others)),
    }


def _brier(probability_N: Floats, right_N: Floats, clusters: list[int]) -> dict[str, Any]:
    """Mean squared error of the probabilities; `base_rate`: of saying to every answer what share is right."""
    plain_N = (right_N - right_N.mean()) ** 2
    return {
        "head": mean_interval((right_N - probability_N) ** 2, clusters).to_dict(),
        "base_rate": mean_interval(plain_N, clusters).to_dict(),
    }


def _prefixes(probability_M: Floats, rows: Rows, rollouts: Sequence[Rollouts]) -> dict[str, Any] | None:
    """Answers cut at random places: whether the head knows already what becomes of them."""
    cut = ~rows.whole_M
    right_N = rows.right_M[cut]
    if not 0 < right_N.sum() < len(right_N):
        return None
    return {
        "answers": len(right_N),
        "auc_within": _mean_area(auc_by_problem(probability_M[cut], right_N, rows.group_M[cut].tolist()), rollouts),
        "brier": _brier(probability_M[cut], right_N, rows.source_M[cut].tolist()),
    }


def _choosing(scores: dict[str, Floats], rollouts: Sequence[Rollouts]) -> dict[str, Any]:
    """What each way of choosing among the same answers makes of them: accuracy over problems."""
    first = np.concatenate([[0], np.cumsum([len(each.candidates) for each in rollouts])])

    def chosen(how: Selection, name: str = "") -> list[float]:
        right = []
        for place, each in enumerate(rollouts):
            own = scores[name][first[place] : first[place + 1]].tolist() if name else []
            taken = select(how, [one.answer for one in each.candidates], own)
            right.append(float(taken is not None and each.right[taken]))
        return right

    ways: dict[str, list[float]] = {
        "any one": [float(np.mean(each.right)) for each in rollouts],
        "majority": chosen("majority"),
        **{f"best by {name}": chosen("best", name) for name in scores},
        **{f"weighted by {name}": chosen("weighted", name) for name in scores},
        "whichever is right": [float(any(each.right)) for each in rollouts],
    }
    clusters = [each.source for each in rollouts]
    rivals = [name for name in ("majority", "best by certainty", "best by likelihood") if name in ways]
    return {
        "best_of": {name: accuracy_interval(right, clusters).to_dict() for name, right in ways.items()},
        "gains": {name: compare(ways[name], ways["best by head"], clusters) for name in rivals},
    }


def words(found: dict[str, Any]) -> list[str]:
    """What may be said, in sentences."""
    control, area = found["control"], found["auc_within"]["head"]
    if control is None:
        return [
            "Whether the verifier knows anything cannot be told: no problem of the test had right and wrong answers."
        ]
    said = (
        f"Of a right and a wrong answer to the same question the verifier prefers the right one in {_percent(area)} "
        f"({found['mixed']} questions)"
    )
    if control["p"] >= LEVEL or area["low"] <= 0.5:
        lines = [f"{said}: no better than chance."]
    else:
        lines = [f"{said}; verifiers taught shuffled outcomes in {100 * control['mean']:.0f} %."]
    for name, difference in found["differences"].items():
        word = {"gain": "better than", "loss": "worse than"}.get(difference["verdict"], "not distinguishable from")
        lines.append(f"Within questions it is {word} the model's own {name} ({_percent(found['auc_within'][name])}).")
    for name, gain in found["gains"].items():
        word = {"gain": "gains on", "loss": "loses to"}.get(gain["verdict"], "cannot be told from")
        better, worse = found["best_of"]["best by head"], found["best_of"][name]
        lines.append(f"Choosing by it {word} {name}: {_percent(better)} against {_percent(worse)} right.")
    ece, limit = found["calibration"]["ece"]["mean"], found["calibration"]["ece_if_calibrated"]
    held = "no more than calibrated ones would show" if ece <= limit else "more than calibrated ones would show"
    return [*lines, f"Its probabilities are off by {100 * ece:.1f} points on average, {held} ({100 * limit:.1f})."]


def _percent(interval: dict[str, float]) -> str:
    return f"{100 * interval['mean']:.0f} % [{100 * interval['low']:.0f}, {100 * interval['high']:.0f}]"


def _shown_by(stage: Stage) -> Callable[[int, int], None]:
    """A callback that brings `stage` to where it is told that the work is."""

    def show(done: int, _wanted: int) -> None:
        stage.advance(done - stage.done)

    return show
