"""A page without a model: everything on it was said, nothing twice, no advertisement."""

from dataclasses import replace

import pytest

from tests.episodes.conversation import GUEST, HOST, conversation, interview, transcript_of
from whetstone.episodes.content import About, Chapter, Content, Quote
from whetstone.episodes.extract import content_without_model
from whetstone.episodes.extract.chapters import chapters_of
from whetstone.episodes.extract.questions import LONGEST_ANSWER, answered, host, questions
from whetstone.episodes.extract.ranking import stems, vectors
from whetstone.episodes.extract.sponsors import housekeeping, sponsored
from whetstone.episodes.extract.titles import titles_of
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.gate.faithful import check_lines
from whetstone.episodes.names import Names
from whetstone.episodes.transcript import Origin, Timing, Transcript

ABOUT = About("The water comes back", show="The Slow Engine")
WAYS = [
    conversation(),
    conversation(timing=Timing.CUE, origin=Origin.MACHINE),
    conversation(timing=Timing.NONE, named=False),
    conversation(origin=Origin.MACHINE, bare=True, named=False),
]


def said(transcript: Transcript, quote: Quote) -> str:
    return transcript.text(quote.first, quote.end)


@pytest.mark.parametrize("transcript", WAYS)
def test_everything_on_the_page_was_said(transcript: Transcript) -> None:
    content, gate = content_without_model(ABOUT, transcript), Gate(transcript)
    lines = [*content.paragraph, *content.summary, *content.takeaways]
    assert len(content.paragraph) >= 3 and len(content.summary) >= 8 and len(content.takeaways) >= 5
    assert len(content.quotes) >= 6 and len(content.answered) >= 8 and content.made_by == "no model"
    for line in lines:
        result = gate.check(line.text, segments=line.segments)
        assert isinstance(result, Accepted)
        assert set(gate.segments_of(result.quote)) <= set(line.segments)
        assert line.text[0].isupper() or not line.text[0].isalpha()
    assert check_lines(lines, transcript, gate=gate)[1] == ()
    for quote in [*content.quotes, *(entry.answer for entry in content.answered)]:
        assert gate.words(quote.first, quote.end) == Accepted(quote)


@pytest.mark.parametrize("transcript", WAYS)
def test_nothing_is_said_twice_and_no_advertisement_is_in_it(transcript: Transcript) -> None:
    content, gate = content_without_model(ABOUT, transcript), Gate(transcript)
    used = [s for line in (*content.paragraph, *content.summary, *content.takeaways) for s in line.segments]
    used += [s for quote in content.quotes for s in gate.segments_of(quote)]
    assert len(used) == len(set(used))
    page = " ".join(transcript.segment_text(s) for s in used)
    page += " ".join(said(transcript, entry.answer) for entry in content.answered)
    for word in ("larkspur", "quillmark", "promo", "review and subscribe", "brass lanterns"):
        assert word not in page.lower()


def test_the_counts_are_what_happened() -> None:
    transcript = conversation()
    content = content_without_model(ABOUT, transcript)
    counts = content.counts
    assert counts.segments == counts.covered == len(transcript.segments)
    assert counts.lines_kept == len(content.paragraph) + len(content.summary) + len(content.takeaways)
    assert counts.quotes_kept == len(content.quotes) == counts.quotes_proposed
    assert counts.lines_proposed == counts.lines_kept
    assert counts.seconds > 0 and counts.prompt_tokens == counts.answer_tokens == 0


def test_the_paragraph_begins_with_who_the_guest_is() -> None:
    content = content_without_model(ABOUT, conversation())
    assert content.paragraph[0].text.startswith("My guest today is Tomas Adeyemi. He spent eleven years")


def test_quotes_stand_alone_and_are_of_a_readable_length() -> None:
    transcript = conversation()
    for quote in content_without_model(ABOUT, transcript).quotes:
        text = said(transcript, quote)
        assert 8 <= len(text.split()) <= 45
        assert text.split()[0].lower() not in {"it", "that", "this", "he", "she", "they", "um,", "well,", "so"}
        assert text.endswith(".") and "?" not in text
        assert quote.speaker in {HOST, GUEST}


def test_the_same_twice() -> None:
    first, second = (content_without_model(ABOUT, conversation()) for _ in range(2))
    assert replace(first, counts=second.counts) == second


def test_nothing_and_next_to_nothing() -> None:
    empty = Transcript((), (), Timing.NONE, Origin.PUBLISHER)
    content = content_without_model(ABOUT, empty)
    assert replace(content, counts=Content().counts) == Content()
    for turns in (
        [("A", "Hm.")],
        [("", "One sentence about the tide and the sand in the sound.")],
        [("A", "Why?"), ("B", "No.")],
    ):
        content = content_without_model(ABOUT, transcript_of(turns))
        assert content.chapters == (), "one chapter tells nobody where anything is"
        assert len(content.paragraph) + len(content.summary) + len(content.takeaways) + len(content.quotes) <= 1


def test_a_language_without_lists_of_words() -> None:
    turns = [
        (
            "Anna",
            "Guten Tag, heute sprechen wir über den Wald und über das Wasser. Warum ist der Wald so trocken geworden?",
        ),
        (
            "Bernd",
            "Der Wald ist trocken, weil das Grundwasser seit zwanzig Jahren sinkt und die Gräben alles ableiten.",
        ),
        ("Bernd", "Wir haben die Gräben geschlossen, und nach drei Jahren stand das Wasser wieder einen Meter höher."),
        ("Anna", "Und was sagen die Bauern zu den geschlossenen Gräben?"),
        (
            "Bernd",
            "Die Bauern haben zuerst protestiert, aber in trockenen Sommern sind sie froh über jedes Wasser im Boden.",
        ),
    ]
    content = content_without_model(ABOUT, transcript_of(turns))
    assert [entry.asked for entry in content.answered] == [1, 4]
    shown = [line.text for line in content.paragraph] + [said(transcript_of(turns), quote) for quote in content.quotes]
    assert any("Grundwasser" in text for text in shown)


def test_the_publishers_chapters_are_taken_as_they_are() -> None:
    given = (Chapter("Hello", 0), Chapter("The sea", 40), Chapter("The people", 70))
    assert content_without_model(ABOUT, conversation(), given).chapters == given


def _subjects() -> Transcript:
    """Three parts of an episode that share no topic, 1,000 words each."""
    parts = {
        "lobster": "The lobster boats leave the harbour before dawn. A lobster pot weighs nine kilos with its rope.",
        "violin": "A violin needs spruce from cold mountains. The varnish on a violin takes two months to dry.",
        "glacier": "The glacier lost ninety metres of ice. Meltwater under the glacier carves long blue tunnels.",
    }
    turns = []
    for topic, text in parts.items():
        for number in range(24):
            turns.append(("Host", f"What else should listeners know about the {topic}, part {number}?"))
            turns.append(("Guest", text + " " + text.replace("The", "Our").replace("A ", "One ")))
    return transcript_of(turns)


def test_chapters_begin_where_the_subject_changes_and_are_named_after_it() -> None:
    transcript = _subjects()
    asking = questions(transcript)
    chapters = chapters_of(transcript, vectors(stems(transcript)), Names(transcript), asking, frozenset())
    assert len(chapters) == 3
    for chapter, topic in zip(chapters, ("lobster", "violin", "glacier"), strict=True):
        assert topic in transcript.segment_text(chapter.segment)
        assert topic in chapter.title.lower()
        if chapter.segment:
            assert topic not in transcript.segment_text(chapter.segment - 2)


def test_a_chapter_is_called_by_the_question_that_opens_it_if_it_stands_alone() -> None:
    def title(question: str) -> str:
        talk = transcript_of(
            [
                ("Host", question),
                (
                    "Guest",
                    "The lobster pots lay on the north side. A lobster pot is heavy, and the lobster knows it. " * 3,
                ),
            ]
        )
        return titles_of(talk, [(0, len(talk.segments))], Names(talk), questions(talk), frozenset())[0]

    assert (
        title("I wanted to ask you, how heavy is the lobster pot, and is it any fun?")
        == "How heavy is the lobster pot?"
    )
    assert title("So, how heavy is a lobster pot really?") == "How heavy is a lobster pot really?"
    for poor in (
        "The lobster pot is heavy, right?",  # only checks
        "Why do they put the lobster pot there?",  # leans on what was said
        "What about the weather in Edinburgh?",  # of which nobody speaks
        "What is it?",
    ):
        assert not title(poor).endswith("?") and "obster" in title(poor), poor


def test_titles_are_made_of_nouns_that_are_said_more_than_once() -> None:
    talk = transcript_of(
        [
            ("Ann", "To measure the harbour you measure and measure. I measure the old harbour wall in the rain."),
            (
                "Ann",
                "The harbour wall is really strong, very strong. We measure the harbour wall; it is wet.",
            ),
            ("Bob", "We bake bread. The bread oven stood in the yard, and that oven was so hot, very hot."),
        ]
    )
    first = next(each.id for each in talk.segments if each.speaker == "Bob")
    found = titles_of(talk, [(0, first), (first, len(talk.segments))], Names(talk), (), ())
    assert found[0].lower().startswith("harbour") and "oven" in found[1].lower()
    assert not any(word in title.lower() for title in found for word in ("measure", "strong", "hot"))


def test_advertisements_and_greetings() -> None:
    transcript = conversation()
    adverts = {transcript.segment_text(s) for s in sponsored(transcript)}
    assert any("Larkspur blends" in text for text in adverts)
    assert any("Go to larkspurtea.example" in text for text in adverts)
    assert any("Terms and conditions" in text for text in adverts)
    assert all("gearbox" not in text and "guest" not in text for text in adverts)
    house = {transcript.segment_text(s) for s in housekeeping(transcript)}
    assert any("leave us a review" in text for text in house)
    assert len(house) < 12
    quiet = transcript_of(
        [(who, text) for who, text in interview() if "Larkspur" not in text and "Quillmark" not in text]
    )
    assert sponsored(quiet) == frozenset()


def test_an_advertisement_ends_where_somebody_else_speaks() -> None:
    turns = [
        ("A", "This episode is brought to you by Acme Pens. They write. Nothing smears. Acme is made of glass."),
        ("A", "Go to acme.example/pen."),
        ("B", "I use a pencil, and I visit no website for it."),
    ]  # fmt: skip
    assert sponsored(transcript_of(turns)) == {0, 1, 2, 3, 4}


def test_questions_and_who_answers_them() -> None:
    transcript = conversation()
    gate, asking = Gate(transcript), questions(transcript)
    assert asking == {s.id for s in transcript.segments if transcript.segment_text(s.id).endswith("?")}
    assert host(transcript, asking) == HOST
    found = answered(gate, asking, sponsored(transcript) | housekeeping(transcript))
    by_question = {entry.question: entry for entry in found}
    assert len(found) >= 12
    for entry in found:
        assert entry.asked in asking and entry.answer.speaker == GUEST
        assert entry.answer.end - entry.answer.first <= LONGEST_ANSWER
        assert entry.answer.first >= transcript.segments[entry.asked].end
    answer = said(transcript, by_question["What did you change in the second design?"].answer)
    assert answer.startswith("We threw away the gearbox.")
    # a question that does not say what it is about brings the sentence before it
    assert "There was a protest in 2016, and it got quite heated. What were they afraid of?" in by_question
    # filler goes before the answer
    origin = next(e for q, e in by_question.items() if "bridge engineer" in q)
    assert said(transcript, origin.answer).startswith("by accident, really.")


def test_questions_without_question_marks() -> None:
    marked, bare = conversation(), conversation(bare=True)
    asked, found = questions(marked), questions(bare)
    assert len(asked & found) >= 0.75 * len(asked)
    assert len(found - asked) <= 0.1 * len(found)


def test_courtesies_and_what_nobody_answers_are_no_questions() -> None:
    turns = [
        ("A", "How are you today, my friend?"), ("B", "I am very well, thank you, and the weather is lovely here."),
        ("A", "So why do turbines fail in the sea? I will tell you, and it takes a while, because it is a long story."),
        ("B", "Go on."), ("A", "Why do gearboxes leak under water?"), ("B", "Do they?"),
    ]  # fmt: skip
    transcript = transcript_of(turns)
    assert answered(Gate(transcript), questions(transcript), ()) == []


def test_what_the_publisher_tells_of_the_episode_counts() -> None:
    told = replace(
        ABOUT,
        description="Buy large batteries, keep gas plants on standby, or have power that arrives whatever happens",
    )
    content = content_without_model(told, conversation())
    assert any("gas plants on standby" in line.text for line in content.paragraph)
    plain = content_without_model(ABOUT, conversation())
    assert not any("gas plants on standby" in line.text for line in plain.paragraph)
