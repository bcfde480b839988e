"""The labelled set and the rates that are printed from it."""

from __future__ import annotations

import importlib.util
from collections import Counter
from importlib.resources import files

import pytest

from whetstone.evals.judges import JUDGES, Labelled, judge_rates, labelled_answers, rates_table


def test_the_labelled_set_is_what_it_should_be() -> None:
    rows = labelled_answers()
    assert len({(row.judge, str(row.gold), row.text) for row in rows}) == len(rows)
    assert files("whetstone.evals").joinpath("judge_labels.jsonl").read_bytes().__len__() < 240_000
    for judge in JUDGES:
        labels = Counter(row.label for row in rows if row.judge == judge and row.source == "written")
        assert min(labels["right"], labels["wrong"] + labels["no_answer"]) >= 80, judge
    hostile = Counter(row.judge for row in rows if row.source == "hostile")
    assert hostile.total() >= 500 and set(hostile) == set(JUDGES) - {"symbolic"}
    real = [row for row in rows if row.source == "smollm2-135m"]
    assert len(real) >= 300 and {row.judge for row in real} == set(JUDGES)


def test_no_judge_calls_a_written_answer_right_that_is_not() -> None:
    for row in judge_rates(peer=False):
        if row["source"] == "written":
            assert row["ours"]["false_positive"]["mean"] == 0.0, row["judge"]
            assert row["ours"]["false_negative"]["mean"] < 0.2, row["judge"]
            assert row["ours"]["undecided"] == 0
        if row["source"] == "hostile":  # the one that is left: "[1, 2, 3] without 2"
            assert row["ours"]["false_positive"]["mean"] < 0.05, row["judge"]
        assert row["math_verify"] is None


def test_rates_count_what_they_say() -> None:
    rows = [
        Labelled("integer", 49, "49", "right", "written"),
        Labelled("integer", 49, "forty-nine", "right", "written"),
        Labelled("integer", 49, "48", "wrong", "written"),
        Labelled("integer", 49, "49", "wrong", "written"),  # mislabelled on purpose: a false positive
        Labelled("integer", 49, "48 or 49", "no_answer", "written"),
        Labelled("integer", 49, "41, 49", "not_right", "model"),
        Labelled("words", ["red", "blue"], "red blue", "right", "model"),
    ]
    table = judge_rates(rows)
    assert [(row["judge"], row["source"], row["right"], row["not_right"]) for row in table] == [
        ("integer", "written", 2, 3), ("integer", "model", 0, 1), ("words", "model", 1, 0)
    ]  # fmt: skip
    ours = table[0]["ours"]
    assert (ours["false_positive"]["mean"], ours["false_positive"]["n"]) == (1 / 3, 3)
    assert (ours["false_negative"]["mean"], ours["false_negative"]["n"]) == (1 / 2, 2)
    assert table[0]["math_verify"]["false_negative"]["mean"] == 1 / 2
    assert table[1]["math_verify"]["false_positive"]["mean"] == 1.0  # the trap: 41, 49 for 49
    assert table[2]["math_verify"] is None
    text = rates_table(table)
    assert "| integer | written | 2 / 3 | 33.3 % (6.1 to 79.2) | 50.0 % (9.5 to 90.5) |" in text
    assert "| words | model | 1 / 0 | no rows | 0.0 % (0.0 to 79.3) |  |  |" in text


def test_without_math_verify_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "math_verify" else found(name, *rest)
    )
    table = judge_rates([row for row in labelled_answers() if row.source != "written"])
    assert {row["judge"] for row in table} == set(JUDGES) - {"symbolic"}
    assert all(row["math_verify"] is None for row in table)
