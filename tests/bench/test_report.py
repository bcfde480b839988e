import json
from pathlib import Path

import pytest

from bench import peer, report
from whetstone.errors import UsageError, WorkFailed


def test_ratio_above_one_means_ahead_in_both_directions() -> None:
    slower = report.row("rlvr", 20.0, 140.0, "TRL", "s/step", higher_is_better=False)
    faster = report.row("generate", 900.0, 450.0, "transformers", "tokens/s", higher_is_better=True)
    assert slower["ratio"] == 7.0 and faster["ratio"] == 2.0


def test_row_has_the_fields_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    row = report.row(
        "rlvr",
        1.0,
        3.0,
        "TRL",
        "s/step",
        higher_is_better=False,
        peer_versions={"trl": "1.16.0"},
        micro_batch=8,
    )
    report.print_rows([row], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert {"name", "ours", "peer", "peer_name", "ratio", "unit", "machine", "versions"} <= set(found)
    assert found["versions"]["peer trl"] == "1.16.0" and found["micro_batch"] == 8
    report.print_rows([row], as_json=False)
    assert capsys.readouterr().out.startswith("rlvr: 3.00 x TRL (ours 1, theirs 3 s/step; ")


def test_zero_is_not_a_measurement() -> None:
    with pytest.raises(ValueError):
        report.row("rlvr", 0.0, 1.0, "TRL", "s", higher_is_better=False)


def test_missing_peers_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "ENVIRONMENT", tmp_path / ".venv-bench")
    with pytest.raises(UsageError, match="make bench-setup"):
        peer.run_peer("trl_grpo")


def test_a_failing_peer_shows_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho chatter\necho 'out of memory' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(peer, "ENVIRONMENT", tmp_path)
    with pytest.raises(WorkFailed, match="out of memory"):
        peer.run_peer("trl_grpo")
