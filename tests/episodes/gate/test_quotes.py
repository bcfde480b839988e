"""The quote gate: nothing that was not said, everything that was."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.episodes.conversation import GUEST, HOST, conversation, transcript_of
from tests.episodes.gate.mutations import Oracle, Proposal, dressed, mutated, true_spans
from whetstone.episodes import formats, segments
from whetstone.episodes.content import Badge, Quote
from whetstone.episodes.gate import Accepted, Gate, Reason, Refused
from whetstone.episodes.transcript import Origin, Timing, Transcript


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(conversation())


def refused(result: Accepted | Refused) -> Reason:
    assert isinstance(result, Refused), result
    return result.reason


def quote(result: Accepted | Refused) -> Quote:
    assert isinstance(result, Accepted), str(result)
    return result.quote


@pytest.mark.parametrize(
    ("timing", "origin"),
    [(Timing.WORD, Origin.PUBLISHER), (Timing.CUE, Origin.MACHINE), (Timing.NONE, Origin.PUBLISHER)],
)
def test_of_a_thousand_false_quotes_none_is_accepted(timing: Timing, origin: Origin) -> None:
    transcript = conversation(timing=timing, origin=origin)
    gate = Gate(transcript)
    proposals = mutated(transcript, 1000, seed=17)
    kinds = Counter(proposal.kind for proposal in proposals)
    assert len(kinds) == 14 and min(kinds.values()) >= 70
    accepted = [p for p in proposals if isinstance(gate.check(p.text, speaker=p.speaker), Accepted)]
    assert accepted == []


def test_false_quotes_from_a_transcript_without_punctuation_are_refused_too() -> None:
    transcript = conversation(origin=Origin.MACHINE, bare=True)
    gate = Gate(transcript)
    accepted = [
        p for p in mutated(transcript, 1000, seed=23) if isinstance(gate.check(p.text, speaker=p.speaker), Accepted)
    ]
    assert accepted == []


def test_true_quotes_are_accepted_whatever_their_dress(gate: Gate) -> None:
    draw = random.Random(5)
    transcript = gate.transcript
    wrong = []
    for first, end in true_spans(transcript, 2000, seed=29):
        proposal = dressed(transcript.text(first, end), draw)
        result = gate.check(proposal, speaker=transcript.words[first].speaker)
        if not isinstance(result, Accepted) or first not in (result.quote.first, *result.also):
            wrong.append((proposal, result))
    assert wrong == []


def test_the_oracle_itself_tells_true_from_false() -> None:
    oracle = Oracle(conversation())
    assert oracle.true(Proposal("", "We threw away the gearbox. That is the single most important decision we made."))
    assert not oracle.true(Proposal("", "We threw away the gearbox. That is the most important decision we made."))
    assert not oracle.true(Proposal("", "We did not … test the seals in sand."))
    assert not oracle.true(Proposal("", "We threw away the gearbox. That is the single", HOST))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_gate_agrees_with_brute_force_on_any_list_of_words(data: st.DataObject) -> None:
    word = st.sampled_from(["the", "tide", "not", "turns", "3.6", "36", "don't", "do", "well-known", "known", "40%"])
    said = data.draw(st.lists(st.tuples(st.sampled_from("AB"), st.lists(word, min_size=1, max_size=12)), min_size=1))
    transcript = transcript_of([(who, " ".join(words)) for who, words in said])
    gate, oracle = Gate(transcript), Oracle(transcript)
    proposal = " ".join(data.draw(st.lists(word, min_size=6, max_size=9)))
    speaker = data.draw(st.sampled_from(["", "A", "B"]))
    for text in (proposal, " ".join(said[0][1] + said[-1][1])):
        result = gate.check(text, speaker=speaker)
        if isinstance(result, Refused) and result.reason is Reason.SHORT:
            continue
        assert isinstance(result, Accepted) == oracle.true(Proposal("", text, speaker))


def test_what_is_accepted_is_a_place_and_the_text_is_the_transcripts_own(gate: Gate) -> None:
    found = quote(gate.check("WE THREW AWAY the gearbox — that is the single most important decision we made"))
    assert gate.transcript.text(found.first, found.end) == (
        "We threw away the gearbox. That is the single most important decision we made."
    )
    assert found.speaker == GUEST and found.badges == (Badge.PUBLISHER,)


def test_a_refusal_names_the_nearest_words_and_the_difference(gate: Gate) -> None:
    result = gate.check("We did test the seals in sand. We tested them in clean salt water.")
    assert refused(result) is Reason.ABSENT
    assert isinstance(result, Refused) and result.nearest is not None
    nearest = result.nearest
    assert gate.transcript.text(nearest.first, nearest.end).startswith("We did not test the seals in sand.")
    assert nearest.differences == (("not", ""),)
    assert 'became ""' in str(result)
    unlike = gate.check("Quantum chromodynamics explains everything about lobsters, they say")
    assert isinstance(unlike, Refused) and unlike.nearest is None


def test_several_places() -> None:
    turns = [("A", "I would talk to the people first."), ("B", "I would talk to the people first."), ("A", "Yes.")]
    gate = Gate(transcript_of(turns))
    text = "I would talk to the people first"
    result = gate.check(text)
    assert isinstance(result, Accepted) and result.quote.first == 0 and result.also == (7,)
    assert quote(gate.check(text, segments=[1])).first == 7
    assert quote(gate.check(text, segments=[2])).first == 0  # none is inside: the first, and all are named
    assert quote(gate.check(text, speaker="B")).first == 7
    assert refused(gate.check(text, speaker="C")) is Reason.OTHER_SPEAKER


def test_short_words_ellipses_and_brackets(gate: Gate) -> None:
    assert refused(gate.check("We threw away the gearbox.")) is Reason.SHORT
    assert refused(gate.check("")) is Reason.SHORT
    assert refused(gate.check("— … “” !")) is Reason.SHORT
    for text in ("We did not… test the seals in sand", "We did not test [the] seals in sand",
                 "We did not test . . . the seals in sand", "...We did not test the seals in sand"):  # fmt: skip
        assert refused(gate.check(text)) is Reason.OMISSION
    trailing = Gate(transcript_of([("A", "I thought that we would... never see the end of it.")]))
    assert quote(trailing.check("I thought that we would… never see the end of it")).first == 0
    assert quote(trailing.check("I thought that we would never see the end of it")).first == 0
    assert refused(trailing.check("I thought that we would never… see the end of it")) is Reason.OMISSION


def test_part_of_a_word_is_no_quote() -> None:
    gate = Gate(transcript_of([("A", "He runs a non-profit station for the whole island, a three-quarter-built one.")]))
    assert refused(gate.check("profit station for the whole island")) is Reason.ABSENT
    assert refused(gate.check("station for the whole island a three quarter")) is Reason.ABSENT
    assert quote(gate.check("a non profit station for the whole island")).first == 2


def test_a_pause_of_three_seconds_ends_a_quote() -> None:
    spoken = transcript_of([("A", "We measured the sand before the storm and we measured it again after.")])

    def moved(seconds: float, timing: Timing = Timing.WORD) -> Gate:
        later = tuple(
            replace(w, start=w.start + seconds, end=w.end + seconds) if i >= 5 and w.start and w.end else w
            for i, w in enumerate(spoken.words)
        )
        return Gate(replace(spoken, words=later, timing=timing))

    text = "measured the sand before the storm and we"
    assert quote(moved(2.9).check(text)).first == 1
    assert refused(moved(3.0).check(text)) is Reason.PAUSE
    assert refused(moved(-60).check(text)) is Reason.PAUSE
    assert quote(moved(30).check("the storm and we measured it again")).first == 5
    nobody_knows = replace(spoken, words=tuple(replace(w, start=None, end=None) for w in spoken.words))
    assert quote(Gate(nobody_knows).check(text)).first == 1


def _with_speakers(transcript: Transcript, speakers: list[str]) -> Transcript:
    words = tuple(replace(word, speaker=who) for word, who in zip(transcript.words, speakers, strict=True))
    return replace(transcript, words=words)


def test_no_name_where_nine_in_ten_words_do_not_carry_it() -> None:
    text = "The blades pitch round and then they wait for the stream to pass one metre per second again today."
    spoken = transcript_of([("A", text)], origin=Origin.MACHINE)
    count = len(spoken.words)
    nine = Gate(_with_speakers(spoken, [""] + ["A"] * (count - 1)))
    assert quote(nine.check(text)).speaker == "A"
    fewer = Gate(_with_speakers(spoken, [""] * 3 + ["A"] * (count - 3)))
    assert quote(fewer.check(text)).speaker == ""
    assert quote(fewer.check(text, speaker="B")).speaker == ""  # uncertain: no name is shown, so none is wrong
    nobody = Gate(_with_speakers(spoken, [""] * count))
    assert quote(nobody.check(text)).speaker == ""


def test_a_stray_word_of_a_recogniser_does_not_matter_but_a_turn_does() -> None:
    text = "The blades pitch round and then they wait for the stream to pass one metre per second again today."
    spoken = transcript_of([("A", text)], origin=Origin.MACHINE)
    stray = ["A"] * len(spoken.words)
    stray[7] = "B"
    assert quote(Gate(_with_speakers(spoken, stray)).check(text)).speaker == "A"
    publisher = replace(spoken, origin=Origin.PUBLISHER)
    assert refused(Gate(_with_speakers(publisher, stray)).check(text)) is Reason.SPEAKERS
    turns = transcript_of([("A", text), ("B", "No.")], origin=Origin.MACHINE)
    assert refused(Gate(turns).check(text + " No.")) is Reason.SPEAKERS


def test_badges() -> None:
    plain = "We threw away the gearbox. That is the single most important decision we made."
    numbers = "It cost us 4.2 million pounds and, I think, about half of our investors."
    names = "Then a skipper called Agnes Rourke came to a public meeting with a roll of charts"
    publisher, machine = Gate(conversation()), Gate(conversation(origin=Origin.MACHINE))
    bare = Gate(conversation(origin=Origin.MACHINE, bare=True))
    for text in (plain, numbers, names):
        assert quote(publisher.check(text)).badges == (Badge.PUBLISHER,)
        assert quote(bare.check(text)).badges == (Badge.MACHINE, Badge.LISTEN)
    assert quote(machine.check(plain)).badges == (Badge.MACHINE,)
    assert quote(machine.check(numbers)).badges == (Badge.MACHINE, Badge.LISTEN)
    assert quote(machine.check(names)).badges == (Badge.MACHINE, Badge.LISTEN)
    place = quote(machine.check(plain)).first
    for change in ({"probability": 0.49}, {"doubtful": True}):
        words = list(machine.transcript.words)
        words[place + 2] = replace(words[place + 2], **change)  # type: ignore[arg-type]
        changed = Gate(replace(machine.transcript, words=tuple(words)))
        assert quote(changed.check(plain)).badges == (Badge.MACHINE, Badge.LISTEN)
    looped = tuple(replace(word, doubtful=True) for word in machine.transcript.words)
    assert refused(Gate(replace(machine.transcript, words=looped)).check(plain)) is Reason.REPEATS


def test_a_quote_is_widened_to_whole_sentences(gate: Gate) -> None:
    cut = quote(gate.check("test the seals in sand. We tested them in clean salt water"))
    whole = quote(gate.whole(cut))
    assert gate.transcript.text(whole.first, whole.end).startswith("We did not test the seals in sand.")
    assert gate.transcript.text(whole.first, whole.end).endswith("they were perfect.")


def test_where_whole_sentences_are_too_long_no_half_one_is_shown() -> None:
    long = (
        "He denied, as everybody who was there will remember, that " + "the sea wall was old and " * 5 + "it gave way."
    )
    turns = [("A", f"{long} Nobody was hurt on that day. {long}")]
    gate = Gate(transcript_of(turns))
    first, second, _ = gate.transcript.segments
    over = quote(gate.check("it gave way. Nobody was hurt on that day. He denied, as everybody"))
    assert (over.first, over.end) != (second.first, second.end)
    shown = quote(gate.whole(over))
    assert (shown.first, shown.end) == (second.first, second.end)  # the sentence that is whole in it
    half = quote(gate.check("the sea wall was old and it gave way"))
    shown = quote(gate.whole(half, longest=10))
    assert (shown.first, shown.end) == (first.first, first.end)
    broken = tuple(
        replace(word, start=word.start + 60, end=word.end + 60) if at > 5 and word.start and word.end else word
        for at, word in enumerate(gate.transcript.words)
    )
    paused = Gate(replace(gate.transcript, words=broken))
    half = quote(paused.check("the sea wall was old and it gave way"))
    assert refused(paused.whole(half)) is Reason.CUT


def test_where_nobody_is_named_a_paragraph_may_be_somebody_elses() -> None:
    text = "Did the wall hold that night? Yes, it did."
    captions = "WEBVTT\n\n00:00.000 --> 00:03.000\n>> Did the wall hold that night?\n\n" \
               "00:03.000 --> 00:05.000\n>> Yes, it did. And it stands today.\n"  # fmt: skip
    spoken = segments.transcript(formats.read(captions.encode()))
    assert refused(Gate(spoken).check(text)) is Reason.SPEAKERS
    assert quote(Gate(spoken).check("Yes, it did. And it stands today.")).speaker == ""
    written = b"Did the wall hold that night?\n\nYes, it did. And it stands today.\n"
    assert refused(Gate(segments.transcript(formats.read(written))).check(text)) is Reason.SPEAKERS
    # paragraphs that the program made, for the page, say nothing of who speaks
    card = "{0}\n00:{0:02}:00,000 --> 00:{0:02}:59,500\nThe tide comes in and the tide goes out again.\n\n"
    made = segments.transcript(formats.read("".join(card.format(at) for at in range(60)).encode()))
    assert sum(each.paragraph for each in made.segments) > 3
    border = next(each.first for each in made.segments[1:] if each.paragraph)
    assert quote(Gate(made).words(border - 4, border + 4))


def test_words_without_a_name_are_not_the_persons_beside_them() -> None:
    named = transcript_of(
        [("A", "The wall did not hold that night, nor did the pump."), ("", "It was a lie, of course.")]
    )
    gate = Gate(named)
    assert refused(gate.check("hold that night, nor did the pump. It was a lie")) is Reason.SPEAKERS
    text = "The wall did not hold that night, nor did the pump. It"  # eleven words of twelve are A's
    assert refused(gate.check(text)) is Reason.SPEAKERS
    assert quote(gate.check("hold that night, nor did the pump")).speaker == "A"


def test_quotation_marks_in_a_line_pass_the_same_gate(gate: Gate) -> None:
    assert gate.line("He says the seals failed.") == ()
    assert gate.line('He says that "wind is cheaper, I would never deny that", and means it.') == ()
    assert gate.line("He calls it a “box of oil”.") == ()  # three words are a term, not a quote
    (wrong,) = gate.line("He admits: “we did test the seals in sand” at last.")
    assert wrong.reason is Reason.ABSENT
    assert gate.line("He admits: 'we did test the seals in sand' at last.")
    assert gate.line("He admits: ‘we did test the seals in sand")
    assert gate.line('He admits: "we did test the seals in sand')
    assert gate.line("He said “nobody … how much wind there will be”")


def test_the_time_of_a_look_up_does_not_grow_with_what_is_common() -> None:
    """A proposal of nothing but common words still ends, and is refused, in a transcript of nothing but them."""
    gate = Gate(transcript_of([("A", " ".join(["the"] * 5000))]))
    assert refused(gate.check(" ".join(["the"] * 40 + ["a"]))) is Reason.ABSENT
    assert quote(gate.check("the the the the the the")).first == 0
