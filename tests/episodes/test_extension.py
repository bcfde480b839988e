"""The browser extension, loaded unpacked into a real Chromium and started by a click on its button."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import whetstone.episodes
from tests.episodes.conversation import conversation, interview
from tests.episodes.live_library import library
from tests.episodes.memory import MemoryShelf
from tests.episodes.written import ABOUT, content, segment
from tests.pages import QUIET
from whetstone.episodes.library.door import EXTENSION
from whetstone.episodes.library.shelf import Shown, Wanted
from whetstone.episodes.library.stored import open_shelf
from whetstone.episodes.store import Store

FOLDER = Path(whetstone.episodes.__file__).parent / "extension"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
TRANSCRIPT = conversation()


def test_the_manifest_asks_for_little_and_its_key_is_the_origin_that_the_library_lets_in() -> None:
    assert MANIFEST["manifest_version"] == 3
    assert MANIFEST["host_permissions"] == ["http://127.0.0.1/*", "http://localhost/*"]
    assert set(MANIFEST["permissions"]) == {"activeTab", "scripting", "storage"}
    assert "content_scripts" not in MANIFEST and "background" not in MANIFEST
    digest = hashlib.sha256(base64.b64decode(MANIFEST["key"])).hexdigest()[:32]
    assert f"chrome-extension://{digest.translate(str.maketrans('0123456789abcdef', 'abcdefghijklmnop'))}" == EXTENSION


def test_every_file_that_is_named_is_there_and_no_text_becomes_markup() -> None:
    named = {MANIFEST["action"]["default_popup"], *MANIFEST["icons"].values()}
    for path in FOLDER.iterdir():
        text = "" if path.suffix == ".png" else path.read_text(encoding="utf-8")
        named |= set(re.findall(r'(?:src|href)="([^"#:]+)"', text)) | set(re.findall(r'from "\./([^"]+)"', text))
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|eval\(|new Function|document\.write", text), path
    assert named <= {path.name for path in FOLDER.iterdir()}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site with pages about episodes, on a port of its own."""
    folder = tmp_path_factory.mktemp("site")
    turns = "".join(f"<p>{name}: {text}</p>" for name, text in interview())
    (folder / "known.html").write_text("<title>Known</title><p>Listen to it.")
    (folder / "named.html").write_text(f"<title>Named</title><nav>Menu</nav><div id=the-transcript>{turns}</div>")
    (folder / "heading.html").write_text(f"<h2>Show notes</h2><p>Notes.</p><h2>Transcript</h2>{turns}<h2>More</h2><p>x")
    (folder / "turns.html").write_text(f"<title>Turns</title><main>{turns}</main>")
    (folder / "none.html").write_text("<title>None</title><p>There is nothing to hear here.")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # a name that is no host permission of the extension: only the click lets it in
    yield f"http://site.localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Chromium:
    """A browser with the extension, and its button."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.session = context.browser.new_browser_cdp_session()
        self.links: list[str] = []  # of the window that was opened last
        self.id = EXTENSION.rpartition("/")[2]
        self.watch = context.new_page()  # a page of the extension: it can look into its other windows
        self.watch.goto(f"{EXTENSION}/popup.html")

    def use(self, server: str) -> None:
        self.watch.evaluate("server => chrome.storage.local.set({ server })", server)

    def click(self, url: str) -> str:
        """Open `url`, click on the extension's button there; what its window says in the end."""
        page = self.open(url)
        text = self.text()
        self.links = self.popup("[...popup.document.querySelectorAll('a')].map(each => each.href)")
        page.close()  # and the window with it
        return text

    def open(self, url: str) -> Any:
        """The page at `url`, with the extension's window open and done reading."""
        page = self.context.new_page()
        page.goto(url)
        page.bring_to_front()
        tabs = self.session.send("Target.getTargets", {"filter": [{"type": "tab"}]})["targetInfos"]
        tab = next(each["targetId"] for each in tabs if each["url"] == url)
        self.wait(lambda: self.popup("true") is None, "the window before is still open")
        self.session.send("Extensions.triggerAction", {"id": self.id, "targetId": tab})
        self.wait(lambda: "Reading the page" not in self.text(), "it reads and reads")
        return page

    def wait(self, ready: Callable[[], bool], problem: str) -> None:
        for _ in range(200):
            if ready():
                return
            self.watch.wait_for_timeout(50)
        raise AssertionError(problem)

    def text(self) -> str:
        """Of the window; what it says first while it is not there yet."""
        return self.popup("popup.document.body?.innerText") or "Reading the page"

    def popup(self, expression: str) -> Any:
        views = "chrome.extension.getViews({ type: 'popup' })"
        return self.watch.evaluate(f"() => {{ const popup = {views}[0]; return popup ? {expression} : null }}")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    import shutil

    sync_api = pytest.importorskip("playwright.sync_api", reason="this test needs playwright")
    binary = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    if binary is None:
        pytest.skip("this test needs chromium (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=binary,
            headless=True,
            ignore_default_args=["--disable-extensions"],
            args=[
                *QUIET,
                f"--load-extension={FOLDER}",
                "--disable-features=DisableLoadExtensionCommandLineSwitch",
                "--enable-unsafe-extension-debugging",
            ],
        )
        try:
            yield Chromium(context)
        finally:
            context.close()


@pytest.fixture(scope="module")
def served(web: str) -> Iterator[str]:
    about = replace(ABOUT, link=f"{web}/known.html")
    shelf = MemoryShelf({"tide": Shown(about, TRANSCRIPT, content(TRANSCRIPT), {}, "1")})
    with library(shelf) as address:
        yield address


def test_a_page_that_the_library_knows(chromium: Chromium, served: str, web: str) -> None:
    chromium.use(served)
    text = chromium.click(f"{web}/known.html")
    assert "In your library" in text and ABOUT.title in text and "Takeaways" in text.title()
    assert "“A gearbox under water is a box of oil waiting for a leak.”" in text
    assert f"{served}/e/tide/#s{segment(TRANSCRIPT, 'A gearbox under')}" in chromium.links
    assert all(link.startswith(served) for link in chromium.links)


@pytest.mark.parametrize("page", ["named", "heading", "turns"])
def test_a_transcript_that_stands_on_the_page(chromium: Chromium, served: str, web: str, page: str) -> None:
    chromium.use(served)
    text = chromium.click(f"{web}/{page}.html")
    assert "it is not in your library" in text and "Hello and welcome to the Slow Engine" in text
    words = re.search(r"\(([\d,]+) words\)", text)
    assert words is not None and int(words[1].replace(",", "")) == len(TRANSCRIPT.words)


def test_a_transcript_is_kept_where_the_user_says_so(chromium: Chromium, web: str, tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    Store(path).close()
    shelf = open_shelf(path)
    with library(shelf) as address:
        chromium.use(address)
        page = chromium.open(f"{web}/named.html")
        assert "Keep in the library" in chromium.text() and shelf.episodes(Wanted(), "", 0, 9) == ([], 0)
        chromium.popup("popup.document.querySelector('#keep button').click()")
        chromium.wait(lambda: "In your library (1,398 words)" in chromium.text(), "it is not kept")
        assert "Keep in the library" not in chromium.text() and "The whole page" in chromium.text()
        page.close()
        assert "In your library" in chromium.click(f"{web}/named.html#part")
    entries, count = shelf.episodes(Wanted(), "", 0, 9)
    assert count == 1 and (entries[0].title, entries[0].show) == ("Named", "site.localhost")
    assert entries[0].opening.startswith("My guest today") and shelf.search("gearbox under water", Wanted(), 3)


def test_a_page_without_a_transcript_and_a_library_that_is_not_there(chromium: Chromium, served: str, web: str) -> None:
    chromium.use(served)
    assert "no transcript was found on it" in chromium.click(f"{web}/none.html")
    chromium.use("http://127.0.0.1:9/episodes")
    assert "whet listen serve" in chromium.click(f"{web}/none.html")


def test_search_from_the_window(chromium: Chromium, served: str) -> None:
    chromium.use(served)
    page = chromium.context.new_page()
    page.goto(f"{EXTENSION}/popup.html")
    page.locator("#query").fill("sand")
    page.locator("#query").press("Enter")
    page.locator("#hits li").first.wait_for()
    assert page.locator("#hits li").count() == 4  # segments, one of which says it twice
    assert (page.locator("#hits a").first.get_attribute("href") or "").startswith(f"{served}/e/tide/#s")
    page.locator("summary").click()
    page.locator("#server").fill("https://evil.example/episodes")
    page.locator("#settings button").click()
    assert "runs on this machine" in page.locator("#state").inner_text()
    assert page.evaluate("chrome.storage.local.get('server')") == {"server": served}
    page.close()
