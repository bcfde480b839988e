"""Measure one model on one task: the function behind `whet eval` and `whetstone.evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whetstone.engine.backends import Source
from whetstone.engine.rollout import Questioner
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals import choices
from whetstone.evals.looks import count_look
from whetstone.evals.measure import Measurement, measure_greedy, measure_sampled
from whetstone.evals.statistics import accuracy_interval
from whetstone.runs.progress import Progress, Stage
from whetstone.tasks.files.task import FIXED, LIKELIHOOD, ChoiceFile, FixedItems
from whetstone.tasks.keys import DEFAULT_SEED, SHARED_SEED, Key, Stream, commitment
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import Problem, PromptStyle, Task

DEFAULT_STYLE = "only"


@dataclass(frozen=True)
class Asked:
    """The problems of one evaluation and how they are put."""

    task: Task
    level: int
    style: PromptStyle
    problems: list[Problem]
    key: bytes
    facts: dict[str, Any]  # what the result says about where the problems come from


def evaluate(
    model: str | Source,
    task: str,
    *,
    level: int | None = None,
    n: int = 500,
    samples: int = 1,
    style: str | None = None,
    seed: int = DEFAULT_SEED,
    temperature: float | None = None,
    device: str = "cpu",
    rows: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ask `n` different problems of the evaluation split: `samples` answers each, at `temperature`.

    Without a temperature a single answer is greedy and several are drawn at 1. `model`: a name, or a `Source` for an
    endpoint or vLLM, which brings its own device. `style`: "only", and for a file of choices "likelihood", where none
    is named.

    Returns {model, task, task_version, looks, level, style, temperature, accuracy {mean, low, high, n}, verdicts,
    tokens_per_answer, truncated, seed, seed_shared, seed_note, key}, with `pass_at_k` rows when several samples were
    drawn, and `backend` {kind, model, usage, failures, cost, …} for an endpoint; `seed_note` says in words that these
    are everybody's problems, and is None for a seed of one's own; `looks` {weights, task} counts the measurements so
    far in this machine's history (`evals.history`), None where it cannot be written. Of a file's items it returns
    `file` {name, sha256, shape, items, repeated, note} and no level; of choices by likelihood `accuracy_normalised`,
    and nothing about answers. With `rows`, `rows` holds one JSON object for each answer (for likelihoods: for each
    problem).

    Raises UsageError for an unknown model, task, level or style, and for several answers at temperature 0; WorkFailed
    when an endpoint never answers.
    """
    source = model if isinstance(model, Source) else Source(model, device=device)
    warmth = temperature if temperature is not None else 0.0 if samples == 1 else 1.0
    if samples > 1 and warmth == 0:
        raise UsageError("several greedy answers are all the same: ask for one, or give a temperature above 0")
    asked = asked_of(load_task(task), level, n, style, seed)
    shown = progress or Progress()
    if isinstance(asked.task, ChoiceFile) and asked.style.name == LIKELIHOOD:
        if samples > 1 or warmth != 0:
            raise UsageError("a likelihood is not sampled: leave out --samples and --temperature, or choose --style")
        result, listed = _likelihoods(source, asked.task, asked, shown)
    else:
        result, listed = _answers(source, asked, samples, warmth, shown)
    about = {"model": source.model, "task": asked.task.name, "task_version": asked.task.version}
    result = about | result
    return result | {"looks": count_look(source, result, shown)} | ({"rows": listed} if rows else {})


def asked_of(task: Task, level: int | None, n: int, style: str | None, seed: int) -> Asked:
    """The problems that `whet eval` asks for these options. Raises UsageError for a level, style or number that cannot
    be."""
    styles = task.styles()
    name = style or (LIKELIHOOD if isinstance(task, ChoiceFile) else DEFAULT_STYLE)
    if name not in styles:
        raise UsageError(f"unknown style {name!r}; choose one of {', '.join(styles)}")
    key = Key.derive(str(seed).encode(), "whetstone eval")
    shared = seed == DEFAULT_SEED and not isinstance(task, FixedItems)
    facts: dict[str, Any] = {"seed": seed, "seed_shared": shared, "seed_note": SHARED_SEED if shared else None}
    facts["key"] = commitment(key)
    if not isinstance(task, FixedItems):
        chosen = task.default_level if level is None else level
        return Asked(task, chosen, styles[name], Stream(task, key, "eval", chosen).take(n, distinct=True), key, facts)
    if level is not None:
        raise UsageError(f"{task.path} holds fixed items, which have no level: leave out --level")
    drawn = task.draw(n, key)
    facts["file"] = {
        "name": str(task.path),
        "sha256": task.sha256,
        "shape": task.columns.shape.value,
        "items": drawn.total,
        "repeated": drawn.repeated,
        "note": FIXED,
    }
    return Asked(task, 1, styles[name], drawn.problems, key, facts)


Outcome = tuple[dict[str, Any], list[dict[str, Any]]]


def _likelihoods(source: Source, task: ChoiceFile, asked: Asked, progress: Progress) -> Outcome:
    loaded = source.weights()
    wanted = sum(len(problem.facts["choices"]) for problem in asked.problems)
    with progress.stage("choices", wanted) as stage:
        scored = choices.score_choices(loaded, task, asked.problems, _shown_by(stage))
    raw, normalised = choices.accuracies(scored)
    result = {"style": asked.style.name, "accuracy": raw.to_dict(), "accuracy_normalised": normalised.to_dict()}
    return result | {"verdicts": choices.verdicts(scored)} | asked.facts, choices.rows(scored)


def _answers(source: Source, asked: Asked, samples: int, warmth: float, progress: Progress) -> Outcome:
    backend = source.open()
    questioner = Questioner(backend.sampler, backend.tokenizer, asked.task, asked.style, positions=backend.positions)
    room, wanted = asked.style.room(asked.task), len(asked.problems) * samples
    with progress.stage("answers", wanted) as stage:
        if warmth == 0:
            measured = measure_greedy(questioner, asked.problems, room, _shown_by(stage))
        else:
            show = _shown_by(stage)
            measured = measure_sampled(questioner, asked.problems, samples, room, asked.key, show, warmth)
    level = {} if isinstance(asked.task, FixedItems) else {"level": asked.level}
    result: dict[str, Any] = {**level, "style": asked.style.name, "temperature": warmth}
    result |= _accuracy(measured)
    if facts := backend.facts():
        result["backend"] = facts
        if unanswered(facts) == wanted:
            raise WorkFailed(f"not one of {wanted} requests was answered, the last for this: {facts['last_failure']}")
    result |= {
        "verdicts": measured.mix(),
        "tokens_per_answer": measured.tokens_per_answer(),
        "truncated": measured.truncated_share(),
    }
    return result | asked.facts, answer_rows(asked.task, asked.style, asked.problems, measured)


def answer_rows(
    task: Task, style: PromptStyle, problems: Sequence[Problem], measured: Measurement
) -> list[dict[str, Any]]:
    """One JSON object for each answer. `target`: a right answer where the task gives one, else None."""
    return [
        {
            "id": problem.id,
            **({"row": problem.facts["row"]} if isinstance(task, FixedItems) else {}),
            "sample": member,
            "question": problem.question,
            "messages": style.messages(task, problem),
            "target": task.answer(problem),
            "answer": text,
            "verdict": verdict,
            "tokens": tokens,
            "truncated": truncated,
        }
        for problem, *answers in zip(
            problems, measured.texts, measured.verdicts, measured.tokens, measured.truncated, strict=True
        )
        for member, (text, verdict, tokens, truncated) in enumerate(zip(*answers, strict=True))
    ]


def _shown_by(stage: Stage) -> Callable[[int, int], None]:
    def show(done: int, _wanted: int) -> None:
        stage.advance(done - stage.done)

    return show


def _accuracy(measured: Measurement) -> dict[str, Any]:
    """`accuracy`, and `pass_at_k` where there are several answers to a problem."""
    shares = [right / answers for answers, right in measured.counts]
    told: dict[str, Any] = {"accuracy": accuracy_interval(shares, measured.clusters).to_dict()}
    if (samples := measured.counts[0][0]) > 1:
        told["pass_at_k"] = measured.pass_at([k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256) if k <= samples])
    return told


def unanswered(facts: Mapping[str, Any]) -> int:
    """How many answers an endpoint failed to give, by the facts of its backend. A refusal is an answer."""
    return int(facts["failures"].get("error", 0) + facts["failures"].get("timeout", 0))
