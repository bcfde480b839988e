"""The form in which a quote and a transcript are compared: what only spelling and punctuation change is gone, what
changes the meaning stays.

Gone: case, punctuation, the shapes of quotation marks and dashes, commas between thousands, soft hyphens and other
invisible characters. "%" is read as "percent", "&" as "and". Kept as tokens of their own: currency and other symbols, a
minus sign, the stroke of a fraction. Numbers in words are not numbers in digits, "don't" is not "do not", "3.6" is not
"36", "10⁹" is not "109".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

# NFKC takes a lone acute accent or diaeresis apart into a space and a combining mark, so quote marks go first.
_MARKS = {ord(c): "'" for c in "‘’‚‛`´ʹʻʼʽˈ′‵＇‹›"} | {ord(c): '"' for c in "“”„‟«»″‶＂「」『』〝〞〟"}
_DASHES = {ord(c): "-" for c in "‐‑‒–﹣－"} | {ord(c): "—" for c in "—―⸺⸻﹘"}
_AFTER = _MARKS | _DASHES | {ord("ς"): "σ", ord("_"): " ", 0x200B: " "}
_SAID = {"%": "percent", "‰": "permille", "&": "and"}
_TRADE = "™℠®©"
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ELLIPSIS = re.compile(r"\.{2,}|[\[\]]")


@dataclass(frozen=True)
class Normal:
    """Words in normal form. Token `i` comes from word `words[i]`; a word may give none, one or several.

    `marks`: the tokens before which an ellipsis or a square bracket stands; `len(tokens)` when one ends the text.
    """

    tokens: tuple[str, ...]
    words: tuple[int, ...]
    marks: frozenset[int]


def normal(words: Sequence[str]) -> Normal:
    """The normal form of words as they are written (of a text: `text.split()`)."""
    tokens: list[str] = []
    origin: list[int] = []
    marks: set[int] = set()
    dots = 0
    for index, word in enumerate(words):
        found, inside = _one(word)
        marks.update(len(tokens) + mark for mark in inside)
        # ". . ." is an ellipsis too, and a lone "." is a full stop that somebody set apart
        dots = dots + 1 if word == "." else 0
        if dots >= 2:
            marks.add(len(tokens))
        tokens += found
        origin += [index] * len(found)
    return Normal(tuple(tokens), tuple(origin), frozenset(marks))


def tokens(text: str) -> tuple[str, ...]:
    """The tokens of a text in normal form."""
    found: list[str] = []
    for word in text.split():
        found += _one(word)[0]
    return tuple(found)


def without_closing(text: str) -> str:
    """A text without the quotation marks and brackets that close it, so that its last mark is the sentence's."""
    return text.rstrip("\"'\u201d\u2019\u00bb)")


@lru_cache(maxsize=1 << 16)
def _one(word: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Tokens of one written word, and the tokens before which a mark of omission stands."""
    text = _folded(word)
    found: list[str] = []
    marks: list[int] = []
    at = 0
    while at < len(text):
        omission = _ELLIPSIS.match(text, at)
        if omission:
            marks.append(len(found))
            at = omission.end()
            continue
        end = _run(text, at)
        if end > at:
            found.append(_number(text[at:end]))
            at = end
            continue
        symbol = _symbol(text, at)
        if symbol:
            found.append(symbol)
        at += 1
    return tuple(found), tuple(marks)


def _folded(word: str) -> str:
    """Lower case, compatibility forms unified, quote marks and dashes unified, invisible characters gone."""
    if word.isascii():
        return word.lower().translate(_AFTER)
    text = "".join(_raised(c) for c in word.translate(_MARKS) if c in "\u200b" or unicodedata.category(c) != "Cf")
    while True:
        folded = unicodedata.normalize("NFKC", text).lower().translate(_AFTER)
        folded = unicodedata.normalize("NFKC", folded)
        if folded == text:
            return folded
        text = folded


def _raised(character: str) -> str:
    """What NFKC would run together with the digits before it is set apart: 10⁹ is not 109, 3½ is not 31/2."""
    if character in _TRADE:
        return ""
    kind = unicodedata.decomposition(character)
    if kind.startswith("<super>"):
        return "^" + character
    return " " + character + " " if kind.startswith("<fraction>") else character


def _letter(text: str, at: int) -> bool:
    """Whether a letter, a digit, or a mark that belongs to one stands there."""
    return 0 <= at < len(text) and (text[at].isalnum() or unicodedata.category(text[at])[0] == "M")


def _digit(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at].isdigit()


def _run(text: str, at: int) -> int:
    """The end of the token that begins at `at`: letters and digits, apostrophes between them, points in numbers."""
    if text[at] == "." and _digit(text, at + 1) and not _letter(text, at - 1):
        end = at + 1
    elif _letter(text, at):
        end = at
    else:
        return at
    if _ideograph(text[end]):
        return end + 1
    while _letter(text, end) or _joins(text, end):
        if _ideograph(text[end]):
            break
        end += 1
    return end


def _joins(text: str, at: int) -> bool:
    if at >= len(text):
        return False
    if text[at] == "'":
        return _letter(text, at - 1) and _letter(text, at + 1)
    return text[at] in ".,:" and _digit(text, at - 1) and _digit(text, at + 1)


def _ideograph(character: str) -> bool:
    """Scripts without spaces: a character is a token."""
    return "\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff"


def _number(token: str) -> str:
    return token.replace(",", "") if _THOUSANDS.fullmatch(token) else token


def _symbol(text: str, at: int) -> str:
    """The token of a character that is no letter; "" for punctuation that a transcriber may set or leave out."""
    character = text[at]
    between_digits = _digit(text, at - 1) and _digit(text, at + 1)
    if character in _SAID:
        return _SAID[character]
    if character in "@#^":
        return character
    if character == "-":
        before_amount = _digit(text, at + 1) or (text[at + 1 : at + 2] == "." and _digit(text, at + 2))
        amount = before_amount or unicodedata.category(text[at + 1 : at + 2] or " ") == "Sc"
        return "−" if amount and not _letter(text, at - 1) else ""
    if character == "/":
        return "⁄" if between_digits else ""
    if character == "*":
        return "∗" if _letter(text, at - 1) and _letter(text, at + 1) else ""
    return character if unicodedata.category(character) in {"Sm", "Sc", "So"} else ""
