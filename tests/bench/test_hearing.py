"""`whet bench hearing`: the sound is as long as it says, errors are counted, and (slow) a small run gives its rows."""

import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from bench import hearing

ROOT = Path(__file__).resolve().parents[2]


def test_the_sound_is_whole_texts(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the extra asr is not installed")
    try:
        paths = hearing.files(tmp_path, 3)
    except hearing.UsageError as failure:
        pytest.skip(str(failure))
    for path, voice in zip(paths, hearing.VOICES, strict=True):
        with wave.open(str(path)) as whole, wave.open(str(tmp_path / f"{voice}.wav")) as once:
            times = whole.getnframes() / (once.getnframes() + once.getframerate() // 2)
            assert times == 2 and 50 < whole.getnframes() / whole.getframerate() < 100


def test_errors_are_counted_over_all_texts() -> None:
    pytest.importorskip("jiwer")
    pytest.importorskip("whisper_normalizer")
    words = len(hearing.TEXT.split())
    assert hearing.errors([hearing.TEXT, hearing.TEXT], [1, 1]) == 0
    wrong = hearing.TEXT.replace("ferry", "fairy").replace("$", "")
    assert hearing.errors([wrong, hearing.TEXT], [1, 1]) == pytest.approx(100 / (2 * words), rel=0.05)


@pytest.mark.slow
def test_the_rows_of_a_small_run() -> None:
    pytest.importorskip("faster_whisper", reason="the extra asr is not installed")
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "hearing.py"), "--json", "--minutes", "0.1", "--weights", "tiny.en"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["name"] for row in rows] == [f"hearing.tiny.en.{name}" for name in ("speed", "memory", "right_words")]
    assert rows[0]["ours"] > 1 and rows[1]["ours"] < 1000 and rows[2]["ours"] > 80
