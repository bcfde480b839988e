"""A talk with three claims, the pages that tell of them, and `whet listen` on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.episodes.evidence.web import article
from tests.episodes.listen.running import Ran

SAID = {
    "stream": "The stream in Skerra Sound runs at 3.6 metres per second at spring tide.",
    "turbine": "The Meygen turbine weighs 210 tonnes, and the old turbine weighed 85 tonnes.",
    "lighthouses": "There are 77 lighthouses between Wick and the Old Head of Stoer.",
}
PAGES = {
    "/stream": article(
        "Surveys of the coast",
        "Surveyors wrote this down in the year of the great storm, and nobody has measured it again since that time.",
        "In Skerra Sound the stream runs at 3.6 metres per second at a spring tide. The harbour of Wick is calmer.",
        head='<meta property="article:published_time" content="2024-05-01T10:00:00Z">',
    ),
    "/turbine": article(
        "What turbines weigh",
        "The Meygen turbine weighs 999 tonnes, and the old turbine weighed 85 tonnes, as its makers say in print.",
    ),
}
NOTHING = dict.fromkeys(SAID, "not enough evidence")  # the verdicts without evidence


class Listener:
    """`whet listen` on one talk with one model."""

    def __init__(self, capsys: pytest.CaptureFixture[str], talk: Path, model: str, out: Path) -> None:
        self._capsys, self._talk, self._model, self.out = capsys, talk, model, out

    def listen(self, *more: object) -> Ran:
        options = ("--with", self._model, "--model", "scripted", "--context", 3000, "--json")
        return Ran(self._capsys, self._talk, "--out", self.out, *options, *more)

    def stances(self, *more: object) -> dict[str, str]:
        """The verdict of each claim, by a word of it."""
        ran = self.listen(*more)
        assert ran.code == 0, ran.err
        claims = json.loads((self.out / "episode.json").read_text())["content"]["claims"]
        return {word: claim["stance"] for word, text in SAID.items() for claim in claims if claim["text"] == text}

    @property
    def html(self) -> str:
        return (self.out / "index.html").read_text()
