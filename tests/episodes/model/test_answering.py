"""Questions over a library, answered by a scripted model: what the passages say is shown, what it makes up is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.episodes.conversation import conversation
from tests.episodes.live_library import library
from tests.episodes.model.scripted import Scripted, served
from whetstone.engine.backends import Source
from whetstone.episodes.content import About
from whetstone.episodes.library.shelf import Wanted
from whetstone.episodes.library.stored import open_shelf
from whetstone.episodes.model.answering import Composer
from whetstone.episodes.model.writer import Writer
from whetstone.episodes.store import Store

QUESTION = "How fast does the stream run at spring tide?"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "l.sqlite"
    with Store(path) as made:
        made.set_transcript(made.add_episode(made.add_show("The Slow Engine"), About("Tides")), conversation())
    return path


@pytest.fixture
def model() -> Iterator[tuple[Scripted, Composer]]:
    scripted = Scripted()
    with served(scripted) as address:
        yield scripted, Composer(Writer.open(Source(address, "scripted")))


def test_an_answer_cites_seconds_and_holds_no_lie(model: tuple[Scripted, Composer], store: Path) -> None:
    scripted, compose = model
    reply = open_shelf(store, compose).ask(QUESTION, Wanted())
    assert reply.made_by == "scripted" and not reply.problem and 1 <= len(reply.lines) <= 4
    for text, hits in reply.lines:
        assert hits and all(hit.start is not None for hit in hits)
        assert text.split()[0] in " ".join(hit.text for hit in hits)
    assert scripted.planted and not {text for text, _ in reply.lines} & set(scripted.planted)
    assert not re.search("1877|nothing that exists", str(reply.lines))
    with library(open_shelf(store, compose)) as address:
        page = httpx.post(f"{address}/ask", data={"q": QUESTION}).text
    assert "Written by scripted from the passages below" in page and reply.lines[0][0].split("'")[0] in page
    assert "1877" not in page and "#s" in page


@pytest.mark.parametrize("bad", [{"lines": []}, {"lines": "x"}, {"lines": [{"text": "No.", "passages": [True]}]}, {}])
def test_without_an_answer_the_passages_are_shown_and_why(
    bad: dict[str, object], model: tuple[Scripted, Composer], store: Path
) -> None:
    scripted, compose = model
    scripted.answer = lambda messages, schema: bad  # type: ignore[method-assign]
    reply = open_shelf(store, compose).ask(QUESTION, Wanted())
    assert reply.made_by == "no model" and reply.problem
    assert "3.6 metres per second" in " ".join(text for text, _ in reply.lines)


def test_a_model_that_is_gone_does_not_take_the_library_along(store: Path) -> None:
    compose = Composer(Writer.open(Source("http://127.0.0.1:1/v1", "gone")))
    with library(open_shelf(store, compose)) as address:
        answer = httpx.post(f"{address}/ask", data={"q": QUESTION}, timeout=60)
    assert answer.status_code == 200 and "The model was not asked" in answer.text and "3.6 metres" in answer.text
