"""Benchmark files: their rows, shapes, items and judges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from whetstone.errors import UsageError
from whetstone.tasks.adversarial import attack
from whetstone.tasks.files import rows as reading
from whetstone.tasks.files.shapes import Columns, Shape
from whetstone.tasks.files.task import ChoiceFile, FixedItems, QuestionFile
from whetstone.tasks.keys import Stream
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import Problem, Verdict

R, W, N = Verdict.RIGHT, Verdict.WRONG, Verdict.NO_ANSWER
KEY = b"k" * 32
QA = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(30)]
ARC = {"question": "Which lays eggs?", "choices": {"text": ["a dog", "a hen", "a cow"], "label": ["A", "B", "C"]}}


def written(folder: Path, content: Sequence[Any], suffix: str = ".jsonl") -> Path:
    path = folder / f"items{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    elif suffix == ".json":
        path.write_text(json.dumps(list(content)))
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(list(content)), path)
    return path


def loaded(folder: Path, content: Sequence[Any], suffix: str = ".jsonl") -> FixedItems:
    task = load_task(str(written(folder, content, suffix)))
    assert isinstance(task, FixedItems)
    return task


@pytest.mark.parametrize("suffix", reading.SUFFIXES)
def test_the_same_items_in_every_format(tmp_path: Path, suffix: str) -> None:
    task = loaded(tmp_path, QA, suffix)
    drawn = task.draw(99, KEY)
    assert [p.question for p in drawn.problems] == [row["question"] for row in QA]
    assert (drawn.total, drawn.repeated) == (30, 0)
    assert [p.facts["row"] for p in drawn.problems] == list(range(1, 31))
    assert all(task.check(p, row["answer"]) is R for p, row in zip(drawn.problems, QA, strict=True))
    assert all("answer" not in p.facts and "gold" not in p.facts for p in drawn.problems)
    again = loaded(tmp_path, QA[::-1], ".jsonl").draw(99, KEY).problems
    assert [p.id for p in again] == [p.id for p in drawn.problems][::-1], "an id is of the content"


def test_a_draw_is_chosen_by_the_key(tmp_path: Path) -> None:
    task = loaded(tmp_path, QA)
    ids = [problem.id for problem in task.draw(99, KEY).problems]
    first, again, other = (
        [problem.id for problem in task.draw(10, key).problems] for key in (KEY, KEY, b"other" + bytes(27))
    )
    assert first == again != other and len(first) == len(set(first)) == 10
    assert first == [i for i in ids if i in first], "in the file's order"
    shuffled = {problem.id for problem in loaded(tmp_path, QA[::-1]).draw(10, KEY).problems}
    assert shuffled == set(first), "wherever the items stand"


def test_repeated_rows_count_once(tmp_path: Path) -> None:
    drawn = loaded(tmp_path, [*QA[:4], QA[0], QA[2]]).draw(99, KEY)
    assert (len(drawn.problems), drawn.total, drawn.repeated) == (4, 4, 2)


def test_a_large_file_goes_by_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """120,000 rows: never more of them in hand than are asked for, and a few besides."""
    path = tmp_path / "large.jsonl"
    with path.open("w") as file:
        for i in range(120_000):
            file.write(f'{{"question": "What is {i} + 1?", "answer": {i + 1}}}\n')
    drawn = load_task(str(path)).draw(20, KEY)  # type: ignore[attr-defined]
    assert drawn.total == 120_000 and len(drawn.problems) == 20
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("the file was read at once"))
    rows = reading.rows(path)
    assert next(rows)[0] == 1 and next(rows)[1]["answer"] == 2


BAD_ROWS = [
    ([QA[0], {"question": "?"}], "row 2: its answer must be a text, not 'None'"),
    ([QA[0], {"question": "", "answer": "1"}], "row 2: its question must be a text, not ''"),
    ([QA[0], [1]], r"row 2 is not an object with named columns: '\[1\]'"),
    ([{"text": "x", "answer": "1"}], "no column holds the question .*; there are text, answer"),
    ([{"question": "x", "reply": "1"}], "no column holds the answer .*; there are question, reply"),
    ([], "holds no row"),
    ([{**ARC, "answerKey": "D"}], "row 1: its answer 'D' names none of its 3 choices"),
    ([{**ARC, "answerKey": None}], "row 1: its answer must be a label, an index or a letter"),
    ([{**ARC, "answerKey": 3}], "row 1: its answer '3' names none"),
    ([{"question": "?", "choices": ["a"], "answer": 0}], "row 1: its choices must be from 2 to 26 texts"),
    ([{"question": "?", "choices": ["a", "a"], "answer": 0}], "row 1: two of its choices are the same"),
    ([{"question": "?", "choices": "ab", "answer": 0}], "row 1: its choices must be a list of texts"),
    ([{"question": "?", "choices": ["2", "0", "1"], "answer": "0"}], "can be read as a choice's text and as another"),
    ([{"question": "a", "answer": "1 #### 2"}, {"question": "b", "answer": "3"}], "row 2: its answer has no line ####"),
]


@pytest.mark.parametrize(("content", "message"), BAD_ROWS)
def test_a_bad_row_is_named(tmp_path: Path, content: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        loaded(tmp_path, content).draw(5, KEY)
    assert "\n" not in str(error.value) and "items.jsonl" in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "b.jsonl"
    broken.write_text('{"question": "a", "answer": "1"}\n\n{"question": \n')
    with pytest.raises(UsageError, match=r"b.jsonl: row 3 is not JSON: "):
        load_task(str(broken)).draw(5, KEY)  # type: ignore[attr-defined]
    for name, content, message in (
        ("c.json", "{", "c.json is not JSON"),
        ("d.json", '{"a": [], "b": []}', "d.json must be a list of rows"),
        ("e.parquet", "not parquet", "e.parquet cannot be read as parquet"),
        ("f.json", "[" * 100_000, "f.json is not JSON"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(UsageError, match=message):
            load_task(str(tmp_path / name))
    with pytest.raises(UsageError, match=r"there is no file .*g.jsonl"):
        load_task(str(tmp_path / "g.jsonl"))


def test_a_list_inside_an_object(tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "1", "data": QA[:3]}))
    assert load_task(str(path)).draw(9, KEY).total == 3  # type: ignore[attr-defined]


CHOICES = ["a dog", "a hen", "a cow"]
GIVEN = [
    ({"choices": CHOICES, "answer": 1}, 1),
    ({"choices": CHOICES, "answer": "1"}, 1),
    ({"choices": CHOICES, "answer": "B"}, 1),
    ({"choices": CHOICES, "answer": "a hen"}, 1),
    ({"choices": {"text": CHOICES, "label": ["1", "2", "3"]}, "answerKey": "2"}, 1),
    ({"choices": {"text": CHOICES, "label": ["1", "2", "3"]}, "answerKey": 2}, 1),
    ({"choices": {"text": CHOICES, "label": ["A", "B", "C"]}, "answerKey": 2}, 2),
    ({"options": {"A": CHOICES[0], "B": CHOICES[1], "C": CHOICES[2]}, "answer": "C"}, 2),
    ({"endings": CHOICES, "label": 0}, 0),
    ({"choices": ["3", "1", "2"], "answer": 2}, 2),
    ({"choices": ["0", "1", "2"], "answer": "2"}, 2),
]


@pytest.mark.parametrize(("row", "place"), GIVEN)
def test_how_the_right_choice_may_be_given(row: dict[str, Any], place: int) -> None:
    row = {"question": "Which lays eggs?", **row}
    columns = Columns.of(row)
    assert columns.shape is Shape.CHOICE and columns.item(row).gold == place


def test_choices_are_asked_by_letter(tmp_path: Path) -> None:
    task = loaded(tmp_path, [{**ARC, "answerKey": "B"}])
    assert isinstance(task, ChoiceFile) and list(task.styles()) == ["likelihood", "letter"]
    (problem,) = task.draw(1, KEY).problems
    assert problem.question == "Which lays eggs?\nA. a dog\nB. a hen\nC. a cow"
    expected = {
        "B": R, "b": R, "(B)": R, "B.": R, "**B**": R, "B. a hen": R, "b) A hen.": R, "a hen": R, "Answer: B": R,
        "The answer is B.": R, "The correct answer is (B) a hen": R, "\\boxed{B}": R, "<answer>B</answer>": R,
        "Answer: \\boxed{B}": R, "A": W, "C. a cow": W, "Answer: C": W,
        "": N, "D": N, "A or B": N, "B. a dog": N, "A\nB\nC": N, "AB": N, "Answer: A\nAnswer: B": N, "hen": N,
        "A. a dog\n\nThe correct answer is B. a cow": N, "<answer>A</answer> Answer: B": N, "Not B": N,
        "The wrong answer is B.": N, "An incorrect answer: A": N,
        problem.question: N, "B" * 30_000: N,
    }  # fmt: skip
    assert {text: task.check(problem, text) for text in expected} == expected
    assert not [finding for finding in attack(task, problem) if finding.trouble == "right"]


JUDGED = [
    ("49", {"49": R, "The answer is 49.": R, "48": W, "48 or 49": N, "": N}),
    (49, {"49": R, "49.0": R}),
    (0.5, {"1/2": R, "0.5": R, "0.50001": W}),
    ("$1,234", {"1234": R, "1,234": R, "1,235": W}),
    ("3/4", {"0.75": R, "6/8": R}),
    ("[1, 2]", {"[1, 2]": R, "[2, 1]": W, "1, 2": N}),
    ("Paris", {"paris": R, "The capital of France is Paris.": R, "Not Paris": W, "Paris or Rome": W, "Rome": W}),
    ("C++", {"C++": R, "c++.": R, "C": W, "C--": W, "Answer: C++": R}),
    ("The sky is blue", {"The sky is blue.": R, "blue": W, "Answer: the sky is blue": R}),
    (True, {"True": R, "False": W}),
]


@pytest.mark.parametrize(("gold", "texts"), JUDGED)
def test_answers_are_judged_by_the_form_of_the_gold(tmp_path: Path, gold: object, texts: dict[str, Verdict]) -> None:
    task = loaded(tmp_path, [{"question": "?", "answer": gold}])
    (problem,) = task.draw(1, KEY).problems
    assert {text: task.check(problem, text) for text in texts} == texts
    assert task.check(problem, str(task.answer(problem))) is R


def test_worked_answers(tmp_path: Path) -> None:
    rows = [
        {"question": "3 boxes of 4?", "answer": "3 * 4 = <<3*4=12>>12\n#### 12"},
        {"question": "many?", "answer": "#### 1,234 "},
        {"question": "colder?", "answer": "x\n#### -5"},
    ]
    task = loaded(tmp_path, rows)
    assert isinstance(task, QuestionFile) and task.columns.shape is Shape.WORKED
    drawn = task.draw(9, KEY).problems
    assert [task.answer(problem) for problem in drawn] == ["12", "1234", "-5"]
    assert task.check(drawn[1], "So 1,000 + 234 = 1,234. Answer: 1,234") is R


def test_training_is_refused(tmp_path: Path) -> None:
    task = loaded(tmp_path, QA)
    with pytest.raises(UsageError, match="holds fixed items: nothing keeps them out of training; `whet eval`"):
        Stream(task, KEY, "train", 1).take(1)
    assert task.version == task.sha256[:12]


def test_an_item_is_known_by_its_content(tmp_path: Path) -> None:
    task = loaded(tmp_path, QA[:1])
    (problem,) = task.draw(1, KEY).problems
    assert len(problem.id) == 32 and task.canonical(problem) == task.canonical(Problem("", dict(problem.facts)))
    changed = loaded(tmp_path, [{**QA[0], "answer": "2"}]).draw(1, KEY).problems[0]
    assert changed.id != problem.id
