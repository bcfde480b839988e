"""The chat page in a real browser (Debian's Chromium, headless), against a real server."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.live import byte_folder, tiny_server
from whetstone.engine.backends import Source
from whetstone.engine.routing.policy import Cascade, Option, Policy
from whetstone.evals.looks import identity
from whetstone.serving.offers import Offers

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
BROWSER = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="the page's tests need chromium (apt-get install chromium)")

QUIET = (
    "--no-sandbox",  # tests may run as root, where Chromium has none
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with tiny_server(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture
def page(browser: Any, server: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1100, "height": 750})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"{server.url}/")
    sync_api.expect(opened.locator("#model option")).to_have_count(1)
    yield opened
    assert complaints == []
    context.close()


def ask(page: Any, text: str, tokens: int = 12) -> Any:
    """Send a message with the keyboard; returns the answer's element when it is complete."""
    set_tokens(page, tokens)
    page.locator("#prompt").fill(text)
    page.keyboard.press("Enter")
    answer = page.locator("article.assistant").last
    sync_api.expect(page.locator("#send")).to_be_visible(timeout=30_000)
    sync_api.expect(answer).not_to_have_class("assistant working")
    return answer


def set_tokens(page: Any, tokens: int) -> None:
    page.locator("#max_tokens").evaluate("(box, value) => { box.value = value }", str(tokens))


def test_an_answer_streams_in_and_can_be_asked_again(page: Any) -> None:
    answer = ask(page, "12?")
    first = answer.locator(".text").inner_text()
    assert first
    assert page.locator("article").count() == 2
    assert "tokens" in answer.locator(".figures").inner_text()
    answer.locator(".again").click()
    sync_api.expect(page.locator("#send")).to_be_visible(timeout=30_000)
    assert page.locator("article").count() == 2
    ask(page, "And 34?")
    assert [each.get_attribute("class") for each in page.locator("article").all()] == ["user", "assistant"] * 2


def test_a_seed_brings_back_the_same_answer(page: Any) -> None:
    page.locator("#seed").evaluate("box => { box.value = '7' }")
    first = ask(page, "12?").locator(".text").inner_text()
    page.keyboard.press("Alt+n")
    assert page.locator("article").count() == 0 and page.locator("#empty").is_visible()
    assert ask(page, "12?").locator(".text").inner_text() == first


def test_tokens_tell_their_probabilities_to_mouse_and_keyboard(page: Any) -> None:
    page.locator("#seed").evaluate("box => { box.value = '7' }")
    answer = ask(page, "12?")
    text = answer.locator(".text").text_content()
    answer.locator(".tokens").click()
    spans = answer.locator(".token")
    assert spans.count() > 1
    # special tokens are tokens, and no text
    assert re.sub(r"<\|\w+\|>", "", answer.locator(".text").text_content()) == text
    seen = answer.locator(".token:visible")  # some control characters take no room
    seen.first.hover()
    rows = page.locator("#tip tr")
    sync_api.expect(page.locator("#tip")).to_be_visible()
    assert 5 <= rows.count() <= 6 and page.locator("#tip tr.chosen").count() == 1
    assert "%" in rows.first.inner_text()
    page.mouse.move(1, 1)
    sync_api.expect(page.locator("#tip")).to_be_hidden()
    seen.last.focus()
    sync_api.expect(page.locator("#tip")).to_be_visible()
    answer.locator(".tokens").click()
    assert answer.locator(".token").count() == 0 and answer.locator(".text").text_content() == text


def test_escape_stops_the_answer_and_the_work(page: Any, server: Any) -> None:
    set_tokens(page, 90_000)
    page.locator("#prompt").fill("12?")
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("article.assistant .text")).not_to_be_empty(timeout=30_000)
    page.keyboard.press("Escape")
    sync_api.expect(page.locator("#send")).to_be_visible()
    assert "stopped" in page.locator("article.assistant .figures").inner_text()
    page.wait_for_function(
        """async () => /whetstone_requests_running[^\\n]* 0\\b/.test(await (await fetch("/metrics")).text())""",
        timeout=10_000,
    )


def test_markup_from_anyone_stays_text(page: Any) -> None:
    ask(page, "<img src=x onerror=\"document.title='owned'\"><b>bold</b>\n```html\n<script>1</script>\n```")
    mine = page.locator("article.user .text")
    assert "<b>bold</b>" in mine.inner_text() and mine.locator("b, img, script").count() == 0
    assert mine.locator("pre").inner_text().strip() == "<script>1</script>"
    assert page.title() == "Whetstone chat"


def test_settings_survive_a_reload_and_the_key_does_not_leave_the_tab(page: Any) -> None:
    page.locator("#toggle-settings").click()
    page.locator("#temperature").fill("1.3")
    page.locator("#system").fill("Be brief.")
    page.locator("#key").fill("secret")
    page.reload()
    assert page.locator("#temperature").input_value() == "1.3"
    assert page.locator("#system").input_value() == "Be brief."
    assert page.evaluate("JSON.stringify(localStorage)").find("secret") == -1
    assert page.locator("#settings").is_hidden()


def test_everything_is_reached_by_the_keyboard(page: Any) -> None:
    ask(page, "12?")
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "model", "new", "toggle-settings", "copy", "tokens", "again"} <= reached


@pytest.mark.parametrize("width", [320, 390, 1100])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_in_both_schemes(browser: Any, server: Any, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(f"{server.url}/")
    sync_api.expect(opened.locator("#model option")).to_have_count(1)
    ask(opened, "a" * 300)
    opened.locator("#toggle-settings").click()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.locator("#send").bounding_box()["x"] + opened.locator("#send").bounding_box()["width"] <= width
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = max(int(part) for part in ground[4:-1].split(",")) < 100
    assert dark == (scheme == "dark")
    if folder := os.environ.get("WHETSTONE_SCREENSHOTS"):  # for whoever wants to look
        opened.screenshot(path=str(Path(folder) / f"chat-{width}-{scheme}.png"))
    context.close()


def test_a_server_with_a_key_asks_for_it(browser: Any, tmp_path: Path) -> None:
    with tiny_server(tmp_path, keys=("sesame",)) as running:
        context = browser.new_context()
        opened = context.new_page()
        opened.goto(f"{running.url}/")
        sync_api.expect(opened.locator("#notice")).to_contain_text("API key")
        opened.locator("#key").fill("sesame")
        opened.keyboard.press("Tab")
        sync_api.expect(opened.locator("#model option")).to_have_count(1)
        assert ask(opened, "12?").locator(".text").inner_text()
        context.close()


@pytest.mark.parametrize("name", ["short", "turns", "auto"])
def test_strategies_and_routes_answer_in_their_own_way(browser: Any, tmp_path: Path, name: str) -> None:
    """They take no temperature of the page's, and their answer need not be one sample with probabilities."""
    byte_folder(tmp_path / "tiny")
    own = identity(Source(str(tmp_path / "tiny")))
    (tmp_path / "auto").mkdir()
    options = tuple(Option(str(tmp_path / "tiny"), each, own) for each in ("consistency-3", "greedy"))
    Policy(options, Cascade((0, 1), (1.1,))).save(tmp_path / "auto")
    named = {"short": "tiny@greedy", "turns": "tiny@consistency-3"}
    offers = Offers(named, routes={"auto": tmp_path / "auto"})
    with tiny_server(tmp_path, offers=offers) as running:
        opened = browser.new_page()
        opened.goto(f"{running.url}/")
        sync_api.expect(opened.locator("#model option")).to_have_count(4)
        opened.locator("#model").select_option(name)
        answer = ask(opened, "12?", tokens=6)
        assert opened.locator("#notice").inner_text() == ""
        assert answer.locator(".text").inner_text()
        figures = answer.locator(".figures").inner_text()
        assert "a second" not in figures and ("hidden" in figures) == (name != "short")
        opened.close()
