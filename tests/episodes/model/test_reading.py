"""The whole reading with a scripted model behind a real server: what is true is kept, what it makes up is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.episodes.conversation import conversation
from tests.episodes.model.scripted import Scripted, served
from tests.tiny import tiny_folder
from whetstone.engine.backends import Source
from whetstone.episodes import kept
from whetstone.episodes.content import About, Claim, Quote, Stance
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.gate.faithful import check_lines
from whetstone.episodes.model.claims import checkable
from whetstone.episodes.model.factcheck import Passage, check_claims
from whetstone.episodes.model.judging import standing
from whetstone.episodes.model.reading import Reading, read
from whetstone.episodes.model.writer import Writer
from whetstone.errors import UsageError

ABOUT = About("The tide at Skerra", "Slow Engine")


@pytest.fixture
def model() -> Scripted:
    return Scripted()


@pytest.fixture
def writer(model: Scripted) -> Iterator[Writer]:
    with served(model) as address:
        yield Writer.open(Source(address, "scripted"), 3000)


def test_a_page_of_a_good_model_that_sometimes_lies(model: Scripted, writer: Writer) -> None:
    transcript = conversation()
    reading = read(ABOUT, transcript, writer)
    content = reading.content
    assert content.made_by == "scripted"
    assert content.counts.covered == content.counts.segments == len(transcript.segments)
    for lines in (content.paragraph, content.summary, content.takeaways):
        assert lines and not check_lines(lines, transcript)[1]
    assert content.quotes and content.answered and content.chapters
    gate = Gate(transcript)
    for quote in content.quotes:
        assert isinstance(gate.words(quote.first, quote.end), Accepted)
    assert len(model.planted) >= 4
    shown = [line.text for part in (content.paragraph, content.summary, content.takeaways) for line in part]
    shown += [transcript.text(quote.first, quote.end) for quote in content.quotes]
    for planted in model.planted:
        assert planted not in shown and not any("bananas" in text or "elephants" in text for text in shown)
    assert content.counts.quotes_kept < content.counts.quotes_proposed
    assert any("bananas" in reason for reason in reading.refused)


def test_an_interrupted_reading_asks_for_the_rest_only(model: Scripted, writer: Writer) -> None:
    class Stopped(Exception):
        pass

    def stop(stage: str, done: int, wanted: int) -> None:
        if stage == "merge":
            raise Stopped

    with pytest.raises(Stopped):
        read(ABOUT, conversation(), writer, told=stop)
    asked = model.asked
    assert asked >= 2
    again = Writer(writer.name, writer.backend, writer.context, writer.memory)
    read(ABOUT, conversation(), again)
    fresh = Scripted()
    with served(fresh) as address:
        whole = read(ABOUT, conversation(), Writer.open(Source(address, "scripted"), 3000))
    assert model.asked == fresh.asked and whole.content.quotes


def test_a_server_that_is_busy_first(model: Scripted, tmp_path: Path) -> None:
    model.fail_first = 2
    settings = tmp_path / "endpoint.toml"
    settings.write_text("backoff = 0.01")
    with served(model) as address:
        writer = Writer.open(Source(address, "scripted", settings=settings), 3000)
        assert read(ABOUT, conversation(), writer).content.made_by == "scripted" and model.fail_first == 0


def test_a_model_that_answers_nothing_leaves_what_needs_no_model(model: Scripted, writer: Writer) -> None:
    model.answer = lambda messages, schema: {"nonsense": True}  # type: ignore[method-assign]
    reading = read(ABOUT, conversation(), writer)
    content = reading.content
    assert content.summary and content.quotes and "without a model: paragraph, summary, takeaways" in content.made_by
    assert content.counts.covered == 0 and content.counts.quotes_kept == 0
    assert any("lacks" in failure for failure in writer.failures)


def test_a_server_that_takes_no_schemas(model: Scripted, writer: Writer) -> None:
    """It is asked again with the schema in words, and its chatter around the JSON is left out."""
    model.without_schemas = True
    content = read(ABOUT, conversation(), writer).content
    assert content.made_by == "scripted" and content.counts.covered == content.counts.segments and content.quotes
    assert writer.failures == []


def test_texts_that_no_file_and_no_screen_can_hold(model: Scripted, writer: Writer) -> None:
    honest = model.answer

    def evil(messages: list, schema: dict) -> dict:  # type: ignore[type-arg]
        answer = honest(messages, schema)
        for item in answer.get("points", []):
            item["text"] += "\ud800\x1b[2J\u202e\x00"
        return answer

    model.answer = evil  # type: ignore[method-assign]
    reading = read(ABOUT, conversation(), writer)
    told = json.dumps([kept.plain(reading.content), reading.refused, dict(writer.memory)], ensure_ascii=False)
    told.encode("utf-8")
    assert not any(character in told for character in "\x1b\u202e\x00")
    assert reading.content.summary


def _reading(writer: Writer) -> Reading:
    return read(ABOUT, conversation(), writer)


def test_claims_are_checked_against_evidence_only(model: Scripted, writer: Writer) -> None:
    reading = _reading(writer)
    assert reading.claims
    nothing = check_claims(reading.claims, writer, None)
    assert {claim.stance for claim in nothing} <= {Stance.NOT_ENOUGH, Stance.NOT_CHECKABLE}
    text, said = next((text, said) for text, said in reading.claims if checkable(text))
    sources = {
        Stance.SUPPORTED: Passage(text, "A report", "report.pdf", "2026-01-01"),
        Stance.CONTRADICTED: Passage(
            " ".join("77777" if any(c.isdigit() for c in word) else word for word in text.split()), "Another", "b.txt"
        ),
        Stance.NOT_ENOUGH: Passage("The moon is made of rock and dust, as everybody knows.", "Moon", "moon.txt"),
    }
    for stance, passage in sources.items():
        claim = check_claims([(text, said)], writer, lambda claim, most, p=passage: [p])[0]
        assert claim.stance is stance, (stance, text)
        assert bool(claim.evidence) == (stance is not Stance.NOT_ENOUGH)
    dismissed = check_claims([(text, said)], writer, None, frozenset({claim.id}))[0]
    assert dismissed.dismissed


STREAM = "The stream in Skerra Sound runs at 3.6 metres per second."


def _checked(writer: Writer, texts: list[str], **more: Any) -> Claim:
    passages = [Passage(text, f"Source {number}", f"{number}.txt") for number, text in enumerate(texts)]
    return check_claims([(STREAM, Quote(0, 1, "Ann"))], writer, lambda claim, most: passages, **more)[0]


def test_the_sentences_that_decide_are_told(writer: Writer) -> None:
    deciding = "In Skerra Sound the stream runs at 3.6 metres per second."
    claim = _checked(writer, [f"The sea is cold. {deciding} Boats wait for it."])
    assert claim.stance is Stance.SUPPORTED and [each.words for each in claim.evidence] == [deciding]
    assert claim.evidence[0].words in claim.evidence[0].text
    assert _checked(writer, [deciding], own=lambda text: text == deciding).stance is Stance.NOT_ENOUGH, "its own words"


def test_two_looks_at_two_sources_show_both(model: Scripted, writer: Writer) -> None:
    honest = model.answer

    def first(messages: list, schema: dict) -> dict:  # type: ignore[type-arg]
        passage = messages[-1]["content"].split("<<<TRANSCRIPT\n", 1)[1].split("\n\n")[0]
        return (
            {"stance": "supported", "words": passage} if "stance" in schema["properties"] else honest(messages, schema)
        )

    model.answer = first  # type: ignore[method-assign]
    texts = [f"{STREAM} So the pilots say.", f"Charts agree. {STREAM}"]
    claim = _checked(writer, texts)
    assert claim.stance is Stance.SUPPORTED and [each.text for each in claim.evidence] == texts
    claim = _checked(writer, [texts[0], "The stream in Skerra Sound runs at 2.1 metres per second."])
    assert claim.stance is Stance.NOT_ENOUGH, "both looks have to show words that carry it"


def test_more_passages_than_the_model_takes_are_looked_at_as_far_as_they_go(writer: Writer) -> None:
    claim = _checked(writer, [STREAM, *("The sea is cold and deep in winter. " * 30 for _ in range(40))])
    assert claim.stance is Stance.SUPPORTED and not writer.failures
    assert _checked(writer, ["The sea is cold and deep in winter. " * 600, STREAM]).stance is Stance.SUPPORTED


def test_a_judge_that_invents_its_evidence_is_not_believed(model: Scripted, writer: Writer) -> None:
    honest = model.answer

    def invents(messages: list, schema: dict) -> dict:  # type: ignore[type-arg]
        answer = honest(messages, schema)
        if "supported" in answer:
            return {"supported": True, "words": "these words stand nowhere at all"}
        return answer

    model.answer = invents  # type: ignore[method-assign]
    content = _reading(writer).content
    assert "without a model: paragraph, summary, takeaways" in content.made_by


def test_words_that_stand_somewhere() -> None:
    passages = ["It was cold.", "The sand ate the seals in nine weeks."]
    assert standing("ate the Seals, in nine", passages) == 1
    assert standing("ate the seals in ten", passages) is None
    assert standing("It was", passages) is None, "too few to mean anything"


@pytest.mark.parametrize(
    ("text", "can"),
    [
        ("The stream runs at 3.6 metres per second at spring tide.", True),
        ("I think it cost us 4.2 million pounds.", False),
        ("It was a lovely day and everybody was happy.", False),
        ("Did the Sound freeze in 1963?", False),
        ("The plant is in Skerra Sound.", True),
    ],
)
def test_what_can_be_checked(text: str, can: bool) -> None:
    assert checkable(text) is can


def test_a_context_that_the_model_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more than"):
        Writer.open(Source(str(tiny_folder(tmp_path / "tiny"))), 1_000_000)
