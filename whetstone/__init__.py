"""Whetstone: sharpen small language models on hardware you own, and know the gain is real.

    import whetstone as wh

The names below are the library's front door; each is imported when it is first used, so that a task file, which needs
only the first few, does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whetstone.engine.backends import Source
    from whetstone.engine.engine import Engine
    from whetstone.engine.generate import Answer, sample
    from whetstone.engine.protocol import Completion, Request, Sampler, SamplingParams
    from whetstone.engine.remote.endpoint import Endpoint
    from whetstone.errors import UsageError, WorkFailed
    from whetstone.evals.evaluate import evaluate
    from whetstone.evals.rounds.round import Round
    from whetstone.evals.scaling.scale import scale
    from whetstone.models.loading import load
    from whetstone.runs.directory import RunDirectory
    from whetstone.serving.start import serve
    from whetstone.sharpen.pipeline import resume, sharpen
    from whetstone.sharpen.run import Run
    from whetstone.tasks.answers import judge_fraction, judge_integer, judge_integers, judge_text, judge_words
    from whetstone.tasks.registry import load_task
    from whetstone.tasks.symbolic import judge_symbolic
    from whetstone.tasks.task import Problem, PromptStyle, Task, Verdict

_HOME = {
    "Task": "tasks.task",
    "Problem": "tasks.task",
    "Verdict": "tasks.task",
    "PromptStyle": "tasks.task",
    "judge_integer": "tasks.answers",
    "judge_fraction": "tasks.answers",
    "judge_integers": "tasks.answers",
    "judge_words": "tasks.answers",
    "judge_text": "tasks.answers",
    "judge_symbolic": "tasks.symbolic",
    "load_task": "tasks.registry",
    "load": "models.loading",
    "Engine": "engine.engine",
    "Endpoint": "engine.remote.endpoint",
    "Source": "engine.backends",
    "Sampler": "engine.protocol",
    "Request": "engine.protocol",
    "SamplingParams": "engine.protocol",
    "Completion": "engine.protocol",
    "sample": "engine.generate",
    "Answer": "engine.generate",
    "evaluate": "evals.evaluate",
    "scale": "evals.scaling.scale",
    "Round": "evals.rounds.round",
    "sharpen": "sharpen.pipeline",
    "resume": "sharpen.pipeline",
    "Run": "sharpen.run",
    "serve": "serving.start",
    "RunDirectory": "runs.directory",
    "UsageError": "errors",
    "WorkFailed": "errors",
}

__all__ = [  # noqa: RUF022 (in the order in which a reader meets them)
    "Task",
    "Problem",
    "Verdict",
    "PromptStyle",
    "judge_integer",
    "judge_fraction",
    "judge_integers",
    "judge_words",
    "judge_text",
    "judge_symbolic",
    "load_task",
    "load",
    "sample",
    "Answer",
    "Engine",
    "Endpoint",
    "Source",
    "Sampler",
    "Request",
    "SamplingParams",
    "Completion",
    "evaluate",
    "scale",
    "Round",
    "sharpen",
    "resume",
    "Run",
    "serve",
    "RunDirectory",
    "UsageError",
    "WorkFailed",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'whetstone' has no attribute {name!r}")
    return getattr(import_module(f"whetstone.{_HOME[name]}"), name)
