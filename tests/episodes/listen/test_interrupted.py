"""What was done is kept: interruptions, endpoints that go away, several at once."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

from tests.episodes.listen.running import TIDE, facts, make
from tests.episodes.model.scripted import Scripted, served
from whetstone.episodes.listening import Settings
from whetstone.episodes.several import Outcome, Wanted, listen
from whetstone.episodes.store import Store, stages
from whetstone.runs.progress import Progress


def test_an_interrupted_reading_goes_on(
    model: tuple[Scripted, str], tide: Path, tmp_path: Path, library: Path, whet: Any
) -> None:
    scripted, address = model
    honest, asked = scripted.answer, []

    def stops(messages: list[dict[str, str]], schema: dict[str, Any]) -> dict[str, Any]:
        asked.append(messages[-1]["content"])
        if len(asked) == 4:
            import _thread

            _thread.interrupt_main()
        return honest(messages, schema)

    scripted.answer = stops  # type: ignore[method-assign]
    options = (tide, "--out", tmp_path / "page", "--with", address, "--model", "scripted", "--context", 3000)
    ran = whet(*options)
    assert ran.code == 130 and "the same command goes on" in ran.err and not (tmp_path / "page").exists()
    scripted.answer = honest  # type: ignore[method-assign]
    before, scripted.asked = len(asked), 0
    assert whet(*options).code == 0
    fresh = Scripted()
    with served(fresh) as other:
        make([tide], tmp_path / "other", other, tmp_path / "other.sqlite")
    assert 0 < scripted.asked < fresh.asked and before + scripted.asked <= fresh.asked + 8


def test_parts_without_an_answer_are_asked_for_again(
    model: tuple[Scripted, str], tide: Path, tmp_path: Path, library: Path, whet: Any
) -> None:
    """An endpoint that goes away half-way leaves a partial page that says so; the same command completes it."""
    scripted, address = model
    settings = tmp_path / "endpoint.toml"
    settings.write_text("retries = 0\nconcurrency = 1\n")
    honest, failing = scripted.answer, threading.Event()

    def fails(messages: list[dict[str, str]], schema: dict[str, Any]) -> dict[str, Any]:
        if "title" in schema["properties"] and "[0]" not in messages[-1]["content"] and not failing.is_set():
            scripted.fail_first = 1
            raise ConnectionError
        return honest(messages, schema)

    scripted.answer = fails  # type: ignore[method-assign]
    options = (tide, "--out", tmp_path / "page", "--with", address, "--model", "scripted", "--context", 3000,
               "--endpoint-settings", settings, "--json")  # fmt: skip
    partial = facts(whet(*options))
    assert 0 < partial["counts"]["covered"] < partial["counts"]["segments"]
    assert "partial" in (tmp_path / "page" / "index.html").read_text()
    failing.set()
    scripted.fail_first = 0
    whole = facts(whet(*options))
    assert whole["counts"]["covered"] == whole["counts"]["segments"]


def test_several_at_once_share_a_library(tide: Path, tmp_path: Path, library: Path) -> None:
    outcomes: list[Outcome] = []

    def run(place: int) -> None:
        outcomes.append(listen(Wanted([str(tide)]), tmp_path / f"page{place}", Settings(), Progress(), library))

    threads = [threading.Thread(target=run, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 3 and {outcome.made[0].episode for outcome in outcomes} == {1}
    assert sqlite3.connect(library).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_was_heard_outlives_a_transcript(library: Path) -> None:
    from whetstone.episodes.content import About

    with Store(library) as store:
        number = store.add_episode(store.add_show("Show"), About("One"))
        stages.record(store, number, "hear/0", {}, {"words": []})
        stages.record(store, number, "read", {}, {"lines": []})
        store.set_transcript(number, TIDE)
        assert stages.finished(store, number).keys() == {"hear/0"}
