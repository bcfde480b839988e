"""The page docs/tasks.md: every built-in task, what it asks, one example, and what a blind answer earns.

python -m whetstone.tasks.catalogue > docs/tasks.md
"""

from __future__ import annotations

import inspect
from collections import Counter

from whetstone.tasks.keys import Stream
from whetstone.tasks.registry import BUILTIN, load_task
from whetstone.tasks.task import Task

KEY = b"whetstone catalogue"
PROBLEMS = 1000  # of each level, for the shares

PAGE = """# The built-in tasks

*Made by `python -m whetstone.tasks.catalogue > docs/tasks.md`; your own task: [own-task.md](own-task.md).*

A name goes behind `--task`. The last column says what a blind answer earns: the share of the most frequent right answer
among 1,000 problems, for levels 1 to 4.

| task | stratum | what it asks | levels | blind |
| --- | --- | --- | --- | --- |
{rows}

**Strata.** A: fresh problems of tasks that anybody may train on; B: their levels outside a declared training range. C:
sealed tasks (`Task.stratum`), small worlds whose rules are drawn with each problem and stated in its prompt, so that
nothing about them can be recalled and no recipe of ours names them. Training on one is allowed, and says something else
then. D: reading, here in its offline form, documents about worlds that never were. The strata are never averaged.

**Worlds** (stratum C) tell one problem in one of three wordings, chosen by the seed; `Problem.cluster` is the wording's
name, and neither the facts nor the id know it. Where an answer is one of the words shown (combining, automaton,
kinship), every one of them is the result of equally many rules, and a guess among them earns between a seventh and a
quarter: that, not the last column, is the blind baseline of a model that knows what kind of word is wanted.

**Fiction** (stratum D) shows a document of 80 to 250 words and asks one thing. Four problems in a row of a stream share
a document, whose hash is their `cluster`: intervals must count documents. A model that picks any person or town of the
document earns a quarter or less. The style `closed` asks the very same problems without their documents:

    whet eval MODEL --task fiction --n 200
    whet eval MODEL --task fiction --n 200 --style closed

What the closed style scores above the last column was guessed from the question; a model cannot have known it.

## One example of each

{examples}
"""


def majority_share(task: Task, level: int) -> tuple[str, float]:
    """The most frequent right answer of 1,000 problems and its share of them."""
    answers = Counter(
        task.answer(problem) for problem in Stream(task, KEY, "train", level).take(PROBLEMS, distinct=False)
    )
    answer, count = max(answers.items(), key=lambda item: (item[1], str(item[0])))
    return str(answer), count / PROBLEMS


def stratum(task: Task) -> str:
    """How a sealed round would call it: A (and B, its other levels), C or D."""
    return "A, B" if task.stratum == "A" else task.stratum


def about(task: Task) -> str:
    """The first paragraph of the class's documentation, on one line."""
    return " ".join((inspect.getdoc(type(task)) or "").split("\n\n")[0].split())


def example(task: Task) -> str:
    """One problem of the default level with its answer, as a section."""
    problem = Stream(task, KEY, "eval", task.default_level).problem(0)
    quoted = "\n".join(f"> {line}".rstrip() for line in problem.question.split("\n"))
    return f"**{task.name}**, level {task.default_level}:\n\n{quoted}\n>\n> → {task.answer(problem)}"


def row(task: Task) -> str:
    """One line of the table."""
    levels = f"{task.levels[0]} to {task.levels[-1]}"
    shares = ", ".join(f"{majority_share(task, level)[1]:.1%}" for level in task.levels[:4])
    return f"| {task.name} | {stratum(task)} | {about(task)} | {levels} | {shares} |"


def page() -> str:
    """The whole page. It takes a minute: it draws 1,000 problems of every level."""
    tasks = [load_task(name) for name in BUILTIN]
    return PAGE.format(rows="\n".join(map(row, tasks)), examples="\n\n".join(map(example, tasks)))


if __name__ == "__main__":
    print(page(), end="")
