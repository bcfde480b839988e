"""The gate under attack by a generator that knows nothing of the gate's own tests."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.episodes.conversation import GUEST, HOST, conversation
from tests.episodes.gate.attacks import Truth, dresses, letters, lies, wrong_lines
from tests.episodes.gate.test_faithful import GOOD
from whetstone.episodes.content import Line
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.gate.faithful import check_lines
from whetstone.episodes.transcript import Origin, Timing, Transcript

TALK = conversation()


@pytest.mark.parametrize(
    "transcript",
    [TALK, conversation(timing=Timing.NONE), conversation(bare=True, origin=Origin.MACHINE)],
    ids=["published", "no times", "bare"],
)
def test_of_five_hundred_lies_none_passes(transcript: Transcript) -> None:
    gate = Gate(transcript)
    told = list(lies(transcript, 41, 500))
    kinds = Counter(kind for kind, _, _ in told)
    assert len(told) >= 420 and len(kinds) >= 16 and min(kinds.values()) >= 20, kinds
    passed = [lie for lie in told if isinstance(gate.check(lie[1], speaker=lie[2]), Accepted)]
    assert passed == []


def test_nobodys_names_do_not_let_two_peoples_words_run_together() -> None:
    gate = Gate(conversation(named=False))
    told = [lie for lie in lies(TALK, 43, 300) if lie[0] != "wrong speaker"]
    assert [lie for lie in told if isinstance(gate.check(lie[1]), Accepted)] == []


def test_of_a_thousand_true_quotes_all_pass() -> None:
    gate = Gate(TALK)
    assert [true for true in dresses(TALK, 47, 1000) if not isinstance(gate.check(true[0]), Accepted)] == []


def test_the_oracle() -> None:
    assert letters("“Well,” he said: 4,200.5 percent — don’t!") == letters("well he said 4200.5% don't")
    truth = Truth(TALK)
    assert truth.said("WE THREW AWAY the gearbox", GUEST)
    assert not truth.said("We threw away the gearbox", HOST)
    assert not truth.said("hrew away the gearbox") and not truth.said("it is quite heated")


def test_of_a_thousand_lines_with_a_wrong_number_none_is_shown() -> None:
    true = [*GOOD, *((TALK.segment_text(each.id), (each.id,)) for each in TALK.segments)]
    cited = [(text, " ".join(TALK.segment_text(each) for each in segments)) for text, segments in true]
    told = list(wrong_lines(cited, 53, 1000))
    assert len(Counter(kind for kind, _, _ in told)) == 11
    kept, _ = check_lines([Line(text, true[number][1]) for _, text, number in told], TALK, gate=Gate(TALK))
    assert [line.text for line in kept] == []
