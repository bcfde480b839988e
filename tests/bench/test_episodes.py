"""`whet bench episodes`: the sides do equal work, and what disagrees is not timed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import episodes
from whetstone.episodes import formats
from whetstone.errors import WorkFailed

ROOT = Path(__file__).resolve().parents[2]


def test_the_rows_of_a_small_run() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "episodes.py"), "--json", "--episodes", "2", "--queries", "3"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = {f"{row['name']} {row['peer_name']}": row for row in map(json.loads, done.stdout.splitlines())}
    assert list(rows) == [
        "episodes.import FTS5 rows alone",
        "episodes.size FTS5 rows alone",
        "episodes.two_words FTS5 rows alone",
        "episodes.two_words grep",
        "episodes.meaning a peer for that",
        "episodes.both a peer for that",
        "episodes.question a peer for that",
    ]
    assert all(row["ours"] > 0 and row["words"] == 20_000 for row in rows.values())


def test_made_talk_repeats_and_looks_like_talk() -> None:
    talk = episodes.Talk(2000)
    found = formats.read(talk.episode(3, 500).encode())
    assert talk.episode(3, 500) == episodes.Talk(2000).episode(3, 500) != talk.episode(4, 500)
    assert len(found.words) == 500 and {word.speaker for word in found.words} == {"Ann Lee", "Bob"}
    assert found.words[-1].text.endswith(".") and found.format == "vtt"


def test_unequal_work_gets_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "grep", lambda *_: 0)
    with pytest.raises(WorkFailed, match="grep finds nothing"):
        list(episodes.measure(1, 1, tmp_path))
