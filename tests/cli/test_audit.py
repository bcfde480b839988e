"""`whet audit` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import tiny_folder
from whetstone.cli import main
from whetstone.evals.contamination import siblings
from whetstone.evals.contamination.siblings import Effort, Sibling
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.registry import load_task


def _whet(*arguments: str) -> int:
    """Run the command in this process; its exit code."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


def _leak(seed: int = 0) -> str:
    task = load_task("reversal")
    key = Key.derive(str(seed).encode(), "whetstone eval")
    return Stream(task, key, "eval", 10).take(1, distinct=True)[0].question


def test_a_leak_in_a_corpus_is_printed_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(f"Nothing here.\n\nSomebody wrote: {_leak()} And so on.\n")
    assert _whet("audit", "corpus", str(corpus), "--task", "reversal", "--level", "10", "--n", "50") == 0
    out = capsys.readouterr().out
    assert "50 items of reversal in 2 documents" in out
    assert f"{corpus}:3  100 % of item 0 by words" in out
    assert "planted in this corpus and found again" in out and "verbatim: 13 words" in out
    assert _whet("audit", "corpus", str(corpus), "--task", "reversal", "--level", "10", "--n", "50", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["held"]["words"]["n"] == 50 and found["matches"][0]["item"] == 0


def test_hostile_text_of_a_corpus_is_spelled_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item = "one two three four five six seven eight nine ten \x1b[31meleven twelve thirteen fourteen fifteen"
    (tmp_path / "items.jsonl").write_text(json.dumps({"question": item}))
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"text": item}))
    assert _whet("audit", "corpus", str(tmp_path / "corpus.jsonl"), "--items", str(tmp_path / "items.jsonl")) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--task", "addition", "--items", "x"]])
def test_it_must_know_what_to_look_for(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert _whet("audit", "corpus", str(tmp_path / "a.txt"), *arguments) == 2


def test_a_model_is_audited_and_its_page_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = (Sibling("full", "verbatim"), Sibling("full", "clean"))
    monkeypatch.setitem(siblings.EFFORTS, "quick", Effort(6, 24, 6, few))
    model = str(tiny_folder(tmp_path / "model"))
    command = ["audit", "model", model, "--task", "addition", "--n", "12", "--out", str(tmp_path / "out")]
    assert _whet(*command) == 0
    out = capsys.readouterr().out
    page = tmp_path / "out" / "audit.html"
    assert str(page) in out and page.is_file()
    assert "12 items of addition level 2" in out and "Min-K%++" in out
    assert _whet(*command, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] in out
    assert found == json.loads((tmp_path / "out" / "audit.json").read_text())
    assert _whet(*command, "--level", "3") == 2
    assert "choose another --out" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("corpus", "model"):
        assert _whet("audit", verb, "--help") == 0
        assert "Example" in capsys.readouterr().out
