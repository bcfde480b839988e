"""The page of tasks says what the tasks are."""

from __future__ import annotations

from pathlib import Path

import pytest

from whetstone.tasks.catalogue import about, example, majority_share, row
from whetstone.tasks.registry import BUILTIN, load_task

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()


@pytest.mark.parametrize("name", BUILTIN)
def test_the_page_has_every_task_with_its_text_and_a_true_example(name: str) -> None:
    task = load_task(name)
    assert f"| {name} |" in PAGE and about(task) in PAGE
    assert example(task) in PAGE, "docs/tasks.md is out of date: python -m whetstone.tasks.catalogue > docs/tasks.md"


@pytest.mark.parametrize("name", ["units", "fiction", "letters"])
def test_the_page_has_the_measured_shares(name: str) -> None:
    assert row(load_task(name)) in PAGE


def test_the_share_of_the_usual_answer_is_counted() -> None:
    answer, share = majority_share(load_task("letters"), 1)
    assert answer == "1" and 0.4 < share < 0.8
