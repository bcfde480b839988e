"""What the tests of evidence have in common: a library of their own, a talk, a scripted model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.episodes.evidence.talk import SAID, Listener
from tests.episodes.model.scripted import Scripted, served


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "library" / "episodes.sqlite"
    monkeypatch.setenv("WHETSTONE_LIBRARY", str(path))
    for name in ("OPENAI_API_KEY", "WHETSTONE_SEARCH_KEY"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.txt"
    said = ["Ines Calder: Welcome to the show about machines that take a long time to get right."]
    said += [f"Tomas Adeyemi: {text}" for text in SAID.values()]
    path.write_text("\n\n".join(said))
    return path


@pytest.fixture
def model() -> Iterator[tuple[Scripted, str]]:
    scripted = Scripted(lies=False)
    with served(scripted) as address:
        yield scripted, address


@pytest.fixture
def whet(capsys: pytest.CaptureFixture[str], talk: Path, model: tuple[Scripted, str], tmp_path: Path) -> Listener:
    return Listener(capsys, talk, model[1], tmp_path / "page")
