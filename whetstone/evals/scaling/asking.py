"""Who is asked what, and who judges: the model with its pool, the questions, the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whetstone.engine.backends import Backend
from whetstone.engine.prices import Hourly
from whetstone.engine.protocol import Completion
from whetstone.engine.remote.usage import Prices
from whetstone.engine.rollout import UNANSWERED, Judge, require_room
from whetstone.engine.strategies.names import Tools
from whetstone.engine.strategies.questions import question_of
from whetstone.engine.strategies.run import Outcome
from whetstone.engine.strategies.strategy import Question
from whetstone.evals.evaluate import Asked
from whetstone.evals.scaling.pool import SharedPool
from whetstone.models.config import ModelConfig
from whetstone.tasks.task import Problem, PromptStyle, Task, Verdict

Show = Callable[[int, str], None]  # units of work that are done now, a few words


@dataclass(frozen=True)
class Asker:
    """A model that can be asked: its backend and pool, its shape where it is known (for FLOPs), what an hour or a token
    of it costs, and the tools of its strategies."""

    backend: Backend
    pool: SharedPool
    config: ModelConfig | None
    tools: Tools
    price: Prices | Hourly | None = None


class Judging:
    """Verdicts of one problem's texts, each text judged once."""

    def __init__(self, asked: Asked) -> None:
        self.judge = Judge(asked.task)
        self.known: dict[tuple[str, str], Verdict] = {}

    def __call__(self, problem: Problem, text: str) -> Verdict:
        key = problem.id, text
        if key not in self.known:
            self.known[key] = self.judge(problem, text)
        return self.known[key]

    def completion(self, problem: Problem, completion: Completion, text: str) -> Verdict:
        """The verdict on what came back; what never came is not judged."""
        return UNANSWERED[completion.finish] if completion.finish in UNANSWERED else self(problem, text)

    def outcome(self, problem: Problem, outcome: Outcome) -> Verdict:
        """The verdict on what a strategy chose."""
        choice = outcome.choice
        if choice.answer is None and choice.of and choice.of[0].completion.finish in UNANSWERED:
            return UNANSWERED[choice.of[0].completion.finish]
        return self(problem, choice.text)


def questions_of(asked: Asked) -> list[Question]:
    """The problems in the style asked for; other wordings that need no more room stand behind it, for ensembles."""
    others = [
        style
        for style in asked.task.styles().values()
        if style != asked.style and not style.withholds and style.reasoning <= asked.style.reasoning
    ]
    styles: list[PromptStyle] = [asked.style, *others]
    return [question_of(asked.task, problem, styles, asked.key) for problem in asked.problems]


def require_room_for(questions: Sequence[Question], task: Task, backend: Backend) -> None:
    """Raises PromptTooLong where a prompt and its answer are more than the model takes."""
    if backend.tokenizer is None:
        return
    for question in questions:
        prompt = len(backend.tokenizer.chat_ids(list(question.prompts[0])))
        require_room(task, prompt, question.room, backend.positions)
