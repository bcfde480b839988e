"""The page's own output is held against the transcript once more."""

from dataclasses import replace
from html import escape

import pytest

from tests.episodes.conversation import GUEST, HOST, conversation
from tests.episodes.gate.mutations import mutated
from whetstone.episodes.content import Quote
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.gate.recheck import recheck
from whetstone.errors import WorkFailed

GATE = Gate(conversation())


def found(text: str) -> Quote:
    result = GATE.check(text)
    assert isinstance(result, Accepted)
    return result.quote


GEARBOX = found("We threw away the gearbox. That is the single most important decision we made.")


def shown(quote: Quote, *, text: str | None = None, speaker: str | None = None, extra: str = "") -> str:
    words = GATE.transcript.text(quote.first, quote.end) if text is None else text
    who = quote.speaker if speaker is None else speaker
    cite = f"<cite>{escape(who)}</cite>" if who else ""
    return (
        f'<blockquote data-first="{quote.first}" data-end="{quote.end}"><p>{escape(words)}</p>{extra}'
        f'<footer><a href="#t=12">0:12</a> {cite} <span>publisher transcript</span></footer></blockquote>'
    )


def page(*quotes: str) -> str:
    return f"<!doctype html><html><body><h1>A</h1><p>text</p>{''.join(quotes)}<cite>x</cite></body></html>"


def test_a_true_page_passes() -> None:
    other = found("I would talk to the people first, then measure the sand, and only then draw a turbine.")
    assert recheck(page(shown(GEARBOX), shown(other)), GATE) == 2
    assert recheck(page(), GATE) == 0
    spread = shown(GEARBOX).replace("away the", "away\n   <b>the</b><br>")
    assert recheck(page(spread), GATE) == 1


def test_every_false_word_stops_the_page() -> None:
    first, end = GEARBOX.first, GEARBOX.end
    for proposal in mutated(GATE.transcript, 300, seed=41):
        with pytest.raises(WorkFailed):
            recheck(page(shown(Quote(first, end, GUEST), text=proposal.text, speaker=proposal.speaker)), GATE)


@pytest.mark.parametrize(
    "html",
    [
        shown(GEARBOX, speaker=HOST),
        shown(GEARBOX, speaker=""),
        shown(GEARBOX, extra="<p>And we did it twice.</p>"),
        shown(GEARBOX, extra="And we did it twice."),
        shown(GEARBOX, extra="<div>And we did it twice.</div>"),
        shown(GEARBOX, text=""),
        shown(replace(GEARBOX, first=GEARBOX.first + 1, end=GEARBOX.end + 1), text="We threw away the gearbox."),
        shown(GEARBOX).replace(" data-first", " data-start"),
        shown(GEARBOX).replace(f'data-end="{GEARBOX.end}"', 'data-end="99999999"'),
        shown(GEARBOX).replace("</blockquote>", ""),
        shown(GEARBOX).replace("<footer>", "<blockquote>"),
        shown(GEARBOX).replace("<footer>", "<footer><cite>Mara Voss</cite>"),
        shown(GEARBOX).replace("away", "away &#110;ot"),
        shown(GEARBOX).replace("away", "away<p/>"),
        shown(Quote(GEARBOX.first, GEARBOX.first + 3, GUEST)),
    ],
)
def test_what_else_stops_the_page(html: str) -> None:
    with pytest.raises(WorkFailed):
        recheck(page(html), GATE)


def test_the_message_names_the_quote_and_what_differs() -> None:
    text = GATE.transcript.text(GEARBOX.first, GEARBOX.end).replace("single ", "")
    with pytest.raises(WorkFailed, match=r'We threw away the gearbox.*not in the transcript.*"single" became ""'):
        recheck(page(shown(GEARBOX, text=text)), GATE)
    with pytest.raises(WorkFailed, match="given to Mara Voss, and the transcript says Tomas Adeyemi"):
        recheck(page(shown(GEARBOX, speaker=HOST)), GATE)


def test_a_quote_without_a_certain_speaker_has_no_cite() -> None:
    gate = Gate(conversation(named=False))
    assert recheck(page(shown(replace(GEARBOX, speaker=""))), gate) == 1
    with pytest.raises(WorkFailed, match="nobody for certain"):
        recheck(page(shown(GEARBOX)), gate)
