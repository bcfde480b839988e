"""The page's text: everything is there, points where it says, and nothing from outside is obeyed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.episodes.conversation import conversation, transcript_of
from tests.episodes.written import ABOUT, content, quote, segment
from tests.pages import Page
from whetstone.episodes.content import About, Badge, Chapter, Claim, Content, Counts, Evidence, Line, Quote, Stance
from whetstone.episodes.first_person import speaker_of
from whetstone.episodes.page import exports
from whetstone.episodes.page.clock import clock, day, length, number
from whetstone.episodes.page.links import media, web_link
from whetstone.episodes.page.render import PAGE, Desk, render
from whetstone.episodes.transcript import Origin, Timing, Transcript, Word
from whetstone.errors import WorkFailed

TRANSCRIPT = conversation()
WRITTEN = content(TRANSCRIPT)


def page(transcript: Transcript = TRANSCRIPT, what: Content = WRITTEN, about: About = ABOUT, **names: str) -> str:
    return render(about, transcript, what, names)["index.html"]


class Quotes(HTMLParser):
    """What stands in <blockquote>: attributes, words and <cite>."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[dict[str, str]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("blockquote", "p", "cite", "footer"):
            self.open.append(tag)
        if tag == "blockquote":
            self.found.append({name: value or "" for name, value in attrs} | {"p": "", "cite": ""})

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if "blockquote" in self.open and self.open[-1] in ("p", "cite"):
            self.found[-1][self.open[-1]] += data


def test_every_quote_is_the_transcripts_own_words_with_whoever_said_them() -> None:
    shown = Quotes(page(**{"Tomas Adeyemi": "T. Adeyemi"})).found
    given = [*WRITTEN.quotes, *(a.answer for a in WRITTEN.answered), *(c.said for c in WRITTEN.claims)]
    assert len(shown) == len(given)
    for each, wanted in zip(shown, given, strict=True):
        assert (int(each["data-first"]), int(each["data-end"])) == (wanted.first, wanted.end)
        assert each["p"] == TRANSCRIPT.text(wanted.first, wanted.end)
        assert each["cite"] == "T. Adeyemi"


def test_an_uncertain_speaker_is_not_named() -> None:
    first, end = WRITTEN.quotes[0].first, WRITTEN.quotes[0].end
    html = page(what=Content(quotes=(Quote(first, end, "", (Badge.MACHINE,)),)))
    assert "<cite" not in html and "machine transcript" in html


def test_every_line_links_to_the_segments_that_it_cites() -> None:
    html = page()
    ids = set(Page(html).ids)
    for line in (*WRITTEN.paragraph, *WRITTEN.summary, *WRITTEN.takeaways):
        after = html.split(f">{line.text}</span>", 1)[1].split("</span>", 1)[0]
        assert re.findall(r'href="#s(\d+)"', after) == [str(each) for each in line.segments]
        assert all(f"s{each}" in ids for each in line.segments)
        assert re.findall(r">([\d:]+)</a>", after) == [
            clock(TRANSCRIPT.start(TRANSCRIPT.segments[each].first) or 0.0) for each in line.segments
        ]


def test_the_whole_transcript_is_there_once_and_in_order() -> None:
    html = page()
    said = re.findall(r'<span id="s(\d+)"[^>]*>(.*?)</span> ', html)
    assert [int(number) for number, _ in said] == list(range(len(TRANSCRIPT.segments)))
    words = " ".join(text for _, text in said).replace("&#39;", "'").split()
    assert words == [word.text for word in TRANSCRIPT.words]
    for chapter in WRITTEN.chapters:
        assert html.index(f">{chapter.title}</h3>") < html.index(f'<span id="s{chapter.segment}"')


def test_well_formed_unique_ids_and_every_inner_link_leads_somewhere() -> None:
    for transcript in (TRANSCRIPT, conversation(timing=Timing.NONE), conversation(timing=Timing.CUE, named=False)):
        parsed = Page(page(transcript, content(transcript)))
        assert len(parsed.ids) == len(set(parsed.ids))
        for tag, attributes in parsed.tags:
            href = attributes.get("href") or ""
            if href.startswith("#"):
                assert href[1:] in parsed.ids, href
            assert not any(name.startswith("on") or name == "style" for name in attributes), tag


def test_verdicts_are_words_and_too_little_evidence_is_neutral() -> None:
    html = page()
    cards = re.findall(r'<article class="claim ([\w ]+)">.*?<p class="verdict">(.*?)</p>', html, re.DOTALL)
    assert [(kind, re.sub(r"<[^>]+>[^<]*</span>", "", text).strip()) for kind, text in cards] == [
        ("supported", "supported"),
        ("contradicted", "contradicted"),
        ("open", "not enough evidence"),
        ("open", "not enough evidence"),
    ]
    assert "newer than the episode" in html and "years older than the episode" in html
    assert html.index("1 dismissed by hand") < html.index("Offshore wind costs around 7 pence.")


def test_counts_and_partial_coverage_are_said() -> None:
    assert "partial" not in Page(page()).words
    counts = replace(WRITTEN.counts, covered=len(TRANSCRIPT.segments) - 1)
    words = Page(page(what=replace(WRITTEN, counts=counts))).words
    assert (
        "99 % partial" in words
        and f"{len(WRITTEN.quotes)} shown 15 proposed, 3 refused" in words
        and "a model of the test" in words
    )
    assert "Transcript read–" in Page(page(what=replace(WRITTEN, counts=Counts()))).words


def test_a_page_without_a_model_says_so_and_refuses_nothing() -> None:
    words = Page(page(what=replace(WRITTEN, made_by="no model"))).words
    assert (
        "No model was asked" in words
        and f"{len(WRITTEN.quotes)} shown of 15 looked at" in words
        and "refused" not in words
    )
    assert "No model was asked" not in Page(page()).words
    assert "summary and takeaways are" in words and "Each line of a summary" in words
    bare = Page(page(what=Content(quotes=WRITTEN.quotes))).words
    assert "Lines" not in bare and "summary" not in bare.lower().partition("how this page was made")[2], "it has none"


def test_advertisements_are_marked_and_notes_are_told() -> None:
    said = [TRANSCRIPT.segment_text(segment.id) for segment in TRANSCRIPT.segments]
    first = next(place for place, text in enumerate(said) if "Larkspur Tea" in text)
    marked = replace(WRITTEN, sponsored=(first, first + 1), notes=("Heard by <b>Whisper</b>.",))
    html = page(what=marked)
    assert html.count('class="sponsored"') == 2 and html.count("Advertisement?") == 1
    assert re.search(rf'Advertisement\?</small> <span id="s{first}"[^>]* class="sponsored"', html)
    words = Page(html).words
    assert "2 segments look like advertising" in words and "Heard by <b>Whisper</b>." in words
    files = render(ABOUT, TRANSCRIPT, marked, {})
    told = json.loads(files[exports.JSON])["transcript"]["segments"]
    assert [each["id"] for each in told if each["sponsored"]] == [first, first + 1]
    assert files[exports.MARKDOWN].count("*(advertisement?)*") == 1
    assert "dvertis" not in page() and 'class="notes"' not in page()


def test_who_says_i_is_told_beside_a_line() -> None:
    """Only where the line is the transcript's own words, and somebody says "I" or "we" in it."""
    place = segment(TRANSCRIPT, "So I hired her.")
    own, other = Line("So I hired her.", (place,)), Line("I hired the skipper.", (place,))
    plain = Line("Every line was in the wrong place on ours and in the right place on hers.", (place - 1,))
    both = Line("I did.", (place, place + 1))
    names = {"Tomas Adeyemi": "T. <Adeyemi>"}
    html = render(ABOUT, TRANSCRIPT, Content(takeaways=(own, other, plain, both)), names)[PAGE]
    assert html.count('class="by"') == 2 and html.count("T. &lt;Adeyemi&gt;</span> <span class") >= 1
    assert speaker_of(own, TRANSCRIPT) == "Tomas Adeyemi" and speaker_of(other, TRANSCRIPT) == ""
    assert speaker_of(both, TRANSCRIPT) == ""
    assert speaker_of(plain, TRANSCRIPT) == "Tomas Adeyemi", "ours"
    silent = conversation(named=False)
    assert speaker_of(own, silent) == ""


def test_one_link_for_each_place_that_can_be_told_apart() -> None:
    transcript = conversation(timing=Timing.NONE)
    cited = segment(transcript, "We threw away")
    html = page(transcript, Content(takeaways=(Line("x", (cited, cited + 1, cited + 2)),)))
    assert html.split(">x</span>", 1)[1].split("</span>", 1)[0].count("<a ") == 1


def test_without_times_paragraphs_are_numbered_and_no_captions_are_written() -> None:
    transcript = conversation(timing=Timing.NONE)
    files = render(ABOUT, transcript, content(transcript), {})
    assert "transcript.vtt" not in files and "transcript.vtt" not in files["index.html"]
    assert "data-t" not in files["index.html"] and ">¶1</a>" in files["index.html"]
    assert "transcript.vtt" in render(ABOUT, TRANSCRIPT, WRITTEN, {})


def test_a_machines_doubtful_words_are_marked_and_its_page_says_what_it_is() -> None:
    words = list(conversation(origin=Origin.MACHINE).words)
    words[3] = replace(words[3], probability=0.2)
    words[5] = replace(words[5], doubtful=True)
    transcript = replace(conversation(origin=Origin.MACHINE), words=tuple(words))
    html = page(transcript, Content())
    assert html.count('<span class="unsure">') == 3  # the legend, too
    assert "may have heard wrongly" in html and "machine transcript" in html


def test_a_long_monologue_is_broken_into_paragraphs_at_the_ends_of_sentences() -> None:
    transcript = transcript_of([("A", "One two three four five six seven. " * 200)])
    html = page(transcript, Content())
    assert 8 <= html.count('<a class="at"') <= 10


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}</span></section>\x1b[31m\x00\u202egnp"


def hostile_page() -> str:
    transcript = transcript_of([(HOSTILE, f"{HOSTILE} six more words stand here today.")] * 2)
    said = Quote(0, 4, HOSTILE, (Badge.PUBLISHER,))
    evidence = Evidence(HOSTILE, HOSTILE, "javascript:alert(1)", HOSTILE)
    line = (Line(HOSTILE, (0,)),)
    what = Content(
        line,
        line,
        line,
        (said,),
        (),
        (Chapter(HOSTILE, 1),),
        (Claim('"><script>', HOSTILE, said, Stance.SUPPORTED, (evidence,)),),
        made_by=HOSTILE,
    )
    about = About(
        HOSTILE, HOSTILE, HOSTILE, 1.0, HOSTILE, "javascript:alert(1)", HOSTILE, ((HOSTILE, HOSTILE),), HOSTILE
    )
    files = render(about, transcript, what, {HOSTILE: HOSTILE}, Desk("/", "/search", "/s", "/d", "/w", HOSTILE))
    return files["index.html"]


def test_nothing_from_outside_becomes_markup() -> None:
    html = hostile_page()
    parsed = Page(html)
    assert [tag for tag, _ in parsed.tags if tag in ("script", "img")] == ["script"]
    assert "javascript:" not in re.sub(r">[^<]*<", "><", html)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", html)
    assert "{{7*7}}" in html and "49" not in re.sub(r"\d[\d.]*\d", "", html)
    for name in ("onerror", "onload"):
        assert not any(name in attributes for _, attributes in parsed.tags)


def test_the_policy_lets_the_page_load_its_own_files_and_nothing_else() -> None:
    html = page(about=replace(ABOUT, audio="sound.mp3"))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None and "unsafe" not in policy[1] and "default-src &#39;none&#39;" in policy[1]
    assert "https:" not in policy[1]
    assert "<style" not in html and re.findall(r"<script[^>]*>(.*?)</script>", html) == [""]
    assert "media-src" not in page()


@pytest.mark.parametrize(
    ("given", "link"),
    [
        ("https://a.example/x?y=1#z", "https://a.example/x?y=1#z"),
        ("HTTP://a.example", "HTTP://a.example"),
        ("javascript:alert(1)", None),
        (" java\nscript:alert(1)", None),
        ("data:text/html,x", None),
        ("//a.example/x", None),
        ("https:///x", None),
        ("https://a.example\\@b.example", None),
        ("file:///etc/passwd", None),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_links_of_strangers(given: str, link: str | None) -> None:
    assert web_link(given) == link


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ("sound 1#2?.mp3", "./sound%201%232%3F.mp3"),
        ("a/b.mp3", "./a/b.mp3"),
        ("../b.mp3", None),
        ("/etc/b.mp3", None),
        ("javascript:x", None),
        ("https://a.example/b.mp3", "https://a.example/b.mp3"),
    ],
)
def test_where_the_sound_may_be(given: str, source: str | None) -> None:
    assert media(given) == source


def test_a_quotes_play_link_opens_the_sound_at_its_second() -> None:
    html = page(about=replace(ABOUT, audio="sound.mp3"))
    start = TRANSCRIPT.start(WRITTEN.quotes[0].first)
    assert start is not None
    assert f'href="./sound.mp3#t={number(start - 0.3)}"' in html
    assert 'class="play"' not in page()


def test_what_points_beyond_the_transcript_stops_the_page() -> None:
    end = len(TRANSCRIPT.words)
    for wrong in (
        Content(paragraph=(Line("x", ()),)),
        Content(summary=(Line("x", (999,)),)),
        Content(quotes=(Quote(5, 5),)),
        Content(quotes=(Quote(0, end + 1),)),
        Content(chapters=(Chapter("x", -1),)),
        Content(claims=(Claim("1", "x", Quote(-1, 3)),)),
    ):
        with pytest.raises(WorkFailed, match="was not written"):
            page(what=wrong)


def test_an_empty_episode_has_a_page() -> None:
    empty = Transcript((), (), Timing.NONE, Origin.PUBLISHER)
    assert "Untitled episode" in page(empty, Content(), About(""))


def test_json_carries_everything() -> None:
    told = json.loads(render(ABOUT, TRANSCRIPT, WRITTEN, {"Mara Voss": "M. Voss"})["episode.json"])
    assert told["about"]["title"] == ABOUT.title and told["speakers"] == {"Mara Voss": "M. Voss"}
    for told_quote, given in zip(told["content"]["quotes"], WRITTEN.quotes, strict=True):
        assert told_quote["text"] == TRANSCRIPT.text(given.first, given.end)
        assert told_quote["start"] == TRANSCRIPT.start(given.first)
    assert [each["text"] for each in told["transcript"]["segments"]] == [
        TRANSCRIPT.segment_text(each.id) for each in TRANSCRIPT.segments
    ]


def test_markdown_has_the_parts_and_its_own_meaning_only() -> None:
    text = render(ABOUT, TRANSCRIPT, WRITTEN, {})["episode.md"]
    for part in ("# The tide", "## In short", "## Takeaways", "## Quotes", "## Claims", "## Transcript"):
        assert f"\n{part}" in f"\n{text}"
    assert "> A gearbox under water is a box of oil waiting for a leak." in text
    assert "Offshore wind costs around 7 pence." not in text
    odd = transcript_of([("*A*", "# no heading <b>here</b> [x](javascript:y) `z` and more."), ("B", "1. is no list.")])
    text = render(About("# *T*"), odd, Content(quotes=(quote(odd, "1. is no list"),)), {})["episode.md"]
    assert "\\# no heading \\<b\\>here" in text and "\\[x\\](javascript:y)" in text and "**\\*A\\***" in text
    assert "> 1\\. is no list." in text and text.startswith("# \\# \\*T\\*")


def test_names_reach_every_export() -> None:
    files = render(ABOUT, TRANSCRIPT, WRITTEN, {"Tomas Adeyemi": "Tom"})
    assert "Tom:" not in files["episode.md"] and "**Tom**" in files["episode.md"]
    assert "<v Tom>" in files["transcript.vtt"] and "Tomas Adeyemi>" not in files["transcript.vtt"]


def test_equal_arguments_give_equal_bytes() -> None:
    assert render(ABOUT, conversation(), content(conversation()), {}) == render(ABOUT, TRANSCRIPT, WRITTEN, {})


def test_times_as_people_write_them() -> None:
    assert [clock(s) for s in (0, 59.99, 61, 3600, 36005.5)] == ["0:00", "0:59", "1:01", "1:00:00", "10:00:05"]
    assert [length(s) for s in (0, 35, 59.6, 3599, 7500)] == ["0 s", "35 s", "1 min", "1 h", "2 h 5 min"]
    assert [number(s) for s in (0, 12.5, 12.504, 100, -1)] == ["0", "12.5", "12.5", "100", "0"]
    assert [day(d) for d in ("2026-03-02", "2026-03-02T10:00:00Z", "spring", "2026-13-01")] == [
        "2 March 2026",
        "2 March 2026",
        "spring",
        "2026-13-01",
    ]


def test_words_of_other_scripts_stay_as_they_are() -> None:
    turns = [
        ("مريم", "می‌خواهم بدانم چرا این کار سخت است."),
        ("李", "我們沒有在沙子裡測試密封件。"),
        ("नीना", "हम फिर से करेंगे।"),
    ]
    transcript = transcript_of(turns)
    html = page(transcript, Content(quotes=(quote(transcript, "می‌خواهم بدانم چرا"),)))
    for _, text in turns:
        assert text in html
    assert segment(transcript, "我們沒有在沙子裡測試密封件。") == 1


def test_a_word_with_a_blank_inside_keeps_the_words_times_in_step() -> None:
    words = (Word("one two", 0.0, 0.5), Word("three", 0.5, 0.9))
    from whetstone.episodes.transcript import Segment

    transcript = Transcript(words, (Segment(0, 0, 2),), Timing.WORD, Origin.PUBLISHER)
    assert 'data-w="0 0 50"' in page(transcript, Content())
