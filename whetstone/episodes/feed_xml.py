"""XML of strangers, element by element: entities are refused (defusedxml), depth and number of elements have limits."""

from __future__ import annotations

import html.entities
import io
import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from whetstone.episodes.formats.decoding import decoded
from whetstone.errors import UsageError

MOST_ELEMENTS = 1_000_000  # a feed of 3,000 episodes has about 120,000
DEEPEST = 100


def elements(content: bytes, what: str) -> Iterator[tuple[int, Element, bool]]:
    """(depth, element, whether it ends here) as the parser comes by. Raises UsageError for entities and beyond the
    limits, ParseError for what is not well-formed."""
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import iterparse
    except ImportError:
        raise UsageError("reading feeds needs defusedxml: pip install defusedxml") from None
    depth = count = 0
    try:
        for event, element in iterparse(io.BytesIO(content), events=("start", "end")):
            if event == "start":
                depth, count = depth + 1, count + 1
                if depth > DEEPEST or count > MOST_ELEMENTS:
                    raise UsageError(f"{what} is built like an attack: too deep, or too many elements")
            yield depth, element, event == "end"
            depth -= event == "end"
    except DefusedXmlException:
        raise UsageError(f"{what} defines XML entities or includes files: no feed needs that, it is not read") from None


def name_of(element: Element) -> tuple[str, str]:
    """(namespace without a last slash, name) of an element."""
    space, _, name = element.tag[1:].partition("}") if element.tag.startswith("{") else ("", "", element.tag)
    return space.rstrip("/"), name


def children(element: Element, name: str, spaces: tuple[str, ...] = ("",)) -> list[Element]:
    """The children of that name in one of the namespaces."""
    return [each for each in element if name_of(each)[1] == name and name_of(each)[0] in spaces]


def first(element: Element, name: str, spaces: tuple[str, ...] = ("",)) -> Element | None:
    """The first of `children`."""
    return next(iter(children(element, name, spaces)), None)


def text_of(element: Element, name: str, spaces: tuple[str, ...] = ("",)) -> str:
    """The text of the first such child that has some."""
    for each in children(element, name, spaces):
        if each.text and each.text.strip():
            return each.text
    return ""


_VERBATIM = "<![CDATA["
_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)")
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")
_XML_NEVER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def mended(content: bytes, what: str, largest: int) -> bytes:
    """The feed with what is often wrong put right: its encoding, control characters, ampersands, HTML's entities."""
    text, _ = decoded(content, what, largest)
    text = re.sub(r"^\s*<\?xml[^>]{0,300}\?>", "", text)
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text[: 1 << 16]):
        raise ValueError("it is not well-formed")
    parts = []
    for place, part in enumerate(_XML_NEVER.sub("", text).split(_VERBATIM)):
        verbatim, ended, rest = part.partition("]]>") if place else ("", "", part)
        opening = _VERBATIM if place else ""
        parts.append(f"{opening}{verbatim}{ended}{_AMPERSAND.sub('&amp;', _NAMED.sub(_character, rest))}")
    return "".join(parts).strip().encode("utf-8", "replace")


def _character(found: re.Match[str]) -> str:
    if found[1] in ("amp", "lt", "gt", "quot", "apos"):
        return found[0]
    character = html.entities.html5.get(f"{found[1]};", found[0])
    return f"&amp;{found[1]};" if set(character) & set("<>&") else character
