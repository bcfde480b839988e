"""`whet scale` as a user runs it: real processes, a real server on the loopback, a kill in the middle."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import start, whet
from tests.engine.remote.loopback import NAME, Loopback, Reply, error, loopback
from tests.tiny import tiny_folder, tiny_model


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    tiny_folder(folder / "tiny", seed=3)
    (folder / "quick.toml").write_text("backoff = 0.01\nretries = 1\n")
    return folder


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback(model=tiny_model(seed=3)) as running:
        yield running


def measured(out: Path) -> Any:
    return json.loads((out / "scale.json").read_text())["measurements"]


def timeless(out: Path) -> list[Any]:
    """What every problem got right and cost, seconds apart."""
    return [
        [row["name"], {name: values for name, values in row["per_problem"].items() if name != "seconds"}]
        for each in measured(out)
        for row in each["points"]
    ]


def test_the_contract(desk: Path) -> None:
    """DESIGN section 4."""
    command = ("scale", "tiny", "--task", "digits", "--n", 10, "--budgets", "1,4,8", "--methods", "greedy,consistency")
    done = whet(*command, "--out", "first", "--json", cwd=desk)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["kind"] == "scaling" and found["measurements"][0]["points"][0]["name"] == "greedy"
    assert "tiny, digits level 2: 90/90" in done.err
    words = whet(*command, "--out", "first", cwd=desk)
    assert words.code == 0 and "One greedy answer is right in" in words.out and "consistency-8" in words.out
    assert "written: first/scale.html" in words.out


def test_mistakes_are_one_line_and_exit_2(desk: Path) -> None:
    for options, complaint in (
        (("--methods", "vote"), "unknown method 'vote'"),
        (("--budgets", "1,x"), "--budgets are whole numbers"),
        (("--task", "nothing"), "unknown task 'nothing'"),
        (("--model", "name"), "--model is for an endpoint"),
        (("--prices", "quick.toml"), "prices stand under a model's name"),
    ):
        failed = whet("scale", "tiny", "--out", "wrong", *options, cwd=desk)
        assert failed.code == 2 and failed.out == "" and complaint in failed.err, failed.err
        assert len(failed.err.strip().splitlines()) == 1
    missing = whet("scale", "nobody", "--out", "wrong", cwd=desk)
    assert missing.code == 2 and "no model is called 'nobody'" in missing.err
    assert not (desk / "wrong").exists()


def test_a_kill_in_the_middle_costs_nothing(desk: Path) -> None:
    command = ("scale", "tiny", "--task", "digits", "--n", 60, "--budgets", "1,32", "--methods", "greedy,consistency")
    whole = whet(*command, "--out", "whole", cwd=desk)
    assert whole.code == 0, whole.err
    running = start(*command, "--out", "killed", cwd=desk)
    running.until(lambda: rows(desk / "killed") > 0)
    running.send(signal.SIGKILL)
    assert running.finish().code != 0
    kept = rows(desk / "killed")
    assert 0 < kept < 60 * 33 and not (desk / "killed" / "scale.json").exists()
    again = whet(*command, "--out", "killed", cwd=desk)
    assert again.code == 0, again.err
    assert timeless(desk / "killed") == timeless(desk / "whole")
    other = whet(*command, "--seed", 1, "--out", "killed", cwd=desk)
    assert other.code == 2 and "killed belongs to a measurement of other seed (0; asked: 1)" in other.err


def rows(out: Path) -> int:
    try:
        # read-only: a look must not make the file, for then the folder would be taken for somebody else's
        with sqlite3.connect(f"file:{out / 'samples.sqlite'}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM samples").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_ctrl_c_says_how_to_go_on(desk: Path) -> None:
    command = ("scale", "tiny", "--task", "digits", "--n", 60, "--budgets", "32", "--methods", "consistency")
    running = start(*command, "--out", "stopped", cwd=desk)
    running.until(lambda: rows(desk / "stopped") > 0)
    running.send(signal.SIGINT)
    stopped = running.finish()
    assert stopped.code == 130 and "the same command goes on from there" in stopped.err


def test_an_endpoint_is_measured_like_weights(desk: Path, server: Loopback) -> None:
    options = ("--task", "digits", "--n", 12, "--methods", "greedy,consistency", "--budgets", "1,3", "--json")
    here = json.loads(whet("scale", "tiny", *options, "--out", "here", cwd=desk).out)
    (desk / "priced.toml").write_text(
        f'["{NAME}"]\ninput = 1.0\noutput = 2.0\ndate = 2026-02-03\nsource = "https://example.org/prices"\n'
    )
    command = ("scale", server.address, "--model", NAME, *options, "--prices", "priced.toml", "--out", "there")
    there = json.loads(whet(*command, cwd=desk).out)
    assert len(server.asked) == 12 * 4, "each sample once"
    ours, theirs = (found["measurements"][0]["points"] for found in (here, there))
    assert theirs[0]["accuracy"] == ours[0]["accuracy"], "greedy, whoever runs the model"
    tokens = [points[0]["costs"]["tokens"]["mean"] for points in (ours, theirs)]
    assert tokens[1] == pytest.approx(tokens[0], abs=1), "the server's count is shared evenly, in whole tokens"
    assert "flops" not in theirs[0]["costs"]
    three, one = theirs[2]["costs"], theirs[1]["costs"]
    assert three["prompt_tokens"]["mean"] == pytest.approx(3 * one["prompt_tokens"]["mean"], rel=1e-4), "asked apart"
    usd = (three["prompt_tokens"]["mean"] + 2 * three["written_tokens"]["mean"]) / 1e6
    assert three["usd"]["mean"] == pytest.approx(usd, rel=1e-4)
    assert there["prices"][0]["date"] == "2026-02-03" and there["models"][0]["backend"]["usage"]["answered"] == 48
    again = whet(*command, cwd=desk)
    assert again.code == 0 and len(server.asked) == 48, "nothing is asked twice"


def test_what_never_comes_is_a_verdict_and_is_shown(desk: Path, server: Loopback) -> None:
    def trouble(_asked: object, before: int) -> Reply | None:
        kinds = {4: error(400, "filtered", code="content_filter"), 9: error(418, "teapot"), 11: Reply(hang=3.0)}
        return kinds.get(before)

    server.trouble = trouble
    (desk / "once.toml").write_text("retries = 0\nconcurrency = 1\ntimeout = 1.0\n")
    command = ("scale", server.address, "--model", NAME, "--task", "digits", "--n", 10, "--methods", "consistency")
    command += ("--budgets", "2", "--endpoint-settings", "once.toml", "--out", "troubled")
    done = whet(*command, cwd=desk)
    assert done.code == 0, done.err
    (each,) = measured(desk / "troubled")
    point = each["points"][0]
    assert point["failures"] == {"error": 0.1, "refused": 0.1, "timeout": 0.1} == each["pools"][0]["failures"]
    assert each["pools"][0]["verdicts"]["timeout"] == 1 and each["pools"][0]["verdicts"]["error"] == 0
    assert "0.30 failed a question" in done.out
    assert "refused or did not answer" in (desk / "troubled" / "scale.html").read_text()
    before = len(server.asked)
    assert whet(*command, cwd=desk).code == 0
    assert len(server.asked) == before + 2, "a refusal is an answer; what may come the next time is asked again"
    (mended,) = measured(desk / "troubled")
    assert mended["points"][0]["failures"] == {"refused": 0.1}


def test_nothing_answered_is_no_measurement(desk: Path, server: Loopback) -> None:
    server.trouble = lambda _asked, _before: error(500, "the model is gone")
    command = ("scale", server.address, "--model", NAME, "--task", "digits", "--n", 5, "--methods", "consistency")
    failed = whet(*command, "--budgets", "2", "--endpoint-settings", "quick.toml", "--out", "gone", cwd=desk)
    assert failed.code == 1 and "not one of 10 requests was answered" in failed.err
    assert not (desk / "gone" / "scale.json").exists()
