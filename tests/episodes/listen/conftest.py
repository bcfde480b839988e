"""What the tests of `whet listen` have in common: a library of their own, a transcript, a scripted model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.episodes.listen.running import VTT, Ran
from tests.episodes.model.scripted import Scripted, served


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "library" / "episodes.sqlite"
    monkeypatch.setenv("WHETSTONE_LIBRARY", str(path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return path


@pytest.fixture
def tide(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "tide.vtt"
    path.parent.mkdir()
    path.write_text(VTT)
    return path


@pytest.fixture
def model() -> Iterator[tuple[Scripted, str]]:
    scripted = Scripted()
    with served(scripted) as address:
        yield scripted, address


@pytest.fixture
def whet(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: Ran(capsys, *arguments)
