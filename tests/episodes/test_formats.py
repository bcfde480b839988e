"""Transcript files as they are found: each format's habits and faults, and the detector."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whetstone.episodes import formats
from whetstone.episodes.transcript import Origin, Timing
from whetstone.errors import UsageError


def said(reading: formats.Reading) -> list[tuple[str, str]]:
    """(speaker, words) of each turn."""
    turns: list[tuple[str, str]] = []
    for word in reading.words:
        if turns and turns[-1][0] == word.speaker:
            turns[-1] = (word.speaker, f"{turns[-1][1]} {word.text}")
        else:
            turns.append((word.speaker, word.text))
    return turns


def read(text: str) -> formats.Reading:
    return formats.read(text.encode(), "ep")


VTT = """\ufeffWEBVTT - a title\r
Kind: captions\r
Language: en-GB\r
\r
NOTE this is
a comment --

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02,500 align:start position:0%
<v.loud Ann Lee>Hello &amp; <i>wel</i>come<br>to &lt;us&gt;

00:02.500 --> 00:00:04.000
all of you.

00:00:04.000 -->
<v Bob>Thanks. 1 < 2 and 3 > 2

NOTE Ann: nobody says this
00:00:06.000 --> 00:00:08.000
<v Ann Lee>Bye.</v> <v Bob>Bye!</v>
"""


def test_vtt() -> None:
    found = read(VTT)
    assert said(found) == [
        ("Ann Lee", "Hello & welcome to <us> all of you."),
        ("Bob", "Thanks. 1 < 2 and 3 > 2"),
        ("Ann Lee", "Bye."),
        ("Bob", "Bye!"),
    ]
    assert (found.format, found.timing, found.language) == ("vtt", Timing.CUE, "en-GB")
    starts = {word.text: (word.start, word.end) for word in found.words}
    assert starts["Hello"] == (1.0, 2.5) and starts["Thanks."] == (4.0, 6.0) and starts["Bye!"] == (6.0, 8.0)


def test_a_voice_is_not_carried_on_in_a_file_that_names_it_in_every_cue() -> None:
    cue = "00:0{0}.000 --> 00:0{1}.000\n{2}"
    every = ["<v Ann>One.", "<v Ann>Two.", "[music]", "<v Bob>Three.", "<v Bob>Four."]
    text = "\n\n".join(cue.format(at, at + 1, line) for at, line in enumerate(every))
    assert said(read(f"WEBVTT\n\n{text}")) == [("Ann", "One. Two."), ("", "[music]"), ("Bob", "Three. Four.")]
    changes = ["<v Ann>One.", "Two.", "<v Bob>Three.", "Four.", "<v Ann>Five."]
    text = "\n\n".join(cue.format(at, at + 1, line) for at, line in enumerate(changes))
    assert said(read(f"WEBVTT\n\n{text}")) == [("Ann", "One. Two."), ("Bob", "Three. Four."), ("Ann", "Five.")]


def test_rolling_captions_are_said_once_and_keep_the_words_own_times() -> None:
    found = read(
        "WEBVTT\n\n00:00:00.160 --> 00:00:01.990 align:start\n"
        " \nhello<00:00:00.500><c> there</c><00:00:00.900><c> no</c>\n\n"
        "00:00:01.990 --> 00:00:02.000\nhello there no\n \n\n"
        "00:00:02.000 --> 00:00:04.000\nhello there no\nno<00:00:02.500><c> no</c><00:00:02.900><c> friend</c>\n\n"
        "00:00:04.000 --> 00:00:04.010\nno no friend\n \n\n"
        "00:00:04.010 --> 00:00:06.000\nno no friend\nnice<00:00:04.500><c> day</c>\n"
    )
    assert said(found) == [("", "hello there no no no friend nice day")]
    assert [word.start for word in found.words] == [0.16, 0.5, 0.9, 2.0, 2.5, 2.9, 4.01, 4.5]
    assert [word.end for word in found.words][:2] == [0.5, 0.9]
    assert found.timing == Timing.WORD and "rolling" in found.notes[0]


def test_lines_that_are_really_repeated_stay() -> None:
    lines = ["No.", "No.", "I said no.", "And then?", "No.", "No."]
    cues = "\n\n".join(f"00:0{at}.000 --> 00:0{at + 1}.000\n{line}" for at, line in enumerate(lines))
    assert said(read(f"WEBVTT\n\n{cues}")) == [("", " ".join(lines))]
    cues = "\n\n".join(f"00:0{at}.000 --> 00:0{at + 1}.000\nNo." for at in range(5))
    assert said(read(f"WEBVTT\n\n{cues}")) == [("", "No. No. No. No. No.")]


def test_captions_that_grow_and_captions_of_two_lines_roll_too() -> None:
    grown = ["so", "so we", "so we went", "so we went home"]
    cues = "\n\n".join(f"00:0{at}.000 --> 00:0{at + 1}.000\n{line}" for at, line in enumerate(grown))
    assert said(read(f"WEBVTT\n\n{cues}")) == [("", "so we went home")]
    pairs = ["a b\nc d", "c d\ne f", "e f\ng h", "g h\ni j"]
    cues = "\n\n".join(f"00:0{at}.000 --> 00:0{at + 1}.000\n{line}" for at, line in enumerate(pairs))
    assert said(read(f"WEBVTT\n\n{cues}")) == [("", "a b c d e f g h i j")]


def test_srt() -> None:
    found = read(
        "1\n00:00:00,000 --> 00:00:02.760\nSarah: In today's episode,\nyou'll <b>learn</b>\n\n"
        "2\n00:00:02,760 --> 00:00:06,090\n{\\an8}this thing: trailers.\n\nAnd more.\n"
        "3\n00:00:19,080 --> 00:00:21,450\nGillian: Hi &amp; hello.\n\n"
        "00:00:21,450 --> 00:00:22,000\nThere is one reason:\n\n"
        "5\n00:00:22,000 --> 00:00:23,000\nMoney: it is short.\n\n6\n00:00:23,000 --> 00:00:24,000\n2024\n"
    )
    assert said(found) == [
        ("Sarah", "In today's episode, you'll learn this thing: trailers. And more."),
        ("Gillian", "Hi & hello. There is one reason: Money: it is short. 2024"),
    ]
    assert found.format == "srt" and found.timing == Timing.CUE


def test_captions_of_television() -> None:
    found = read(
        "1\n00:00:00,000 --> 00:00:01,000\n>> ANN: Good evening.\n\n"
        "2\n00:00:01,000 --> 00:00:02,000\nHere is the news.\n\n"
        "3\n00:00:02,000 --> 00:00:03,000\n&gt;&gt; Really?\n\n4\n00:00:03,000 --> 00:00:04,000\n>> ANN: Yes.\n"
    )
    assert said(found) == [("ANN", "Good evening. Here is the news."), ("", "Really?"), ("ANN", "Yes.")]


def test_cues_out_of_order_and_overlapping() -> None:
    found = read("00:05.000 --> 00:09.000\nlast\n\n00:01.000 --> 00:06.000\nfirst\n\n00:04.000 --> 00:02.000\nsecond\n")
    assert [(word.text, word.start, word.end) for word in found.words] == [
        ("first", 1.0, 6.0),
        ("second", 4.0, 5.0),
        ("last", 5.0, 9.0),
    ]
    assert any("order" in note for note in found.notes)


def test_podcast_json_with_a_word_each() -> None:
    body = [
        ("Ann", 0.5, 0.75, "I"),
        ("Ann", 1, 1.25, "am."),
        ("Ann", "0:01.5", None, "Yes.\n"),
        ("Luke", 2, 9e99, "No"),
    ]
    segments = [{"speaker": s, "startTime": a, "endTime": b, "body": c} for s, a, b, c in body]
    found = read(json.dumps({"version": "1.0.0", "segments": [*segments, {"body": "  "}, 3, None]}))
    assert said(found) == [("Ann", "I am. Yes."), ("Luke", "No")]
    assert [word.start for word in found.words] == [0.5, 1.0, 1.5, 2.0] and found.words[-1].end is None
    assert found.timing == Timing.WORD and found.breaks == {3} and found.origin == Origin.PUBLISHER
    assert found.notes == ("3 entries without words were left out",)


def test_json_of_a_recogniser_is_a_machines() -> None:
    words = [{"word": " Hi", "start": 0.1, "end": 0.2, "probability": 0.9}, {"word": " you", "score": 0.25}]
    found = read(json.dumps({"language": "en", "segments": [{"start": 0, "text": " Hi you", "words": words}]}))
    assert [(word.text, word.start, word.probability) for word in found.words] == [
        ("Hi", 0.1, 0.9),
        ("you", None, 0.25),
    ]
    assert found.origin == Origin.MACHINE and found.language == "en"
    plain = read(json.dumps([{"start": 0, "end": 1, "text": "Hi you", "avg_logprob": -0.1}]))
    assert plain.origin == Origin.MACHINE and plain.timing == Timing.CUE


def test_html_as_the_podcast_namespace_has_it() -> None:
    found = read(
        "<!doctype html><title>Ep &#49;</title><nav><p>Home</p></nav><div>Subscribe</div>"
        "<cite>Kevin:</cite>\n<time>0:00</time>\n<p>We have an <b>up</b>date "
        "<script>alert('x')</script>&mdash; soon</p>"
        "<p>As <cite>Moby Dick</cite> says at <time>9:00</time></p>"
        "<cite>Alban :</cite><time>1:02:09.5</time><p>Hey &#9999999999; &lt;b&gt;</p><!-- <p>no</p>"
    )
    assert said(found) == [("Kevin", "We have an update — soon As Moby Dick says at 9:00"), ("Alban", "Hey \ufffd <b>")]
    assert found.title == "Ep 1" and found.timing == Timing.CUE and found.format == "html"
    assert [word.start for word in found.words][-1] == 3729.5 and found.words[0].end == 3729.5
    assert len(found.breaks) == 3


def test_html_of_a_saved_page_is_read_as_prose() -> None:
    found = read(
        "<html><body><h1>Talk</h1><p><strong>Ann:</strong> Hello.</p><p>Bob: Hi.</p><p>Ann: Bye.</p></body></html>"
    )
    assert said(found) == [("", "Talk"), ("Ann", "Hello."), ("Bob", "Hi."), ("Ann", "Bye.")]
    assert found.timing == Timing.NONE


NOBODY = "Dinner was at one. 10:30 was late. And so on."
TIGHT = [("Ann Lee", "Hello."), ("Bob", '"Hi."'), ("Ann Lee", "Yes."), ("Bob", "No.")]
NO_NAMES = "The reason: money.\n\nWarning: loud.\n\nChapter 2: noise."


@pytest.mark.parametrize(
    ("text", "turns", "starts"),
    [
        (
            "[00:00:01] Ann: Hello\nthere.\n[00:05] Bob Lee: 10:30 is late.",
            [("Ann", "Hello there."), ("Bob Lee", "10:30 is late.")],
            [1, 5],
        ),
        (
            "Ann Lee 0:05\nHello there.\n\nBob (1:00:09): Yes.",
            [("Ann Lee", "Hello there."), ("Bob", "Yes.")],
            [5, 3609],
        ),
        (
            "# Talk\n\n**Ann:** Hello.\n\nMore.\n\n**Cy Young**: No: never.",
            [("Ann", "Hello. More."), ("Cy Young", "No: never.")],
            [None, None],
        ),
        ("0:01 Hello.\n\n0:05 There are\n\n1:00 things.", [("", "Hello. There are things.")], [1]),
        ("Dinner was\n\nat one.\n\n10:30 was late.\n\nAnd so on.", [("", NOBODY)], [None]),
        (
            "Ann: Hello.\nBob: Hi.\nAnn: Three things: a, b, c.",
            [("Ann", "Hello."), ("Bob", "Hi."), ("Ann", "Three things: a, b, c.")],
            [None, None, None],
        ),
        ("Just words, and\nnobody: is named.", [("", "Just words, and nobody: is named.")], [None]),
        (
            "(0:00 - 0:04) SPEAKER_00: Hi.\n\n(0:04 - 0:09) SPEAKER_01: Yo.",
            [("SPEAKER_00", "Hi."), ("SPEAKER_01", "Yo.")],
            [0, 4],
        ),
        ("Jordan:\n\nHello.\n\nAlban:\n\nHi.", [("Jordan", "Hello."), ("Alban", "Hi.")], [None, None]),
        ('Ann Lee:Hello.\nBob:"Hi."\nAnn Lee:Yes.\nBob:No.', TIGHT, [None] * 4),
        ("Visit Re:Zero now.\n\nEmail:me@x.org", [("", "Visit Re:Zero now. Email:me@x.org")], [None]),
        (NO_NAMES, [("", " ".join(NO_NAMES.split()))], [None]),
    ],
)
def test_plain_text(text: str, turns: list[tuple[str, str]], starts: list[float | None]) -> None:
    found = read(text)
    assert found.format == "text" and said(found) == turns
    firsts = [at for at, word in enumerate(found.words) if not at or word.speaker != found.words[at - 1].speaker]
    assert [found.words[at].start for at in firsts] == starts


def test_times_in_the_middle_of_a_paragraph_are_no_words() -> None:
    found = read(
        "[00:00:00] Ann: This is [00:00:05] one [0:00:05 - 0:00:09] thing.\n\n[00:01:00] [00:01:05] And [sic] two."
    )
    assert said(found) == [("Ann", "This is one thing. And [sic] two.")] and found.breaks == {0, 4}
    assert [word.start for word in found.words] == [0, 0, 5, 5, 65, 65, 65]
    assert [word.end for word in found.words] == [5, 5, 60, 60, None, None, None]


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    file = tmp_path / "talk.txt"
    for text, kind in [
        (VTT, "vtt"),
        ("1\n00:00:00,000 --> 00:00:01,000\nHi", "srt"),
        ('{"segments": [{"body": "Hi"}]}', "json"),
        ("<p>Hi</p>", "html"),
        ("[00:01] Hi", "text"),
        ("[laughs] Hi", "text"),
        ("Use <b> and --> like this", "text"),
    ]:
        file.write_text(text, encoding="utf-8")
        assert formats.read_file(file).format == kind
    for text, reason in [
        ("<?xml version='1.0'?><rss></rss>", "feed"),
        ("<tt xmlns='http://www.w3.org/ns/ttml'><p>x</p></tt>", "XML"),
        ("", "no words"),
        ("WEBVTT\n\n", "no words"),
        ('{"segments": []}', "no words"),
        ('{"a": 1}', "no list"),
        ('{"segments": [', "broken JSON"),
    ]:
        file.write_text(text)
        with pytest.raises(UsageError, match=reason) as failure:
            formats.read_file(file)
        assert "talk.txt" in str(failure.value) and "\n" not in str(failure.value)
    with pytest.raises(UsageError, match="cannot be read"):
        formats.read_file(tmp_path / "absent.vtt")
