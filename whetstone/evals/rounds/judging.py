"""After the reveal: verdicts on the logged answers, and decisions on single problems for all entrants alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from whetstone.engine.rollout import UNANSWERED, Judge
from whetstone.errors import UsageError
from whetstone.evals.rounds.chain import Record
from whetstone.evals.rounds.draw import Item
from whetstone.tasks.task import Task, Verdict, read_answer

ACTIONS = ("keep", "drop", "accept", "reject")


def judge_answers(
    items: Sequence[Item], tasks: Sequence[Task], records: Sequence[Record], advance: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """The verdict on every answer of one entrant, in the log's order. `tasks`: one per part.

    Raises UsageError when the log is not of these items, WorkFailed when a task's check is broken.
    """
    judges = [Judge(task) for task in tasks]
    judged = []
    for item, record in zip(items, records, strict=True):
        if record["id"] != item.problem.id:
            raise UsageError(f"answer {item.place} is to another problem than the round's")
        verdicts = [_verdict(judges[item.part], item, answer).value for answer in record["answers"]]
        judged.append({"place": item.place, "id": item.problem.id, "verdicts": verdicts})
        advance()
    return judged


def _verdict(judge: Judge, item: Item, answer: dict[str, Any]) -> Verdict:
    finish = answer["finish"]
    return UNANSWERED[finish] if finish in UNANSWERED else judge(item.problem, answer["text"])


@dataclass(frozen=True)
class Decision:
    """What was decided on one problem, of which nobody's name was shown. `text`: the answer that `accept` or `reject`
    is about, whoever gave it."""

    place: int
    action: str
    reason: str
    text: str = ""


def decisions(log: Iterable[Record]) -> list[Decision]:
    """Those in the log, in its order."""
    return [
        Decision(record["place"], record["action"], record["reason"], record["text"])
        for record in log
        if record["event"] == "decision"
    ]


def rulings(decided: Sequence[Decision], items: Sequence[Item], tasks: Sequence[Task]) -> Rulings:
    """The decisions in force. A later one on the same problem (and answer) replaces an earlier one."""
    dropped: set[int] = set()
    answers: dict[tuple[int, str], Verdict] = {}
    for decision in decided:
        item = items[decision.place]
        if decision.action == "drop":
            dropped.add(decision.place)
        elif decision.action == "keep":
            dropped.discard(decision.place)
        else:
            form = form_of(tasks[item.part], decision.text)
            answers[decision.place, form] = Verdict.RIGHT if decision.action == "accept" else Verdict.WRONG
    return Rulings(frozenset(dropped), answers)


def form_of(task: Task, text: str) -> str:
    """What two answers must share to be decided alike: what the task reads from them, else the bare text."""
    return read_answer(task, text) or " ".join(text.split())


@dataclass(frozen=True)
class Rulings:
    """Which problems left the round, and which answers to a problem count otherwise than they were judged."""

    dropped: frozenset[int]
    answers: dict[tuple[int, str], Verdict]

    def verdicts(self, item: Item, task: Task, texts: Sequence[str], judged: Sequence[str]) -> list[str]:
        """The verdicts after the decisions."""
        if not any(place == item.place for place, _ in self.answers):
            return list(judged)
        return [
            str(self.answers.get((item.place, form_of(task, text)), verdict))
            for text, verdict in zip(texts, judged, strict=True)
        ]
