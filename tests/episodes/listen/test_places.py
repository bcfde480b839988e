"""Where pages go, and what is told before anything is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from whetstone.episodes.heard import HearingSettings
from whetstone.episodes.store import Store
from whetstone.errors import UsageError
from whetstone.runs.lock import locked_beside
from whetstone.runs.progress import Progress


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--with", "no such model"], "no model is called"),
        (["--with", "http://127.0.0.1:1/v1"], "name one by --model"),
        (["--with", "http://127.0.0.1:1/v1", "--model", "m"], "cannot be reached"),
        (["--model", "m"], "--model needs --with"),
        (["--merge-with", "m"], "--merge-with needs --with"),
        (["--evidence", "a.txt"], "--evidence needs --with"),
        (["--evidence-from-library"], "needs --with"),
        (["--context", "2000"], "--context needs --with"),
        (["--recogniser", "nobody"], "no recogniser is called 'nobody'"),
        (["--second", "nobody"], "no recogniser is called 'nobody'"),
        (["--second", "base"], "name another recogniser"),
        (["--recogniser", "http://127.0.0.1:1/v1"], "--recogniser-name"),
        (["--title", "Two", "{tide}"], "a single file"),
        (["nowhere.vtt"], "there is no file nowhere.vtt"),
        (["ftp://example.org/a.mp3"], "only http"),
        (["--library", "{tide}"], "no library of episodes"),
    ],
)
def test_wrong_options_are_told_before_anything_is_made(
    options: list[str], said: str, tide: Path, tmp_path: Path, whet: Any
) -> None:
    out = tmp_path / "page"
    ran = whet(tide, "--out", out, *(option.format(tide=tide) for option in options))
    assert ran.code == 2 and said in ran.complaint and not out.exists()


def test_places_where_no_page_can_be_are_told_first(tide: Path, tmp_path: Path, whet: Any) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("my own page")
    for out, said in ((tide, "is a file"), (tmp_path / "mine", "not written by"), ("/proc/page", "no page can be")):
        ran = whet(tide, "--out", out)
        assert ran.code == 2 and said in ran.complaint
    assert (tmp_path / "mine" / "index.html").read_text() == "my own page"


def test_a_page_that_fails_its_own_check_is_not_written(
    tide: Path, tmp_path: Path, whet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whetstone.episodes.page import folder

    out = tmp_path / "page"
    assert whet(tide, "--out", out).code == 0
    before = (out / "index.html").read_bytes()
    honest = folder.render

    def lies(*arguments: Any) -> dict[str, str]:
        files = honest(*arguments)
        files["index.html"] = files["index.html"].replace("</p>\n<footer>", " at all</p>\n<footer>", 1)
        return files

    monkeypatch.setattr(folder, "render", lies)
    ran = whet(tide, "--out", out)
    assert ran.code == 1 and "the page was not written: its quote" in ran.complaint
    assert (out / "index.html").read_bytes() == before


def test_a_full_disk_is_one_clear_line(
    tide: Path, tmp_path: Path, library: Path, whet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "page"
    assert whet(tide, "--out", out).code == 0
    before = sorted(path.name for path in out.iterdir())
    full = OSError(28, "No space left on device")

    def write_bytes(path: Path, data: bytes) -> int:
        raise full

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    ran = whet(tide, "--out", out)
    assert ran.code == 1 and "the disk is full" in ran.complaint
    assert sorted(path.name for path in out.iterdir()) == before and not list(tmp_path.glob(".page*"))


def test_a_recogniser_is_looked_for_only_where_it_is_named(library: Path) -> None:
    from whetstone.episodes.heard import Hearing

    with Store(library) as store:
        Hearing(store, HearingSettings(), Progress())
        with pytest.raises(UsageError, match="no recogniser"):
            Hearing(store, HearingSettings(second="nobody"), Progress())


def test_one_process_at_a_time_writes_to_a_place(tide: Path, tmp_path: Path, whet: Any) -> None:
    out = tmp_path / "pages" / "page"
    with locked_beside(out):
        ran = whet(tide, "--out", out)
        assert ran.code == 2 and f"is in use by process {os.getpid()}" in ran.complaint and not out.exists()
        assert whet(tide, "--out", tmp_path / "other").code == 0
    assert whet(tide, "--out", out).code == 0
    assert [path.name for path in out.parent.iterdir()] == ["page"] and not list(tmp_path.glob(".*"))


def test_of_many_pages_one_that_another_process_writes_is_left_out(tide: Path, tmp_path: Path, whet: Any) -> None:
    other = tide.with_name("other.txt")
    other.write_text("Ann: There is a lighthouse on the hill.")
    out = tmp_path / "pages"
    with locked_beside(out / "tide"):
        ran = whet(tide, other, "--out", out)
    assert ran.code == 1 and "is in use" in ran.complaint and (out / "other" / "index.html").is_file()
