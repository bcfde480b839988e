"""Hostile and broken files: harmless data or one clear line, quickly, and never a crash."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.episodes import formats, segments
from whetstone.episodes.formats import decoding, markup, reading
from whetstone.errors import UsageError

FEW = settings(max_examples=150, deadline=None)
MARKUP = ["<v ", "Ann>", "</v>", "<", ">", "&", "&#x;", "&#1;", "<!--", "-->", "<p>", "</p>", "<cite>", "<time>"]
SIGNS = ["[", "{", '"', ":", "(1:00)", "# ", "\x00", "\x1b[2J", "\u202e", "\ud7ff", "\n", "\n\n", " ", "0:00"]
LINES = ["WEBVTT\n", "00:01.000 --> 00:02.000\n", "NOTE", "Ann: ", "word ", "1\n", "00:00:00,000 --> 99:99:99,999"]
WHOLE = ['{"segments": [{"body": "x"}]}', "<script>", "<title>"]
SCRAPS = st.lists(st.sampled_from(MARKUP + SIGNS + LINES + WHOLE), max_size=40).map("".join)


@given(st.one_of(SCRAPS.map(str.encode), st.binary(max_size=300)))
@FEW
def test_anything_is_read_or_refused_in_one_line(content: bytes) -> None:
    try:
        found = formats.read(content, "a file")
    except UsageError as error:
        assert "\n" not in str(error)
        return
    cut = segments.transcript(found)
    assert [word for each in cut.segments for word in cut.words[each.first : each.end]] == list(found.words)
    for word in found.words:
        assert word.text and not set(word.text) & set(" \n\t\x00\x1b\u202e\ufeff")
        assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in word.text + word.speaker)
        assert word.start is None or 0 <= word.start <= reading.LONGEST_TIME
        assert word.start is None or word.end is None or word.end >= word.start
    for kind in formats.WRITERS:
        if kind in ("text", "json") or any(word.start is not None for word in found.words):
            formats.write(cut, kind).encode()


def test_what_a_terminal_would_obey_is_gone() -> None:
    found = formats.read("Ann\x1b[31m: Hi\x07 \x9b2J\u202eyou\x00 \u200b\U000e0041.\n\nAnn\x1b[31m: ok".encode(), "ep")
    assert [word.text for word in found.words] == ["Ann[31m:", "Hi", "2Jyou", ".", "Ann[31m:", "ok"]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
def test_encodings(encoding: str) -> None:
    text = "Ann: Das wäre schön, café, niño und alles andere auch.\r\rBob: Ja.\n"
    found = formats.read(text.encode(encoding), "ep")
    assert [word.text for word in found.words][:4] == ["Das", "wäre", "schön,", "café,"]
    assert found.words[-1].speaker == "Bob" and len(found.breaks) == 2


def test_a_damaged_utf_8_file_stays_utf_8() -> None:
    content = ("é" * 40).encode() + b" \xc3\x28 end"
    found = formats.read(content, "ep")
    assert found.words[0].text == "é" * 40 and "damaged" in found.notes[0]


def test_a_declared_encoding_is_believed_where_utf_8_does_not_fit() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body><p>Привет всем</p></body></html>'
    assert formats.read(page.encode("cp1251"), "ep").words[0].text == "Привет"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"ID3\x04\x00", "audio"),
        (b"RIFF\x00\x00\x00\x00WAVE", "audio"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio"),
        (b"PK\x03\x04" + b"\x00" * 30, "zip"),
        (b"%PDF-1.7", "PDF"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (bytes(range(256)) * 4, "text|encoding"),
        (b"\x00\x01\x02\x03" * 50, "text|UTF-16"),
        ("Привет всем".encode("cp1251") * 10, "encoding that cannot be told"),
        (b"\xff\xfe" + bytes(range(0xD8, 0xE0)) * 40, "UTF-16"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"segments": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"segments": [{"body": "x", "startTime": ' + b"9" * 5000 + b"}]}", "thousands of digits"),
    ],
)
def test_what_is_no_transcript(content: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as failure:
        formats.read(content, "ep.bin")
    assert str(failure.value).startswith("ep.bin")


def test_sizes_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_WORDS", 10)
    with pytest.raises(UsageError, match="11 words; at most 10"):
        formats.read(b"a " * 11, "ep")
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        decoding.decoded(b"a" * ((1 << 20) + 1), "ep", 1 << 20)
    long = formats.read(b"x" * 2500, "ep")
    assert [len(word.text) for word in long.words] == [1000, 1000, 500]
    monkeypatch.setattr(markup, "MOST_TAGS", 100)
    with pytest.raises(UsageError, match="100 tags"):
        formats.read(b"<p>" * 101, "ep")


MILLION = 200_000


@pytest.mark.parametrize(
    "text",
    [
        "<p>" + "<div>" * (MILLION // 5) + "deep",
        "<p>x</p>" + "<!--" * (MILLION // 4),
        "<p>x</p>" + "<" * MILLION + ">",
        "<p>x</p>" + "< " * (MILLION // 2) + ">",
        "<p>x</p>" + "<script>" * (MILLION // 8),
        "<p>x</p>" + "<p" * (MILLION // 2),
        "<p>x" + "&" * MILLION,
        "<p>x" + "&#" + "9" * MILLION,
        "WEBVTT\n\n00:00.000 --> 00:01.000\n" + "<v " * (MILLION // 3),
        "WEBVTT\n\n00:00.000 --> 00:01.000\nx" + "<" * MILLION,
        "WEBVTT\n\n00:00.000 --> 00:01.000\nx" + "<a " + "b" * MILLION,
        "WEBVTT\n\n00:00.000 --> 00:01.000\nx" + "-" * MILLION,
        "1\n00:00:00,000 --> 00:00:01,000\nA" + " " * MILLION + ": x",
        "1\n00:00:00,000 --> 00:00:01,000 " + "-->" * (MILLION // 3) + "\nx",
        "1\n00:00:00,000 --> 00:00:01,000\nx" + "{\\" * (MILLION // 2),
        "A" + " " * MILLION + "x 0:05",
        "A" + "-" * MILLION + "x 0:05",
        "[0:05" + " " * MILLION + "x",
        "[0:05 " + "-" * MILLION + "x",
        "0:05 " * (MILLION // 5),
        "x\n" * (MILLION // 2),
        "Ann:\n" * (MILLION // 5) + "x",
        '"' * MILLION,
        "a. " * (MILLION // 3),
        "(" * MILLION,
    ],
    ids=lambda text: repr(text[:12] + text[-6:]),
)
@pytest.mark.timeout(30)
def test_nothing_takes_longer_than_its_length(text: str) -> None:
    """Each ends at once when the work is linear; what is quadratic runs for many minutes."""
    found = formats.read(text.encode(), "ep")
    segments.transcript(found)


def test_a_huge_json_of_numbers_and_names_is_only_data() -> None:
    segment = {"speaker": "x" * 10_000, "body": "hi <script>", "startTime": float("1e308"), "endTime": -5}
    [word, other] = formats.read(json.dumps([segment]).encode(), "ep").words
    assert word.start is None and word.end is None and len(word.speaker) == reading.LONGEST_NAME
    assert other.text == "<script>"
    assert formats.read(b'[{"body": "x", "startTime": NaN, "endTime": Infinity}]', "ep").words[0].start is None
