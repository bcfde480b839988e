"""The report page and its verdict: what they say, what they must not, and that hostile text stays text."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.pages import Page, assert_self_contained
from tests.sharpen.sample_report import (
    bare_report,
    hostile_report,
    moved_report,
    sample_metrics,
    sample_report,
    sample_twin,
)
from whetstone.evals.page.frame import visible
from whetstone.evals.page.numbers import percent, signed, verdict_shares
from whetstone.sharpen.comparisons import direction
from whetstone.sharpen.html import render
from whetstone.sharpen.verdict import findings, verdict_lines

Report = dict[str, Any]


def difference(mean: float, half: float, n: int = 500, p: float | None = None) -> Report:
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n} | ({} if p is None else {"p": p})


def page_of(report: Report) -> str:
    return render(report, sample_metrics(), sample_twin())


@cache
def made(make: Callable[[], Report]) -> str:
    """The page of an unchanged sample report; drawing one takes a good part of a second."""
    return page_of(make())


@pytest.mark.parametrize("make", [sample_report, hostile_report, moved_report, bare_report])
def test_page_is_well_formed_and_self_contained(make: Callable[[], Report]) -> None:
    assert_self_contained(made(make))


def test_only_the_hostile_page_holds_a_web_address() -> None:
    for make in (sample_report, bare_report, moved_report):
        assert not re.search(r"https?:|//[a-z]", made(make))


@pytest.mark.parametrize("make", [sample_report, bare_report])
def test_the_same_report_gives_the_same_bytes(make: Callable[[], Report]) -> None:
    assert made(make) == page_of(make())


def test_page_shows_every_part() -> None:
    words = Page(made(sample_report)).words
    for part in [
        "24.2 % → 70.4 %", "+46.2 points", "95 % interval +40.8 to +51.2", "Learning curve", "random reward",
        "pass@k", "base, 8-shot spelled out", "base, vote of 8, T = 0.4", "0.4 (base) and 0.7 (sharpened)",
        "8 spelled-out, “plain” (chosen) 29.2 %", "“steps” (chosen) 60.4 % (46.3 % to 73.0 %), 4 % cut off",
        "base, T = 0.4 (chosen for the pool and the vote)", "sharpened, T = 0.7 (chosen for the pool)",
        "0: these are the problems of every run with seed 0", "always answering “110”",
        "One level harder", "What the answers were", "Length of answers",
        "Answers before and after", "Overlap with training", "Speed", "Cost", "Provenance", "Reproduce it",
        "whet sharpen --model smollm2-135m", "How to read this", "tokens generated 84,112",
    ]:  # fmt: skip
        assert part in words, part
    svgs = re.findall(r"<svg", made(sample_report))
    assert len(svgs) == 10  # six figures and four small ones


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("controls", "No random-reward twin was trained"),
        ("harder", "One level harder was not measured."),
        ("pass_at_k", "pass@k was not measured."),
        ("baselines", "Other prompts and the most common answer were not measured."),
        ("overlap", "The overlap of evaluation and training problems was not measured."),
        ("speed", "Cost"),
        ("cost", "Cost was not measured."),
        ("samples", "No sample answers were kept."),
        ("command", "The command was not recorded."),
        ("statistics", "was not measured both before and after"),
        ("before", "was not measured both before and after"),
        ("after", "was not measured both before and after"),
        ("hardware", "Provenance"),
        ("model", "The model got better"),
        ("task", "got better at the task"),
        ("title", "Sharpening report"),
    ],
)
def test_each_absent_part_is_said_to_be_absent(path: str, sentence: str) -> None:
    report = sample_report()
    del report[path]
    words = assert_self_contained(render(report, [], [])).words
    assert sentence in words
    assert "None" not in words


def test_an_empty_report_and_no_rows_still_make_a_page() -> None:
    words = assert_self_contained(render({}, [], [])).words
    assert "No verdict on" in words and "No training steps were recorded" in words and "None" not in words


def test_null_is_the_same_as_absent() -> None:
    assert render(dict.fromkeys(sample_report()), [], []) == render({}, [], [])


def test_a_twin_that_was_not_run_is_named_at_its_curve() -> None:
    words = Page(render(sample_report(), sample_metrics(), [])).words
    assert "its curve was not measured" in words


def test_partial_parts_do_not_break_the_page() -> None:
    report = sample_report()
    report["controls"]["random_reward"] = {"steps": 6, "greedy": None, "difference": None}
    report["pass_at_k"]["sharpened"] = []
    report["baselines"] = {"best_prompt": None, "majority_answer": {"text": "110", "accuracy": 0.012}}
    report["before"]["verdicts"] = {}
    report["before"]["truncated"] = None
    report["samples"] = [{"question": "?", "before": None, "after": {"text": None}}, {}]
    metrics = [{"step": 0}, {"step": 1, "accuracy": None, "entropy": float("nan")}]
    words = assert_self_contained(render(report, metrics, metrics)).words
    assert "not judged" in words and "None" not in words and not re.search(r"\bnan\b", words)


def test_long_runs_are_drawn_with_a_running_mean() -> None:
    page = render(sample_report(), sample_metrics(200), sample_twin(200))
    assert "true reward (mean of 10)" in assert_self_contained(page).words


# -- hostile text --------------------------------------------------------------------------------------------


def test_hostile_text_stays_text() -> None:
    page = made(hostile_report)
    words = assert_self_contained(page).words
    assert "<script" not in page and "<img" not in page
    for shown in ["</script><img", "onerror=alert(1)>", r"\x1b", "[2J", r"\u202e", r"\ud800", "{{ 7 * 7 }}"]:
        assert shown in words
    assert "49" not in re.findall(r"\{\{.*?\}\}", words)[0]
    assert 'class="badge </span>' not in page


def test_a_huge_answer_is_clipped_and_whole_on_a_click() -> None:
    page = made(hostile_report)
    assert "all 1,000,000 characters" in page
    outside = re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL)
    assert "x" * 300 not in outside and "x" * 1_000_000 in page
    assert len(outside) < 300_000


def test_short_answers_are_not_folded() -> None:
    report = sample_report()
    report["samples"] = report["samples"][:1]
    page = re.search(r'<table class="samples">.*?</table>', page_of(report), re.DOTALL)
    assert page and "<details" not in page[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("49", "49"),
        ("a b", "a b"),
        (" a", "·a"),
        ("a ", "a·"),
        (" ", "·"),
        ("a  b", "a··b"),
        ("a\nb", "a↵\nb"),
        ("a\tb", "a⇥\tb"),
        ("a\r\n", "a\\x0d↵\n"),
        ("", "(empty)"),
        ("\x1b[0m\x00", "\\x1b[0m\\x00"),
        ("a\u00a0b\u3000", "a\\xa0b\\u3000"),
        ("é 数 π", "é 数 π"),
        ("\u202e\U000e0041\ud83d", "\\u202e\\U000e0041\\ud83d"),
        ("&lt;<>\"'", "&lt;<>\"'"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert "".join(Page(str(visible(text))).text) == shown


# -- the verdict ---------------------------------------------------------------------------------------------


def test_verdict_of_a_clean_gain() -> None:
    lines = verdict_lines(sample_report())
    headline = "SmolLM2-135M-Instruct got better at addition (level 2): 24.2 % right before, 70.4 % after, "
    assert lines[0] == headline + "on 500 fresh problems."
    text = "\n".join(lines)
    assert "+46.2 points (95 % interval +40.8 to +51.2), exact McNemar p < 0.0001" in text
    assert "Better than what the untrained model reaches by the best of 4 prompts" in text
    assert "8-shot prompting with spelled-out answers" in text
    assert "self-consistency over 8 answers at T = 0.4" in text
    assert "Always answering “110”, the most frequent answer, would be right 1.4 % of the time; the sharp" in text
    assert "did not move measurably in 6 of 20 steps" in text
    assert "% for the base model at T = 0.4, " in text and "% sharpened at T = 0.7)" in text
    assert "the sharpened model is still ahead" in text
    assert lines[-2] == ("Weakest link: the random-reward twin ran 6 of 20 steps, so a slow effect could be missed.")
    assert "single training seed" in lines[-1] and "pass@k rests on 64 problems" in lines[-1]
    assert "the evaluation problems are those of every run with seed 0" in lines[-1]
    assert json.loads(json.dumps(lines)) == lines


def test_verdict_of_no_gain_says_not_distinguishable() -> None:
    report = sample_report()
    report["statistics"]["difference"] = difference(0.012, 0.03, p=0.4) | {"minimum_detectable": 0.043}
    lines = verdict_lines(report)
    assert lines[0].startswith("No gain shown") and "not distinguishable from no change" in lines[0]
    assert "covers 0" in lines[1] and "below 4.3 points would often be missed" in lines[1]
    assert all("got better" not in line for line in lines)
    assert 'class="card hero unclear"' in page_of(report)


def test_verdict_of_a_loss() -> None:
    report = sample_report()
    report["statistics"]["difference"] = difference(-0.2, 0.04, p=1e-9)
    assert "got worse" in verdict_lines(report)[0]
    assert 'class="card hero down"' in page_of(report)


def test_verdict_of_a_sceptics_case() -> None:
    lines = verdict_lines(moved_report())
    text = "\n".join(lines)
    assert lines[0].endswith("without training, the best of 4 prompts does as well.")
    assert "fresh" not in lines[0]  # problems leaked: they are not
    assert "Not distinguishable from the untrained model with the best of 4 prompts" in text
    assert "The twin trained on a random reward improved too in as many steps: +11.0 points" in text
    assert "is ahead of its twin: " in text
    scores = "95.0 % for the base model at T = 0.4, 78.0 % sharpened at T = 0.7"
    assert f"With 16 tries ({scores}) the base model is ahead, from" in text
    assert "k = 8" in text
    assert lines[-2] == "Weakest link: 7 of 500 evaluation problems were also trained on."
    assert "22.0 % of the answers after were cut off" in lines[-1] and "twin improved too" in lines[-1]
    assert 'class="card hero mixed"' in made(moved_report)


def test_a_rival_that_wins_is_said_to_win() -> None:
    report = sample_report()
    report["statistics"]["versus_few_shot"] = difference(-0.1, 0.03, p=1e-4)
    lines = verdict_lines(report)
    assert lines[0].endswith("without training, 8-shot prompting with spelled-out answers does better.")
    assert any(line.startswith("Worse than the untrained model with 8-shot prompting") for line in lines)


@pytest.mark.parametrize(
    ("versus", "kind", "words"),
    [
        (difference(0.5, 0.04), "good", "; the sharpened model is ahead by +50.0 points"),
        (difference(0.01, 0.04), "bad", ": not distinguishable from the sharpened model, which differs by +1.0 points"),
        (difference(-0.3, 0.04), "bad", ": better than the sharpened model, which differs by −30.0 points"),
        (None, "open", "What always giving the most frequent answer would score was not measured."),
    ],
)
def test_an_answer_that_does_not_read_the_question_is_a_rival(versus: Report | None, kind: str, words: str) -> None:
    report = sample_report()
    report["statistics"]["versus_majority_answer"] = versus
    [found] = [finding for finding in findings(report) if "most frequent answer" in finding.text]
    assert found.kind == kind and words in found.text
    if kind == "bad":
        assert "without training, always answering “110” does" in verdict_lines(report)[0]
    report["baselines"]["majority_answer"]["text"] = "x" * 90
    assert "x" * 41 not in "\n".join(verdict_lines(report))


@pytest.mark.parametrize(
    ("steps", "way", "kind"),
    [
        (20, 0.0, "good"),
        (10, 0.0, "good"),
        (9, 0.0, "weak"),
        (1, -0.2, "weak"),
        (10, -0.2, "good"),
        (2, 0.2, "bad"),
        (None, 0.0, "weak"),
    ],
)
def test_a_twin_of_few_steps_is_weak_evidence(steps: int | None, way: float, kind: str) -> None:
    report = sample_report()
    report["controls"]["random_reward"].update(steps=steps, difference=difference(way, 0.05))
    [found] = [finding for finding in findings(report) if "The twin trained on a random reward" in finding.text]
    assert found.kind == kind, found
    assert steps in (20, None) or f"in {steps} of 20 steps" in found.text
    assert ("too short a training" in found.text) == (kind == "weak")


def test_an_interval_beside_zero_with_a_test_that_does_not_reject_is_unclear() -> None:
    borderline = difference(0.06, 0.0599, p=0.065)
    assert direction(borderline) == "unclear"
    assert direction(difference(0.06, 0.05)) == "up" and direction(difference(-0.06, 0.05)) == "down"
    report = sample_report()
    report["harder"]["difference"] = borderline
    assert any("no change can be told from none" in line and "p = 0.065" in line for line in verdict_lines(report))


@pytest.mark.parametrize(
    ("base", "sharpened", "words"),
    [
        ((0.70, 0.05), (0.72, 0.05), "not distinguishable"),
        ((0.99, 0.01), (1.00, 0.01), "both solve nearly everything"),
        ((0.40, 0.05), (0.80, 0.05), "still ahead"),
        ((0.80, 0.05), (0.40, 0.05), "the base model is ahead, from about k = 16 on"),
        ((0.0, 0.0), (0.0, 0.0), "neither solves any"),
    ],
)
def test_amplified_or_new(base: tuple[float, float], sharpened: tuple[float, float], words: str) -> None:
    report = sample_report()
    for name, (mean, half) in (("base", base), ("sharpened", sharpened)):
        report["pass_at_k"][name] = [
            {"k": 1, **difference(0.2 if name == "base" else 0.3, 0.05)},
            {"k": 16, **difference(mean, half)},
        ]
    assert sum(words in line for line in verdict_lines(report)) == 1


GAIN = ("amplified", "the gain", "Form changed too", "still ahead")


@pytest.mark.parametrize("pair", [(0.7, 0.72), (0.99, 1.0), (0.0, 0.0), (0.4, 0.8), (0.8, 0.4)])
@pytest.mark.parametrize("change", [0.0, -0.2])
def test_without_a_gain_no_sentence_explains_one(pair: tuple[float, float], change: float) -> None:
    report = sample_report()
    report["statistics"]["difference"] = difference(change, 0.05)
    report["harder"]["difference"] = difference(0.1, 0.05)
    for name, mean in zip(("base", "sharpened"), pair, strict=True):
        report["pass_at_k"][name] = [{"k": 16, **difference(mean, 0.0 if mean == 0 else 0.01)}]
    lines = verdict_lines(report)
    assert not [line for line in lines if any(words in line for words in GAIN)], lines


@pytest.mark.parametrize(("twin", "kind"), [((0.05, 0.06), "good"), ((0.17, 0.18), "bad")])
def test_a_twin_that_did_not_move_but_cannot_be_told_from_the_model(twin: tuple[float, float], kind: str) -> None:
    """At few problems "did not move measurably" shows little: the model must be ahead of the twin as well."""
    moved, half = twin
    report = sample_report()
    report["before"]["greedy"] = difference(0.10, 0.08, n=60)
    report["after"]["greedy"] = difference(0.30, 0.11, n=60)
    report["statistics"]["difference"] = difference(0.20, 0.11, n=60)
    greedy = difference(0.10 + moved, 0.10, n=60)
    report["controls"]["random_reward"] = {"steps": 20, "greedy": greedy, "difference": difference(moved, half, n=60)}
    [found] = [finding for finding in findings(report) if "The twin trained on a random reward" in finding.text]
    assert (found.kind, "not distinguishable from its twin" in found.text) == (kind, kind == "bad"), found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["overlap"].update(shared=1), "1 of 500 evaluation problems were also trained on"),
        (lambda r: r.update(overlap=None), "overlap of evaluation and training problems was not measured"),
        (lambda r: r["controls"].update(random_reward=None), "no random-reward twin"),
        (
            lambda r: r["statistics"].update(difference=difference(0.5, 0.15, n=60)),
            "only 60 evaluation problems",
        ),
        (lambda r: r["after"].update(truncated=0.31), "31.0 % of the answers after were cut off"),
        (
            lambda r: r["after"].update(verdicts={"right": 5, "no_answer": 5}),
            "only 50.0 % of the answers after",
        ),
        (lambda r: r["after"].update(verdicts={"right": 9, "timeout": 1}), "judging failed on 10.0 %"),
        (lambda r: r["statistics"].update(looks=3), "3 runs were measured on these evaluation problems"),
        (lambda r: r["baselines"]["few_shot"].update(truncated=0.2), "20.0 % of the answers with few-shot prompting"),
        (lambda r: r["statistics"].update(versus_few_shot=None), "no comparison with 8-shot prompting"),
    ],
)
def test_weakest_link_is_named(change: Callable[[Report], None], words: str) -> None:
    report = copy.deepcopy(sample_report())
    report["controls"]["random_reward"]["steps"] = 20
    change(report)
    line = next(line for line in verdict_lines(report) if line.startswith("Weakest link"))
    assert words in line


def test_no_weak_link_is_said_carefully() -> None:
    report = sample_report()
    report["controls"]["random_reward"]["steps"] = 20
    report["statistics"].update(training_seeds=3, seed_shared=False)
    report["pass_at_k"]["problems"] = 200
    report["before"]["verdicts"] = report["after"]["verdicts"]
    assert verdict_lines(report)[-1] == "Weakest link: none among those that this report checks."


def test_page_marks_the_reports_own_sentences_and_keeps_strange_ones() -> None:
    report = sample_report()
    report["verdict"] = [*verdict_lines(report), "A sentence of someone else <b>."]
    page = page_of(report)
    assert page.count('<li class="good">') == sum(f.kind == "good" for f in findings(report))
    assert '<li class="open">A sentence of someone else &lt;b&gt;.</li>' in page


def test_figures_in_words() -> None:
    assert (percent(0.274), percent(None), percent(float("nan"))) == ("27.4 %", "unknown", "unknown")
    assert (signed(0.434), signed(-0.02), signed(0.0)) == ("+43.4", "−2.0", "+0.0")
    assert verdict_shares({"verdicts": {"right": 3, "wrong": 1}}) == {
        "right": 0.75, "wrong": 0.25, "no_answer": 0.0, "error": 0.0, "timeout": 0.0,
    }  # fmt: skip
    assert verdict_shares(None) is None and verdict_shares({"verdicts": {"right": 0}}) is None
