"""Text of strangers (models, tasks, files) made safe to show: what a screen would obey or hide is spelled out."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """`text` for a terminal: control characters but newline and tab (ESC as \\x1b), overrides of the writing direction
    and halves of surrogate pairs are spelled out; every letter and mark of every script stays.
    """
    return _shown(text, obeyed)


def plain(text: str) -> str:
    """`text` for a page that must show what is there: `printable`, and invisible characters are spelled out too."""
    return _shown(text, hidden)


def obeyed(character: str) -> bool:
    """Whether a terminal would obey it, or cannot write it, instead of showing it."""
    return unicodedata.category(character) in {"Cc", "Cs"} or character in _BIDI


def hidden(character: str) -> bool:
    """Control, format (bidi, zero width, tags), surrogate, private and odd separator characters."""
    return character != " " and unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def spelled(character: str) -> str:
    """`\\x1b`, `\\u202e`, `\\U000e0041`."""
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def _shown(text: str, refused: Callable[[str], bool]) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or not refused(c) else spelled(c) for c in text)
