"""The page in a real browser, opened from a file: with scripts and without, wide and narrow, on paper."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.episodes.conversation import conversation, interview, transcript_of
from tests.episodes.test_page import hostile_page
from tests.episodes.written import ABOUT, content, segment
from tests.pages import browser
from whetstone.episodes.content import About, Content
from whetstone.episodes.page import write_page
from whetstone.episodes.page.render import SCRIPT, STYLE
from whetstone.episodes.page.templates import read
from whetstone.episodes.transcript import Transcript

TRANSCRIPT = conversation()
WRITTEN = content(TRANSCRIPT)


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with its sound: silence of the right length."""
    out = tmp_path_factory.mktemp("page")
    end = TRANSCRIPT.words[-1].end
    assert end is not None
    with wave.open(str(out / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(3000)
        sound.writeframes(bytes([128]) * int(3000 * end))
    write_page(out, replace(ABOUT, audio="sound.wav", seconds=end), TRANSCRIPT, WRITTEN, {})
    return out


@pytest.fixture
def opened(running: Any, folder: Path) -> Iterator[Any]:
    """The page; it must not complain, and asks for nothing but the files beside it."""
    context = running.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    heard, asked = listen(page)
    page.goto((folder / "index.html").as_uri())
    yield page
    assert heard == []
    assert all(url.startswith((folder.as_uri(), "data:")) for url in asked), asked
    context.close()


def listen(page: Any) -> tuple[list[str], list[str]]:
    heard: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: (heard.append("a dialog"), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    return heard, asked


def until(page: Any, expression: str) -> None:
    """Wait until it is true. (The page's policy forbids what playwright's own waiting does.)"""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {expression}")


def saying(page: Any) -> str | None:
    found = page.locator(".saying")
    return found.get_attribute("id") if found.count() else None


def test_search_inside_counts_steps_and_goes_over_the_end_of_a_sentence(opened: Any) -> None:
    opened.keyboard.press("/")
    opened.keyboard.type("SAND")
    until(opened, "document.getElementById('found').textContent === '5 found'")
    opened.keyboard.press("Enter")
    assert opened.locator("#found").inner_text() == "1 of 5"
    assert opened.evaluate("[...CSS.highlights.get('hit')].map(String)") == ["sand"]
    opened.keyboard.press("Shift+Enter")
    assert opened.locator("#found").inner_text() == "5 of 5"
    opened.locator("#needle").fill("in sand. We tested")
    until(opened, "document.getElementById('found').textContent === '1 found'")
    opened.locator("#needle").fill("zebra")
    until(opened, "document.getElementById('found').textContent === 'none'")
    assert opened.locator("#after").is_disabled()


def test_a_deep_link_goes_to_its_second_and_marks_the_word(opened: Any) -> None:
    wanted = segment(TRANSCRIPT, "It cost us")
    word = TRANSCRIPT.segments[wanted].first + 3
    opened.evaluate("second => { location.hash = `t=${second}` }", TRANSCRIPT.start(word))
    until(opened, "document.querySelector('.saying')")
    assert saying(opened) == f"s{wanted}"
    until(opened, "CSS.highlights.has('word')")
    assert opened.evaluate("[...CSS.highlights.get('word')].map(String)") == [TRANSCRIPT.words[word].text]
    box = opened.locator(".saying").bounding_box()
    assert 0 < box["y"] < 800


def test_a_click_on_a_word_plays_from_it_and_keys_move(opened: Any) -> None:
    wanted = segment(TRANSCRIPT, "We threw away")
    piece = opened.locator(f"#s{wanted}")
    piece.scroll_into_view_if_needed()
    word = TRANSCRIPT.segments[wanted].first + 2
    rect = opened.evaluate(
        """id => { const r = new Range(), t = document.getElementById(id).firstChild; r.setStart(t, 9); r.setEnd(t, 13);
        const b = r.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2, String(r)] }""",
        f"s{wanted}",
    )
    assert rect[2] == TRANSCRIPT.words[word].text
    opened.mouse.click(rect[0], rect[1])
    at = opened.evaluate("document.getElementById('audio').currentTime")
    start = TRANSCRIPT.start(word)
    assert start is not None and start <= at < start + 30
    opened.evaluate("document.getElementById('audio').pause()")
    opened.evaluate("document.getElementById('audio').currentTime = 100")
    opened.keyboard.press("j")
    assert abs(opened.evaluate("document.getElementById('audio').currentTime") - 85) < 0.5
    opened.keyboard.press("l")
    assert abs(opened.evaluate("document.getElementById('audio').currentTime") - 115) < 0.5
    opened.keyboard.press(">")
    assert opened.evaluate("document.getElementById('audio').playbackRate") == 1.25
    opened.keyboard.press("k")
    until(opened, "!document.getElementById('audio').paused")
    opened.keyboard.press(" ")
    until(opened, "document.getElementById('audio').paused")


def test_single_keys_can_be_switched_off_and_never_take_what_is_typed(opened: Any) -> None:
    opened.keyboard.press("?")
    assert opened.locator("#keys").get_attribute("open") is not None
    opened.locator("#needle").fill("")
    opened.locator("#needle").press("k")
    assert opened.locator("#needle").input_value() == "k"
    opened.locator("#needle").press("Escape")
    opened.locator("#shortcuts").uncheck()
    opened.evaluate("document.activeElement.blur()")
    opened.keyboard.press("k")
    assert opened.evaluate("document.getElementById('audio').paused")


def test_a_quotes_button_plays_and_its_link_leads_to_the_words(opened: Any) -> None:
    quote = opened.locator("#q2")
    quote.locator(".play").click()
    start = TRANSCRIPT.start(WRITTEN.quotes[1].first)
    assert start is not None
    until(opened, "document.getElementById('audio').currentTime > 1")
    assert abs(opened.evaluate("document.getElementById('audio').currentTime") - (start - 0.3)) < 20
    quote.locator(".where").click()
    assert opened.url.endswith(f"#s{segment(TRANSCRIPT, 'A gearbox under')}")


def test_the_keyboard_reaches_the_skip_links_first_and_everything_has_a_name(opened: Any) -> None:
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "skip"
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    assert opened.evaluate("location.hash") == "#transcript"
    nameless = opened.evaluate(
        """[...document.querySelectorAll('a[href], button, input, select')].filter(each => !(each.textContent.trim()
        || each.getAttribute('aria-label') || each.labels?.length)).map(each => each.outerHTML)"""
    )
    assert nameless == []
    levels = opened.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(each => Number(each.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_without_scripts_the_page_is_complete(running: Any, folder: Path) -> None:
    context = running.new_context(java_script_enabled=False, viewport={"width": 800, "height": 700})
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    text = page.locator("main").inner_text()
    for turn in (interview()[0][1], interview()[-1][1]):
        assert turn in text
    assert page.locator("#find").is_hidden() and page.locator("#speed").is_hidden()
    assert page.locator("audio").is_visible()
    assert (page.locator("#q2 .play").get_attribute("href") or "").startswith("./sound.wav#t=")
    page.locator("#q2 .where").click()
    box = page.locator(f"#s{segment(TRANSCRIPT, 'A gearbox under')}").bounding_box()
    assert box is not None and 0 <= box["y"] < 700
    context.close()


def narrow(running: Any, path: Path, width: int, scheme: str = "light") -> None:
    """Nothing makes the page wider than the screen, and nothing is asked for or complained about."""
    context = running.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme)
    page = context.new_page()
    heard, asked = listen(page)
    page.goto(path.as_uri())
    assert heard == [] and all(url.startswith(path.parent.as_uri()) or url == "data:," for url in asked), asked
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_narrow_and_wide_light_and_dark(running: Any, folder: Path) -> None:
    for width, scheme in ((320, "light"), (360, "dark"), (760, "light"), (1280, "dark")):
        narrow(running, folder / "index.html", width, scheme)


@pytest.mark.parametrize("width", [320, 360, 700, 1280])
def test_a_link_to_a_sentence_leads_to_where_nothing_covers_it(running: Any, folder: Path, width: int) -> None:
    page = running.new_page(viewport={"width": width, "height": 600}, reduced_motion="reduce")
    page.goto(f"{(folder / 'index.html').as_uri()}#s60")
    page.wait_for_timeout(100)
    bar, sentence = page.locator(".bar").bounding_box(), page.locator("#s60").bounding_box()
    assert sentence["y"] >= bar["y"] + bar["height"] and bar["y"] >= -1
    page.close()


def test_long_words_and_other_scripts_fit(running: Any, tmp_path: Path) -> None:
    turns = [
        ("W" * 120, "x" * 400 + " and some more words here."),
        ("مريم العتيبي", "لم نختبر الأختام في الرمل. " * 4),
        ("李娜", "我們沒有在沙子裡測試密封件。" * 12),
    ]
    transcript = transcript_of(turns)
    about = About("A" * 200 + " " + "ب" * 90, "S" * 150, people=(("P" * 130, "r" * 130),))
    write_page(tmp_path, about, transcript, Content(), {})
    narrow(running, tmp_path / "index.html", 320)
    page = running.new_page(viewport={"width": 900, "height": 700})
    page.goto((tmp_path / "index.html").as_uri())
    wanted = page.locator(".turn p[dir=auto]", has=page.locator(f"#s{segment(transcript, 'لم نختبر')}"))
    assert wanted.evaluate("each => getComputedStyle(each).direction") == "rtl"
    page.close()


def test_a_hostile_page_does_nothing(running: Any, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_text(hostile_page(), encoding="utf-8")
    (tmp_path / STYLE).write_text(read("page/base.css") + read("page/page.css"))
    (tmp_path / SCRIPT).write_text(read("page/page.js"))
    page = running.new_page()
    heard, asked = listen(page)
    page.goto(path.as_uri())
    page.wait_for_timeout(200)
    assert heard == [] and all(url.startswith(tmp_path.as_uri()) or url == "data:," for url in asked), asked
    assert page.locator("img").count() == 0
    page.close()


def test_on_paper_there_is_the_text_and_no_machinery(running: Any, folder: Path) -> None:
    page = running.new_page()
    page.goto((folder / "index.html").as_uri())
    page.emulate_media(media="print")
    for hidden in (".player", ".contents", "#find", "#keys"):
        assert page.locator(hidden).is_hidden()
    assert page.locator("#s0").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF")
    page.close()


def ten_hours() -> Transcript:
    turns = interview()
    count = 100_000 // sum(len(text.split()) for _, text in turns) + 1
    return transcript_of(turns * count)


def test_ten_hours_stay_usable(running: Any, tmp_path: Path) -> None:
    transcript = ten_hours()
    assert len(transcript.words) > 100_000
    last = len(transcript.segments) - 1
    write_page(tmp_path, ABOUT, transcript, content(transcript), {})
    page = running.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page.goto((tmp_path / "index.html").as_uri() + f"#s{last}")
    box = page.locator(f"#s{last}").bounding_box()
    assert box is not None and 0 <= box["y"] < 800
    page.locator("#needle").fill("who is against you")
    until(page, "/^[0-9]+ found$/.test(document.getElementById('found').textContent)")
    page.locator("#needle").press("Shift+Enter")
    until(page, "[...CSS.highlights.get('hit')].length === 1")
    assert page.evaluate("[...CSS.highlights.get('hit')].map(String)") == ["who is against you"]
    page.close()
