"""Bytes of a file -> text: encodings are recognised, and what is no text at all is named and refused."""

from __future__ import annotations

import codecs
import re

from whetstone.episodes.formats.reading import LARGEST_FILE
from whetstone.errors import UsageError

_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHER = (  # how files begin that are not text, and what to do with them
    (b"PK\x03\x04", "a zip file or an office document: save it as plain text, VTT or SRT"),
    (b"%PDF", "a PDF: save its text as a .txt file"),
    (b"\x1f\x8b", "compressed: unpack it first"),
    (b"BZh", "compressed: unpack it first"),
    (b"\xfd7zXZ", "compressed: unpack it first"),
    (b"{\\rtf", "rich text: save it as plain text"),
    (b"\xd0\xcf\x11\xe0", "an old office document: save it as plain text"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"SQLite format 3\x00", "a database"),
)
_AUDIO = (b"ID3", b"RIFF", b"OggS", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")
# Encodings that a page may declare and that are worth believing where UTF-8 does not fit.
_DECLARABLE = re.compile(
    r"(?:iso-?8859-\d{1,2}|windows-125\d|cp125\d|latin-?1|koi8-[ru]|shift_jis|euc-jp|euc-kr|gb\w+|big5)"
)
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_\-]{3,20})""")


def is_audio(content: bytes) -> bool:
    """Whether the first bytes are those of mp3, wav, ogg, flac, aac or mp4."""
    return content.startswith(_AUDIO) or content[4:8] == b"ftyp"


def decoded(content: bytes, what: str, largest: int = LARGEST_FILE) -> tuple[str, tuple[str, ...]]:
    """The text of a file and notes on what was forgiven; lines end with "\\n" alone, there is no byte order mark.

    what: the file's name in messages. largest: bytes. UTF-8 is taken where it fits; else a byte order mark, the zeros
    of UTF-16, a declared encoding or Windows-1252 decide. Raises UsageError for other content.
    """
    if len(content) > largest:
        raise UsageError(
            f"{what} is larger than {largest >> 20} MiB; that is no transcript or needs to be cut in parts"
        )
    _refuse_what_is_no_text(content, what)
    text, notes = _text(content, what)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    begin = text[: 1 << 20]
    if len(_CONTROL.findall(begin)) * 10 > len(begin):
        raise UsageError(f"{what} is no text: it is full of control characters")
    return text, notes


def _refuse_what_is_no_text(content: bytes, what: str) -> None:
    marked = any(content.startswith(mark) for mark, _ in _MARKS)
    if is_audio(content) and not marked:
        raise UsageError(f"{what} is audio: it has to be recognised before it can be read")
    for begin, kind in _OTHER:
        if content.startswith(begin):
            raise UsageError(f"{what} is {kind}")


def _text(content: bytes, what: str) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _lenient(content[len(mark) :], encoding, what)
    if encoding := _utf16_by_zeros(content):
        return _lenient(content, encoding, what)
    try:
        return content.decode("utf-8"), ()
    except UnicodeDecodeError:
        pass
    if (found := _DECLARED.search(content[:2048])) and _DECLARABLE.fullmatch(declared := found[1].decode().lower()):
        try:
            return content.decode(declared), (f"read as {declared}, as it declares",)
        except (UnicodeDecodeError, LookupError):
            pass
    text = content.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = sum(character > "\x7f" for character in text) - broken
    if whole >= 4 * broken:  # a damaged file, not one in another encoding
        return text, (f"{broken} damaged characters in UTF-8",)
    return _single_bytes(content, what)


def _single_bytes(content: bytes, what: str) -> tuple[str, tuple[str, ...]]:
    high = sum(byte > 0x7F for byte in content[: 1 << 20])
    if high * 2 > len(content[: 1 << 20]):  # Cyrillic or Greek in one byte, or no text: nothing says which
        raise UsageError(f"{what} is in an encoding that cannot be told: save it as UTF-8")
    # the five bytes that Windows-1252 leaves open become replacement characters
    return content.decode("cp1252", "replace"), ("read as Windows-1252 (Latin-1): it is not UTF-8",)


def _lenient(content: bytes, encoding: str, what: str) -> tuple[str, tuple[str, ...]]:
    text = content.decode(encoding, "replace")
    broken = text.count("\ufffd")
    if broken * 10 > len(text):
        raise UsageError(f"{what} says that it is {encoding.upper()} and is not: save it as UTF-8")
    notes = [f"read as {encoding}"] if encoding != "utf-8" else []
    if broken:
        notes.append(f"{broken} damaged characters in {encoding.upper()}")
    return text, tuple(notes)


def _utf16_by_zeros(content: bytes) -> str:
    """UTF-16 without a mark: in most scripts' text a space's or letter's second byte is zero, always on one side."""
    begin = content[:4096]
    if len(begin) < 4 or len(content) % 2:
        return ""
    even, odd = begin[::2].count(0), begin[1::2].count(0)
    least = len(begin) // 8
    if odd > least and even * 8 < odd:
        return "utf-16-le"
    if even > least and odd * 8 < even:
        return "utf-16-be"
    return ""
