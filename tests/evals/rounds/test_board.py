"""The leaderboard: ranks from the logs, entrants by their weights, equal difficulty checked, nothing left uncounted."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evals.rounds.sample_report import HOSTILE
from tests.evals.rounds.world import begin, finished
from tests.pages import Page, assert_opens, assert_self_contained, browser
from tests.tiny import tiny_folder
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.history import History
from whetstone.evals.rounds.board import leaderboard
from whetstone.evals.rounds.board_page import render
from whetstone.evals.rounds.round import Round
from whetstone.runs.progress import Progress

Board = dict[str, Any]


def _second_round(folder: Path, history: History, **options: object) -> Round:
    """The second model of `finished` under another name, and a new one."""
    round_ = begin(folder, history=history, **options)
    for seed, name in ((1, "renamed"), (2, "third")):
        round_.enter(str(tiny_folder(folder / name, seed=seed)), name)
    round_.draw()
    for name in round_.unanswered():
        round_.answer(name, Progress())
    round_.reveal(Progress())
    return round_


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(tmp_path_factory.mktemp("history") / "h.sqlite")


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory, history: History) -> list[Path]:
    """Two rounds for the board, one that was left out, one void and one that was never revealed."""
    base = tmp_path_factory.mktemp("rounds")
    one = finished(base / "one", history=history, title=f"one {HOSTILE[:40]}")
    one.decide(3, "drop", "two answers")
    one.report(Progress())
    two = _second_round(base / "two", history)
    finished(base / "three", history=history, strata="A", sealed=[], title="left out")
    begin(base / "four", history=history, title="ended").void("the secret was lost")
    begin(base / "five", history=history)
    return [one.path, two.path]


@pytest.fixture(autouse=True)
def own_history(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHETSTONE_HISTORY", str(history.path))


@pytest.fixture(scope="module")
def board(rounds: list[Path], history: History, tmp_path_factory: pytest.TempPathFactory) -> Board:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHETSTONE_HISTORY", str(history.path))
        return leaderboard(rounds[::-1], tmp_path_factory.mktemp("board") / "board.html")


def _right(path: Path, name: str) -> list[float]:
    lines = (path / "verdicts" / f"{name}.jsonl").read_text().splitlines()
    return [float(json.loads(line)["verdicts"][0] == "right") for line in lines]


def test_rows_are_those_of_the_reports_and_ranks_those_of_the_logs(board: Board, rounds: list[Path]) -> None:
    assert board["rounds"][0]["title"].startswith("one")  # by time, not as they were given
    for round_, path in zip(board["rounds"], rounds, strict=True):
        report = json.loads((path / "report.json").read_text())
        items = [json.loads(line) for line in (path / "items.jsonl").read_text().splitlines()]
        for stratum, told in zip(round_["strata"], report["strata"], strict=True):
            assert stratum["n"] == told["n"]
            place = [number for number, part in enumerate(("A", "B", "C")) if part == stratum["stratum"]]
            for row in stratum["rows"]:
                accuracy = told["entrants"][row["name"]]["accuracy"]
                assert {key: row[key] for key in accuracy} == pytest.approx(accuracy, abs=1e-6)
                dropped = {3} if path == rounds[0] else set()
                right = _right(path, row["name"])
                own = [right[i["place"]] for i in items if i["part"] in place and i["place"] not in dropped]
                assert row["mean"] == pytest.approx(np.mean(own)) and row["n"] == len(own)
                better = sum(other["mean"] > row["mean"] for other in stratum["rows"])
                assert row["rank"] == 1 + better
                assert 1 <= row["rank_low"] <= row["rank"] <= row["rank_high"] <= len(stratum["rows"])
    assert board["rounds"][0]["strata"][0]["n"] == 11  # one problem was dropped


def test_entrants_are_matched_by_their_weights(board: Board) -> None:
    names = [[place["name"] for place in entrant["places"]] for entrant in board["entrants"]]
    assert sorted(names) == [["first"] * 3, ["second"] * 3 + ["renamed"] * 3, ["third"] * 3]
    assert [entrant["name"] for entrant in board["entrants"]] == ["first", "renamed", "third"]


def test_equal_difficulty_is_checked_where_weights_came_twice(board: Board) -> None:
    checks = board["difficulty"]
    assert [(check["stratum"], check["name"]) for check in checks] == [(s, "renamed") for s in "ABC"]
    for check, before, after in zip(checks, *(round_["strata"] for round_ in board["rounds"]), strict=True):
        rows = {row["name"]: row for row in (*before["rows"], *after["rows"])}
        assert check["comparable"]
        assert check["mean"] == pytest.approx(rows["renamed"]["mean"] - rows["second"]["mean"])
        assert check["low"] <= check["mean"] <= check["high"]
        outside = check["low"] > 0 or check["high"] < 0
        assert check["verdict"] == ("differs" if outside else "no difference shown")


def test_what_is_not_on_the_board_is_counted(board: Board) -> None:
    past = board["history"]
    assert {key: past[key] for key in ("rounds", "voided", "unfinished", "left_out")} == {
        "rounds": 5,
        "voided": 1,
        "unfinished": 1,
        "left_out": 1,
    }
    assert {(each["state"], each["title"], each["reason"]) for each in past["others"]} >= {
        ("void", "ended", "the secret was lost"),
        ("revealed", "left out", ""),
    }
    assert board["links"][:2] == [
        "1 revealed round of this machine was left off this board",
        "on this machine 1 round was voided and 1 begun but never revealed",
    ]


def test_the_page_says_all_this(board: Board) -> None:
    words = assert_self_contained(render(board)).words.replace("\u00a0", " ")
    assert "Round 1, stratum A: " in words and "second = renamed" in words and "The same weights in two rounds" in words
    assert "the secret was lost" in words and "of these voided 1" in words and "<script" not in render(board)
    for round_ in board["rounds"]:
        assert round_["head"] in words
        for stratum in round_["strata"]:
            for row in stratum["rows"]:
                cell = f"{row['rank']} ({row['rank_low']} to {row['rank_high']}) · {100 * row['mean']:.1f} %"
                assert cell in words
    assert "None" not in words and not re.search(r"\bnan\b", words)


def test_a_browser_opens_it_without_complaint(board: Board, tmp_path: Path) -> None:
    (tmp_path / "board.html").write_text(render(board), encoding="utf-8")
    with browser() as running:
        assert_opens(running, tmp_path / "board.html")


def test_hostile_names_stay_text(board: Board) -> None:
    spoiled = copy.deepcopy(board)
    for entrant in spoiled["entrants"]:
        for place in entrant["places"]:
            place["name"] = HOSTILE + place["name"]
    for stratum in spoiled["rounds"][0]["strata"]:
        for row in stratum["rows"]:
            row["name"], row["control"] = HOSTILE + row["name"], HOSTILE
    spoiled["history"]["others"][0]["reason"] = HOSTILE
    page = render(spoiled)
    assert_self_contained(page)
    assert "<script" not in page and "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page


def test_rounds_that_share_nobody_are_said_to_be_assumed_equally_hard(board: Board) -> None:
    lonely = copy.deepcopy(board) | {"difficulty": []}
    assert "No weights entered two of these rounds" in Page(render(lonely)).words
    single = copy.deepcopy(board) | {"rounds": board["rounds"][:1], "difficulty": []}
    assert "There is one round" in Page(render(single)).words


def test_rounds_that_ask_in_another_way_are_not_compared(rounds: list[Path], history: History, tmp_path: Path) -> None:
    other = _second_round(tmp_path / "more", history, strata="A", sealed=[], samples=2)
    board = leaderboard([rounds[0], other.path], tmp_path / "board.html")
    assert [(check["name"], check["comparable"]) for check in board["difficulty"]] == [("renamed", False)]
    assert any("equally hard is assumed, not shown" in link for link in board["links"])
    assert "asked other things, or in another way" in Page((tmp_path / "board.html").read_text()).words


def test_only_whole_and_revealed_rounds_stand_on_it(rounds: list[Path], history: History, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is open: on a board stand revealed rounds"):
        leaderboard([begin(tmp_path / "open", history=history).path], tmp_path / "b.html")
    with pytest.raises(UsageError, match="was given twice"):
        leaderboard([rounds[0], rounds[0]], tmp_path / "b.html")
    with pytest.raises(UsageError, match="there is no round"):
        leaderboard([tmp_path / "nothing"], tmp_path / "b.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another --out"):
        leaderboard([rounds[1]], tmp_path / "file" / "b.html")
    copied = shutil.copytree(rounds[1], tmp_path / "copied")
    report = json.loads((copied / "report.json").read_text())
    report["strata"][0]["entrants"]["third"]["accuracy"]["mean"] = 1.0
    (copied / "report.json").write_text(json.dumps(report, indent=2))
    with pytest.raises(WorkFailed, match="does not hold"):
        leaderboard([copied], tmp_path / "b.html")
    assert not (tmp_path / "b.html").exists()
