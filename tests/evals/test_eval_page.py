"""The page of one evaluation: what it says, what it shows of the answers, and that hostile text stays text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import whet
from tests.evals.rounds.sample_report import HOSTILE
from tests.pages import Page, assert_opens, assert_self_contained, browser
from tests.tiny import digit_task, tiny_folder
from whetstone.evals.eval_page import SHOWN, chosen, links, render, write_report

Result = dict[str, Any]


def result() -> Result:
    """As `evaluate` returns it for several answers to each problem."""
    score = {"mean": 0.3125, "low": 0.2711, "high": 0.3567, "n": 480}
    return {
        "model": "smollm2-135m",
        "task": "addition",
        "task_version": "dfb975beeed8",
        "level": 2,
        "style": "only",
        "temperature": 0.8,
        "accuracy": score,
        "pass_at_k": [{"k": 1, **score}, {"k": 2, "mean": 0.44, "low": 0.40, "high": 0.48, "n": 480}],
        "verdicts": {"right": 300, "wrong": 500, "no_answer": 157, "error": 3, "timeout": 0},
        "tokens_per_answer": 11.73,
        "truncated": 0.2227,
        "looks": {"weights": 7, "task": 31},
        "seed": 0,
        "seed_shared": True,
        "seed_note": "these are everybody's problems",
        "key": "ab" * 32,
    }


def rows(verdicts: str) -> list[Result]:
    """One row a letter: r(ight), w(rong), n(o answer)."""
    words = {"r": "right", "w": "wrong", "n": "no_answer"}
    return [
        {"question": f"{place}?", "answer": f" {place}\n", "verdict": words[v], "target": str(place), "tokens": 2}
        for place, v in enumerate(verdicts)
    ]


def likelihoods() -> Result:
    """As `evaluate` returns it for a file of choices: no level, no answers, two accuracies."""
    score = {"mean": 0.5, "low": 0.4038, "high": 0.5962, "n": 100}
    file = {"name": "arc.jsonl", "sha256": "cd" * 32, "shape": "choices", "items": 1172, "note": "fixed items"}
    return {
        "model": "tiny",
        "task": "arc",
        "style": "likelihood",
        "accuracy": score,
        "accuracy_normalised": score | {"mean": 0.55},
        "verdicts": {"right": 50, "wrong": 50, "no_answer": 0, "error": 0, "timeout": 0},
        "looks": None,
        "file": file,
        "seed": 3,
        "seed_note": None,
        "key": "ef" * 32,
    }


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    written = write_report(tmp_path / "deep" / "er", result(), rows("rwn"), "whet eval smollm2-135m --out 'a b'")
    assert written == [tmp_path / "deep" / "er" / name for name in ("report.json", "report.html")]
    report = json.loads(written[0].read_text())
    assert {key: report[key] for key in result()} == result() and len(report["samples"]) == 3
    page = written[1].read_text(encoding="utf-8")
    assert page == render(report)  # the page is the report's, and of nothing else
    words = assert_self_contained(page).words.replace("\u00a0", " ")
    for part in [
        "smollm2-135m answers 31.2 % of 480 problems of addition, level 2 right (95 % interval 27.1 % to 35.7 %).",
        "Weakest link: these weights were measured at this task 7 times on this machine",
        "these are everybody's problems", "judging failed: 3 errors count as not right",
        "22.3 % of the answers were cut off", "temperature 0.8", "2 answers to each",
        "2 44.0 % (40.0 % to 48.0 %)",
        "looks at this task with any weights 31", "tokens per answer 11.7", "whet eval smollm2-135m --out 'a b'",
        "task version dfb975beeed8",
    ]:  # fmt: skip
        assert part in words, part
    assert "None" not in words and page.count("<svg") == 3


def test_choices_by_likelihood_have_two_accuracies_and_no_answers() -> None:
    words = assert_self_contained(render(likelihoods())).words
    assert "by likelihood" in words and "per character" in words and "No answers were kept." in words
    assert "Weakest link: fixed items" in words and "level" not in words.split("How to read")[0]
    [sample] = chosen(
        [{"question": "q", "answer": "b", "verdict": "wrong", "choices": ["a", "b"], "gold": 0, "logprobs": [1, 2]}]
    )
    assert sample == {"question": "q", "answer": "b", "verdict": "wrong", "target": "a"}


@pytest.mark.parametrize(
    ("verdicts", "limit", "kept"),
    [
        ("", 4, ""),
        ("rrr", 4, "rrr"),
        ("rrrrrrrrrw", 4, "rrrw"),
        ("wwwwwrrrrrn", 5, "wwrrn"),
        ("wwwwwrrrrrn", 6, "wwwrrn"),
        ("rwrwrwrw", 3, "rwr"),
    ],
)
def test_rare_verdicts_are_among_the_answers_shown(verdicts: str, limit: int, kept: str) -> None:
    shown = chosen(rows(verdicts), limit)
    places = [int(sample["target"]) for sample in shown]
    assert places == sorted(places) and len(shown) == min(limit, len(verdicts))
    assert "".join(sample["verdict"][0] for sample in shown) == kept


def test_a_plain_number_still_has_a_weakest_link() -> None:
    clean = result() | {"looks": {"weights": 1, "task": 1}, "seed_note": None, "truncated": 0.0}
    clean["verdicts"] = clean["verdicts"] | {"error": 0}
    assert links(clean) == ["not a sealed round: nobody but who ran it knows what else was tried"]
    clean["accuracy"] = clean["accuracy"] | {"n": 40}
    assert links(clean)[0] == "40 problems only: the interval is wide"


def test_hostile_text_stays_text() -> None:
    report = result() | {"model": HOSTILE, "task": HOSTILE, "seed_note": HOSTILE, "command": HOSTILE}
    report["samples"] = [{"question": HOSTILE, "answer": HOSTILE * 90, "verdict": HOSTILE, "target": HOSTILE}]
    page = render(report)
    assert_self_contained(page)
    assert "<script" not in page and "<img" not in page and HOSTILE not in page


def test_a_browser_opens_it_without_complaint(tmp_path: Path) -> None:
    with browser() as running:
        for name, told, shown in (("a", result(), rows("rwn" * 20)), ("b", likelihoods(), [])):
            write_report(tmp_path / name, told, shown)
            assert_opens(running, tmp_path / name / "report.html")


def test_a_folder_that_cannot_be_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = whet("eval", "no-such-model", "--out", "file/told", cwd=tmp_path)
    assert said.code == 2 and "no report can be written to file/told" in said.err and "--out" in said.err


def test_whet_eval_leaves_a_report(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "tiny")
    digit_task(tmp_path)
    command = ("eval", "tiny", "--task", "mytask.py:Digits", "--n", 40, "--seed", 5, "--json", "--out", "told")
    said = json.loads(whet(*command, cwd=tmp_path).out)
    report = json.loads((tmp_path / "told" / "report.json").read_text())
    assert {key: report[key] for key in said} == said and len(report["samples"]) == SHOWN
    assert report["command"] == "whet " + " ".join(str(word) for word in command)
    words = Page((tmp_path / "told" / "report.html").read_text(encoding="utf-8")).words.replace("\u00a0", " ")
    assert f"tiny answers {100 * said['accuracy']['mean']:.1f} % of 40 problems of digits, level 2 right" in words
