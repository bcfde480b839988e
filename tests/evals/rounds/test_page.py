"""The page of a sealed round: what it says, that every number on it is the report's, that hostile text stays text."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.evals.rounds.sample_report import (
    HOSTILE,
    SAMPLES,
    Report,
    full_report,
    hostile_report,
    real_report,
)
from tests.pages import Page, assert_opens, assert_self_contained, browser
from whetstone.evals.page.figures import labels
from whetstone.evals.rounds.page import render
from whetstone.evals.rounds.words import verdict_lines


@cache
def made(name: str) -> str:
    return render(SAMPLES[name]())


@pytest.mark.parametrize("name", SAMPLES)
def test_a_page_is_well_formed_and_self_contained(name: str) -> None:
    words = assert_self_contained(made(name)).words
    assert "None" not in words and not re.search(r"\bnan\b", words)


def test_equal_reports_give_equal_bytes() -> None:
    assert made("full") == render(full_report())


def test_the_page_says_the_verdict_first_and_the_weakest_link_next() -> None:
    report = real_report()
    words = Page(made("real")).words.replace("\u00a0", " ")
    places = [words.index(line) for line in report["verdict"]]
    weakest = words.index("Weakest link: " + report["weakest_link"])
    assert places == sorted(places) and places[-1] < weakest < words.index("Differences in all strata")
    for link in report["links"]:
        assert link in words


def test_every_part_of_a_full_round_is_there() -> None:
    words = Page(made("full")).words
    for part in [
        "5 entrants", "598 problems in 4 strata", "8 answers to each, at temperature 0.7", "with a public beacon",
        "Stratum C: sealed tasks", "Rules that no training recipe names. Says: transfers.",
        "Stratum D: documents of invented worlds.", "world-tides level 1: 50, sealed until the reveal",
        "documents-with level 2: 74, asked “open”", "left out by decisions 2", "of which up to 3.1 % would be luck",
        "groups that share wording or document 48",
        "pass@k: one of k is right", "pass^k: all of k are right", "Overlap with training", "37 of 150 seen",
        "37 of 150; 91.3 % right on these; 44.7 % right on the others", "150 of 150; 91.3 % right on these",
        "Does confidence come true?", "Expected calibration error: smollm2-135m 31.0 % (28.9 % to 33.1 %)",
        "sharpened against smollm2-135m +31.0 +22.6 to +39.4 p < 0.0001 sign flips of 48 clusters 61, 17 7.2 gain",
        "+5.1 −3.3 to +13.5 p = 0.47", "not distinguishable", "Task by task",
        "left the round", "counts as right", "counts as wrong", "stays in", "the question has two answers",
        "a control: trained on rewards thrown by dice", "hosted: nobody can prove which weights answered",
        "an endpoint (xl-2026)", "looks at these tasks before 12", "of these voided 2", "begun, and not revealed 1",
        "problems that an earlier round used 4", "entered, but gave no answers late-one",
        "public beacon drand round 4217733", "whet round verify DIR --published eaee2e7a", "adapter of smollm2-135m",
    ]:  # fmt: skip
        assert part in words.replace("\u00a0", " "), part
    assert made("full").count("<svg") == 1 + 4 * 4 + 1 + 5  # pairs; four a stratum; overlap; five of reliability


def test_what_reading_shows_is_said_and_marked_as_it_is() -> None:
    report = real_report()
    change = {"mean": 0.1, "low": 0.02, "high": 0.18, "n": 60, "verdict": "gain"}
    unclear = change | {"low": -0.02, "verdict": "not distinguishable"}
    report["reading"] = {"sharpened": change, "smollm2-135m": unclear, "nobody": None}
    report["verdict"] = verdict_lines(report)
    page = render(report)
    marks = re.findall(r'<li class="(good|bad|open)">', page)[:4]
    assert marks == ["good", "open", "good", "open"]
    words = Page(page).words.replace("\u00a0", " ")
    assert "sharpened is right more often with the document: +10.0 points (+2.0 to +18.0)" in words
    assert "smollm2-135m cannot be told to be right more often with the document: +10.0 points" in words


def test_one_entrant_alone_makes_a_page() -> None:
    words = Page(made("single")).words
    assert "this round compares nobody" in words and "Weakest link: none was found" in words
    assert "Differences in all strata" not in words and "No weak link was found" in words
    assert "No decision was made: every problem counts as it was judged." in words


def test_a_problem_less_part_and_an_unknown_word_do_not_break_the_page() -> None:
    report = real_report()
    report["strata"][1]["entrants"]["sharpened"]["parts"][0]["accuracy"] = None
    report["strata"][1]["entrants"]["sharpened"]["declared"] = "something new"
    report["strata"][0]["means"] = "another kind of stratum"
    report["verdict"] = ["one sentence"]
    words = assert_self_contained(render(report)).words
    assert "no problem left" in words and "something new" in words and "Another kind" not in words


# -- every number is the report's ----------------------------------------------------------------------------


NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _in_text(text: str) -> set[str]:
    return {number.rstrip(",") for number in NUMBER.findall(text)}


def _written(report: Report) -> set[str]:
    """Every way in which the page may write one of the report's numbers, and what is the page's own."""
    allowed = {"95", "20", "0.0001", "0", "25", "50", "75", "100"}  # levels, --rerun 20, "p <", the axes of shares
    for leaf in _leaves(report):
        if isinstance(leaf, str):
            allowed |= _in_text(leaf)
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            size = abs(leaf)
            allowed |= {
                f"{100 * size:.1f}",
                f"{100 * size:.0f}",
                f"{size:.1f}",
                f"{size:g}",
                f"{size:,}",
                f"{size:.2g}",
            }
    # counted by the page: entrants, decisions and the length of their texts, problems, strata, shares of verdicts
    allowed |= {str(len(decision["text"])) for decision in report["decisions"]}
    strata, entrants = report["strata"], report["entrants"]
    allowed |= {str(len(entrants)), str(len(report["decisions"])), str(len(strata)), str(sum(s["n"] for s in strata))}
    for stratum in strata:
        for row in stratum["entrants"].values():
            total = sum(row["verdicts"].values())
            allowed |= {f"{100 * count / total:.0f}" for count in row["verdicts"].values()}
    return allowed


def _strange(report: Report, page: str) -> set[str]:
    """Numbers on the page that the report does not hold."""
    body = page[: page.index("<h2>How to read this</h2>")]
    body = re.sub(r"<(style|title)>.*?</\1>", "", body, flags=re.DOTALL)
    # axes of differences have round ticks of their own
    body = re.sub(r'(<g id="forest-xtick.*?)<text.*?</text>', r"\1", body, flags=re.DOTALL)
    words = Page(body + "</main></body></html>").words
    return _in_text(words.replace("\u00a0", " ")) - _written(report)


@pytest.mark.parametrize("name", ["real", "full", "single"])
def test_every_number_on_the_page_is_the_reports(name: str) -> None:
    assert _strange(SAMPLES[name](), made(name)) == set()


def test_the_check_of_numbers_finds_a_foreign_one() -> None:
    page = made("real").replace("31.2</td>", "31.3</td>")
    assert page != made("real") and _strange(real_report(), page) == {"31.3"}


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        (("strata", 0, "entrants", "sharpened", "accuracy", "mean"), 0.7773, "77.7 %"),
        (("strata", 0, "entrants", "sharpened", "accuracy", "low"), 0.1239, "12.4 % to 91.9 %"),
        (("strata", 0, "entrants", "sharpened", "truncated"), 0.3337, "33.4 %"),
        (("strata", 0, "entrants", "sharpened", "extracted"), 0.4447, "44.5 %"),
        (("strata", 0, "entrants", "sharpened", "tokens_per_answer"), 98.76, "98.8"),
        (("strata", 0, "entrants", "sharpened", "verdicts", "timeout"), 1234, "1,234"),
        (("strata", 0, "baselines", "shotgun", "mean"), 0.0567, "5.7 %"),
        (("strata", 0, "pairs", 0, "mean"), 0.3217, "+32.2"),
        (("strata", 0, "pairs", 0, "p_holm"), 0.0123, "p = 0.012"),
        (("strata", 0, "pairs", 0, "minimum_detectable"), 0.0987, "9.9"),
        (("strata", 1, "entrants", "sharpened", "parts", 1, "accuracy", "mean"), 0.8181, "81.8 %"),
        (("history", "voided"), 4321, "4321"),
        (("entrants", 1, "looks"), 877, "877"),
    ],
)
def test_a_changed_number_changes_the_page(path: tuple[Any, ...], value: float, shown: str) -> None:
    report = copy.deepcopy(real_report())
    place: Any = report
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert shown in Page(render(report)).words.replace("\u00a0", " ")
    assert shown not in Page(made("real")).words.replace("\u00a0", " ")


# -- hostile text, and real eyes -----------------------------------------------------------------------------


def test_hostile_text_stays_text() -> None:
    page = made("hostile")
    words = assert_self_contained(page).words
    assert "<script" not in page and "<img" not in page
    assert r"</script><img src=x onerror=alert(1)>\x1b[2J\u202e{{ 7 * 7 }}&" in words
    for piece in ("smollm2-135m", "world-tides", "the question has two answers", "drand round 4217733", "late-one"):
        assert f"\\ud800{piece}" in words, piece
    assert HOSTILE not in page and hostile_report()["title"].startswith(HOSTILE)


def test_figures_say_in_words_what_they_show() -> None:
    images = [attributes for _, attributes in Page(made("full")).tags if attributes.get("role") == "img"]
    assert len(images) == 1 + 4 * 4 + 1 + 1
    assert all(len(each["aria-label"] or "") > 20 for each in images)
    assert any("smollm2-135m 15.0 % (8.1 % to 26.1 %)" in str(i["aria-label"]) for i in _images(made("real")))


def _images(page: str) -> list[dict[str, str | None]]:
    return [attributes for _, attributes in Page(page).tags if attributes.get("role") == "img"]


def test_labels_are_short_and_differ() -> None:
    names = [
        "a" * 40,
        "a" * 41,
        "_hidden",
        "short",
        "a" * 23 + "\n",
        "x" * 12 + "1" + "y" * 12,
        "x" * 12 + "2" + "y" * 12,
    ]
    found = labels(names, 24)
    assert len(set(found.values())) == len(names) and found["short"] == "short" and found["_hidden"] == "hidden"
    assert all(len(each) <= 27 and each.isprintable() for each in found.values())


def test_a_browser_opens_it_without_complaint(tmp_path: Path) -> None:
    with browser() as running:
        for name in SAMPLES:
            path = tmp_path / f"{name}.html"
            path.write_text(made(name), encoding="utf-8")
            assert_opens(running, path)
