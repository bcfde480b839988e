"""The page's folder: whole or not there, and what else lies in it stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.episodes.conversation import conversation
from tests.episodes.written import ABOUT, content
from whetstone.episodes.content import About
from whetstone.episodes.page import folder, write_page
from whetstone.errors import UsageError, WorkFailed

TRANSCRIPT = conversation()
WRITTEN = content(TRANSCRIPT)


def write(out: Path, about: About = ABOUT) -> Path:
    return write_page(out, about, TRANSCRIPT, WRITTEN, {})


def test_a_page_and_its_files(tmp_path: Path) -> None:
    assert write(tmp_path / "new" / "page") == tmp_path / "new" / "page" / "index.html"
    names = {entry.name for entry in (tmp_path / "new" / "page").iterdir()}
    assert names == {*folder.OURS, folder.LIST}
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["page"]


def test_other_files_stay_and_ours_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "page"
    write(out)
    (out / "sound.mp3").write_bytes(b"sound")
    (out / "notes").mkdir()
    (out / "notes" / "mine.txt").write_text("mine")
    (out / "link").symlink_to("sound.mp3")
    write(out, About("Another title"))
    assert "Another title" in (out / "index.html").read_text()
    assert (out / "sound.mp3").read_bytes() == b"sound" and (out / "notes" / "mine.txt").read_text() == "mine"
    assert os.readlink(out / "link") == "sound.mp3"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page"]


def test_an_edited_file_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "episode.md").write_text("my notes")
    write(tmp_path)
    assert (tmp_path / "episode.edited.md").read_text() == "my notes"
    (tmp_path / "episode.md").write_text("more notes")
    write(tmp_path)
    assert (tmp_path / "episode.edited.md").read_text() == "my notes"
    assert (tmp_path / "episode.edited-2.md").read_text() == "more notes"
    assert (tmp_path / "episode.md").read_text().startswith("# The tide")


def test_a_users_own_page_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my site")
    with pytest.raises(UsageError, match="was not written by this program"):
        write(tmp_path)
    assert (tmp_path / "index.html").read_text() == "my site" and len(list(tmp_path.iterdir())) == 1
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        write(file)


def test_a_write_that_fails_leaves_the_old_page_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "page"
    write(out)
    (out / "sound.mp3").write_bytes(b"sound")
    before = {entry.name: entry.read_bytes() for entry in out.iterdir()}
    real = Path.write_bytes

    def failing(self: Path, data: bytes) -> int:
        if self.name == "episode.json":
            raise OSError(5, "Input/output error")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises(WorkFailed, match="could not be written"):
        write(out, About("Another title"))
    assert {entry.name: entry.read_bytes() for entry in out.iterdir()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["page"]


def test_where_files_cannot_have_two_names_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    (tmp_path / "sound.mp3").write_bytes(b"sound")

    def refused(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    write(tmp_path)
    assert (tmp_path / "sound.mp3").read_bytes() == b"sound"
