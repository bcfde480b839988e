"""Text of strangers on a screen."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from whetstone.text import plain, printable


def test_what_a_terminal_obeys_is_spelled_out() -> None:
    assert printable("\x1b[31mred\x1b[0m\x07\r\x00\x7f\x9b2J") == "\\x1b[31mred\\x1b[0m\\x07\\x0d\\x00\\x7f\\x9b2J"
    assert printable("a\u202eb\u2066c\ud800") == "a\\u202eb\\u2066c\\ud800"
    assert printable("two\n\tlines") == "two\n\tlines"


def test_every_script_stays_readable() -> None:
    for text in ("naïve Ω 数 שלום", "می\u200cخواهم", "👩\u200d🔬", "e\u0301", "a\u00a0b"):
        assert printable(text) == text


def test_plain_keeps_letters_and_spells_the_rest() -> None:
    assert plain("naïve\u2028\x07 ok\n") == "naïve\\u2028\\x07 ok\n"
    assert plain("zero\u200bwidth\ufeff") == "zero\\u200bwidth\\ufeff"


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_acts_comes_through(text: str) -> None:
    for shown in (printable(text), plain(text)):
        assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
        assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") & set(shown)
        shown.encode()
