"""Can a task's judge be fooled: the bank of hostile answers (tasks.adversarial) against fresh problems of one task."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from whetstone.errors import UsageError
from whetstone.tasks.adversarial import attack, bank
from whetstone.tasks.files.task import FixedItems
from whetstone.tasks.keys import Stream
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import Problem, Task

PROBLEMS = 5  # a problem takes seconds
EXAMPLES = 5  # findings shown of each kind

Progress = Callable[[int, int], None]  # problems done, problems in all


def audit_judge(
    task_spec: str, level: int | None = None, n: int = PROBLEMS, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """What the judge of a task says to answers that are not right, for `n` fresh problems of one level.

    Returns {task, level, problems, answers, knows_answer, found, findings, seconds}: `answers` were tried in all;
    `knows_answer` is false for a task without `answer`, whose bank is smaller; `findings` is a list of {kind, trouble,
    count, examples}, the most frequent first, where trouble is "right", "error", "timeout" or "slow", and an example is
    {text, verdict, seconds, problem, question, gold}; `found` is the sum of their counts. A finding of "right" is a
    fault of the judge unless the task takes several forms on purpose. Raises UsageError for an unknown task or level,
    for n below 1 and for a task that wants to run code.
    """
    if n < 1:
        raise UsageError(f"--n must be at least 1, not {n}")
    task = load_task(task_spec)
    chosen = task.default_level if level is None else level
    if level is not None or not isinstance(task, FixedItems):  # a file has no levels; it says so when one is named
        task.require_level(chosen)
    started = time.perf_counter()
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    answers, problems, known = 0, fresh_problems(task, chosen, n), True
    for done, problem in enumerate(problems, 1):
        gold = task.answer(problem)
        known = known and gold is not None
        answers += len(bank(task, problem))
        for finding in attack(task, problem):
            empty = {"kind": finding.kind, "trouble": finding.trouble, "count": 0, "examples": []}
            group = groups.setdefault((finding.kind, finding.trouble), empty)
            group["count"] += 1
            if len(group["examples"]) < EXAMPLES:
                example = asdict(finding) | {"verdict": finding.verdict.value}
                about = {"problem": problem.id, "question": problem.question[:400], "gold": gold}
                group["examples"].append({name: example[name] for name in ("text", "verdict", "seconds")} | about)
        progress(done, len(problems))
    findings = sorted(groups.values(), key=lambda group: (-group["count"], group["kind"], group["trouble"]))
    return {
        "task": task.name,
        "level": chosen,
        "problems": len(problems),
        "answers": answers,
        "knows_answer": known,
        "found": sum(group["count"] for group in findings),
        "findings": findings,
        "seconds": time.perf_counter() - started,
    }


def fresh_problems(task: Task, level: int, n: int) -> list[Problem]:
    """`n` different problems under a key that is thrown away; for a file of items, so many of its items."""
    key = secrets.token_bytes(32)
    if isinstance(task, FixedItems):
        return task.draw(n, key).problems
    return Stream(task, key, "train", level).take(n, distinct=True)
