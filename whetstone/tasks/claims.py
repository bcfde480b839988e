r"""Where a text states a formula as its answer: the claims that `judge_symbolic` reads.

What is marked decides (`segments.marked`); else the conclusion of the last sentence that has one, together with every
earlier claim about the same thing. A sentence that negates, estimates or offers alternatives makes no claim that can be
read, only one that competes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from whetstone.tasks.formula import parse
from whetstone.tasks.notation import FormulaError
from whetstone.tasks.segments import ALTERED, DERIVED, REVOKED, marked

MAX_SPANS = 60
MAX_CLAIM = 600  # characters


@dataclass(frozen=True)
class Claim:
    """`final`: the formula's text. `between`: other sides of its chain of equations. `label`: what it is said of."""

    label: str
    final: str
    between: tuple[str, ...] = ()


UNREADABLE_CLAIM = Claim("", "")

_BOLD = re.compile(r"(?<![\w)}])\*\*(?=\S)|(?<=\S)\*\*(?![\w({\\])")
_FENCE = re.compile(r"```[a-z]{0,10}\n?|(?m:^#{2,6} )")
_TAGS = re.compile(r"</?(?:b|i|p|em|strong|code|span)>")
_SPAN = re.compile(  # bounded, so that many openings without an end stay cheap
    r"\$\$(.{1,600}?)\$\$|\\\[(.{1,600}?)\\\]|\\\((.{1,600}?)\\\)|\$([^$]{1,600})\$|`([^`]{1,600})`", re.DOTALL
)
_PLACE = re.compile("\ue000([0-9]+)\ue001")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|(?<=[.!?;])$")
_CONCLUDES = re.compile(r"\b(?:is|are|equals?|gives?|get|becomes|to|yields?|obtain|as|have|simplified|answer)\b:?|:|=")
_OR = re.compile(r"\b(?:or|either)\b", re.IGNORECASE)
_HEDGE = re.compile(r"\b(?:maybe|perhaps|possibly|alternatively|could|might|guess)\b", re.IGNORECASE)
# Words that lead to a formula and say nothing about its value.
_LEAD = re.compile(
    r"(?:(?:so|thus|therefore|hence|then|and|we|have|get|gets|obtain|find|answer|the|final|correct|result|value|it|"
    r"simplifies|to|becomes|gives|equal|equals|is|are|which|that|this|sure|okay|ok|yes|simply|just|now|finally|solution|"
    r"i|got|think|believe|it's|that's|that|would|must|us|equation|line|interval|derivative|integral|expression|formula|simplified|form|of|be|as|can|written|\d{1,2}[.)](?=\s)|[-*•](?=\s))"
    r"\s{0,3}[,:!]?\s{1,3})",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s{0,2}[,;(]?\s{1,2}\(?(?:which|because|since|using|where|I hope|\(?final\)|is the (?:correct |right )?answer|"
    r"is correct)(?!\w)(?!.*\b(?:so|thus|therefore|hence|gives?|get)\b).*",
    re.IGNORECASE | re.DOTALL,
)
_UNIT = re.compile(
    r"\s{0,3}(?:\\(?:text|mathrm|textrm)\s?\{\s{0,3}(?:square |cubic |sq\.? )?[A-Za-z]{1,12}\.?(?:\^?[23])?\s{0,3}\}"
    r"(?:\^\{?[23]\}?)?|(?:square |cubic )?(?:units?|cm|mm|km|meters?|metres?|inches|feet|radians?|rad)"
    r"(?:\^?[23]|[²³])?)\s{0,3}$",
)
# Words beside a formula that make another value of it: "two $\\pi$", "$\\pi$ over 2".
_DISTORTS = re.compile(
    r"[0-9*/^+%-]|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|third|quarter|times|plus|over|per|root|square|"
    r"inverse|reciprocal|about|around|nearly|almost|between|below|above|than|divided|multiplied|deg\w*)\b",
    re.IGNORECASE,
)
_ANGLE = re.compile(r"\bdeg", re.IGNORECASE)
_STATEMENTS = re.compile(r"(?<!\\)[,;]\s{0,3}(?=[A-Za-z][A-Za-z0-9_']{0,3}\s{0,3}=)")
_EQUALS = re.compile(r"(?<![<>!≈~=])=(?!=)")
_LABEL = re.compile(
    r"\s*(?:[A-Za-z](?:_\{?\w{1,3}\}?)?'{0,2}(?:\(\s?[A-Za-z](?:\s?,\s?[A-Za-z])?\s?\))?|\\?[A-Za-z]{2,8}|"
    r"d[A-Za-z]?\s?/\s?d[A-Za-z]|\\d?frac\s?\{d[A-Za-z]?\}\s?\{d[A-Za-z]\}.*|\\int.*|∫.*)\s*",
    re.DOTALL,
)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s?\{([^\\]*(?:\\(?!boxed)[^\\]*)*)\}", re.DOTALL)
_EDGE = " \t\r\n.,;:!?*_\"'“”‘’`"


def claims(text: str, whole: bool = False) -> list[Claim]:
    """What the text claims as its answer; empty when nothing. `whole`: a relation is wanted, so "=" parts nothing."""
    text = text.replace("\ue000", "").replace("\ue001", "")
    text = _TAGS.sub(" ", _FENCE.sub("", _BOLD.sub("", text)))
    if REVOKED.search(text):
        return [UNREADABLE_CLAIM]
    regions = marked(text)
    if regions:
        return [claim for region in regions for claim in _of_region(region, whole, True) or [UNREADABLE_CLAIM]]
    return _of_region(text, whole, False)


def _of_region(region: str, whole: bool, is_marked: bool) -> list[Claim]:
    spans: list[str] = []

    def keep(match: re.Match[str]) -> str:
        spans.append(next(group for group in match.groups() if group is not None))
        return f" \ue000{len(spans) - 1}\ue001 "

    shown = _SPAN.sub(keep, region)
    if len(spans) > MAX_SPANS:
        return [UNREADABLE_CLAIM]
    sentences = [sentence for sentence in _SENTENCE.split(shown) if sentence and sentence.strip(_EDGE)]
    found = [claim for sentence in sentences for claim in _of_sentence(sentence, spans, whole, is_marked)]
    if not found:
        return []
    if _OR.search(shown) or (_HEDGE.search(shown) and max(len(found), len(spans)) > 1):
        return [UNREADABLE_CLAIM]
    last = found[-1]
    competing = [claim for claim in found[:-1] if claim is UNREADABLE_CLAIM or claim.label in ("", last.label)]
    return [*competing, last]


def _of_sentence(sentence: str, spans: list[str], whole: bool, is_marked: bool) -> list[Claim]:
    made = _of_spans(sentence, spans, whole, is_marked) if _PLACE.search(sentence) else _plain(sentence, whole)
    said = _PLACE.sub(" ", sentence)
    derived = any(said[match.end() :].lstrip().startswith(":") for match in DERIVED.finditer(said))
    if made and (derived or ALTERED.search(said)):
        return [UNREADABLE_CLAIM]
    return made


def _of_spans(sentence: str, spans: list[str], whole: bool, is_marked: bool) -> list[Claim]:
    """The spans behind the last word that concludes (in a marked region: behind its start); or a lone span."""
    sentence = _TAIL.sub("", sentence)
    places = list(_PLACE.finditer(sentence))
    if not places:
        return []
    words = [mark for mark in _CONCLUDES.finditer(sentence) if mark.end() <= places[-1].start()]
    start = words[-1].end() if words else 0
    chosen = [place for place in places if place.start() >= start]
    around = _trimmed(sentence[start : chosen[0].start()]) + " " + sentence[chosen[-1].end() :][:25]
    if not words and not is_marked and (len(places) > 1 or _trimmed(_PLACE.sub(" ", sentence)).strip(_EDGE + "()")):
        chosen = [place for place in places if _EQUALS.search(spans[int(place.group(1))])][-1:]
    if chosen and _DISTORTS.search(around):
        return [UNREADABLE_CLAIM]
    before = sentence[: words[-1].start()] if words and not words[-1].group().endswith(":") else ""
    subject = _subject(_PLACE.sub(lambda place: spans[int(place.group(1))], before))
    return [claim for place in chosen for claim in _chains(spans[int(place.group(1))], subject, whole)]


def _plain(sentence: str, whole: bool) -> list[Claim]:
    """A sentence without LaTeX: all of it behind its lead-in, or what follows its last "is"."""
    cleaned = _trimmed(sentence)
    marks = [mark for mark in _CONCLUDES.finditer(cleaned) if mark.group() != "="]
    pieces = [("", cleaned)]
    if marks:
        before = "" if marks[-1].group().endswith(":") else cleaned[: marks[-1].start()]
        pieces.append((_subject(before), _trimmed(cleaned[marks[-1].end() :])))
    for subject, piece in pieces:
        body = _TAIL.sub("", piece).strip(_EDGE)
        if 0 < len(body) <= MAX_CLAIM and _looks_like_formula(_UNIT.sub("", body), whole):
            return _chains(body, subject, whole)
    return []


def _trimmed(text: str) -> str:
    """Without the words and marks that lead to the formula."""
    text = text.strip(_EDGE)
    while lead := _LEAD.match(text + " "):
        text = text[lead.end() :].strip(_EDGE)
    return text


def _looks_like_formula(text: str, whole: bool) -> bool:
    """Whether it can be read as one (of an equation its last side, unless the whole is wanted); prose cannot."""
    try:
        parse(text if whole else _EQUALS.split(text)[-1])
    except FormulaError:
        return False
    return True


def _chains(text: str, subject: str, whole: bool) -> list[Claim]:
    """The claims of one formula: one for each statement of "x = 1, x = 2"."""
    if boxed := _BOXED.fullmatch(text.strip(_EDGE)):
        text = boxed.group(1)
    text = _TAIL.sub("", text).strip(_EDGE + "`") if "\\text" not in text else text.strip(_EDGE)
    if ALTERED.search(text) or _ANGLE.search(text):
        return [UNREADABLE_CLAIM]
    text = _UNIT.sub("", text).strip(_EDGE)
    if not text or len(text) > MAX_CLAIM:
        return [UNREADABLE_CLAIM]
    if whole:
        return [Claim(subject, text)]
    return [claim for statement in _STATEMENTS.split(text) for claim in _equation(statement, subject)]


def _equation(text: str, subject: str) -> list[Claim]:
    """A chain of equations: its last side is the claim; a label in front names what it is about."""
    sides = [side for side in _EQUALS.split(text) if side.strip()]
    if not sides:
        return [UNREADABLE_CLAIM]
    if len(sides) > 1 and _LABEL.fullmatch(sides[0]) and sides[0].strip(" \\") not in ("pi", "e", "i"):
        subject = "".join(sides.pop(0).split())
    claim = Claim(subject, sides[-1], tuple(sides[:-1]))
    if len(sides) > 1 and text.lstrip().startswith("="):  # "= 1 = 2" states both
        return [Claim(subject, sides[0]), claim]
    return [claim]


def _subject(text: str) -> str:
    """The last clause, as a name for what a claim is about."""
    return "".join(re.split(r"[.,;:!?\n]", text)[-1].split()).lower()
