"""The words of web pages: what a reader sees, no more, and in a time that no page can stretch."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.episodes.evidence import webpage
from whetstone.errors import UsageError


def test_what_a_reader_sees() -> None:
    page = webpage.read(
        """<!doctype html><html><head><title>Tides &amp; <b>time</b></title><meta name="date" content="2025-06-01T1">
        <link href="https://a.example/tides" rel="canonical"><style>p { color: red }</style></head><body>
        <header>Site</header><nav><ul><li>Menu</nav><form><main><h1>The
        tides</h1><p>They come <b>twice</b> a day.<p>Not <i>every</i> day &lt;twice&gt;.
        <p hidden>Secret.</p><div style="color:red; DISPLAY : none"><div>In</div> it</div><br><div aria-hidden="true">x
        <img src=x><p>y</div><script>var a = "</p>";</script><table><tr><td>High</td><td>3.6&nbsp;m</td></table></main>
        </form><![endif]><![x]><footer>Imprint</footer></body></html>""",
        "a page",
    )
    assert page.title == "Tides & <b>time</b>" and page.published == "2025-06-01"
    assert page.address == "https://a.example/tides"
    assert page.text.split("\n\n") == [
        "The tides",
        "They come twice a day.",
        "Not every day <twice>.",
        "High",
        "3.6 m",
    ]


def test_what_a_page_says_of_itself_is_no_more_than_that() -> None:
    page = webpage.read('<html><meta name=date content="soon"><title></title><title>Two</title>', "a page")
    assert (page.published, page.title, page.text) == ("", "Two", "")


MONSTERS = {
    "angles": "<" * 400_000,
    "tags": "<a " * 200_000,
    "attributes": "<a " + "b='c\" " * 100_000 + ">",
    "quotes": "<a b=\"<a b='" * 50_000,
    "depth": "<div hidden>" * 100_000 + "</div>" * 100_000,
    "unlike": "<div hidden><p>" * 50_000 + "</div>" * 50_000,
    "comments": "<!--" * 100_000,
    "marked": "<![x" * 100_000,
    "raw": "<script>" * 50_000 + "</scrip" * 50_000,
    "references": "&#" + "9" * 400_000 + ";" + "&a" * 100_000,
}


@pytest.mark.parametrize("monster", MONSTERS)
def test_monsters_are_read_as_quickly_as_other_text(monster: str) -> None:
    # what is not linear in the length would take minutes here
    page = webpage.read(f"<html><p>Before.</p>{MONSTERS[monster]}", "a monster")
    assert page.text.startswith("Before.")


def test_too_many_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whetstone.episodes.formats.markup.MOST_TAGS", 100)
    with pytest.raises(UsageError, match="a page has more than 100 tags"):
        webpage.read("<html>" + "<b>" * 101, "a page")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*"<>/!-'\"= \n&#x", "p", "div", "hidden", "title", "script", "meta"]), max_size=60))
def test_anything_is_read(parts: list[str]) -> None:
    page = webpage.read("".join(parts), "anything")
    assert all(page.text.split("\n\n")) or page.text == ""
