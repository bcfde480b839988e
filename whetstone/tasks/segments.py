"""Where a text states its answer: what it marks, what it introduces, and the phrases that take a statement back."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_TEXT = 20_000  # characters; a longer text is no answer

# All patterns are linear: one way to match, bounded repeats or possessive ones.
_MARK = re.compile(r"\banswers?\b(?!>)[^.\n=:]{0,60}?(?:\b(?:is|are)\b\s{0,3}:?|:|=)", re.IGNORECASE)
SENTENCE_END = re.compile(
    r"(?:[.!?]++(?=\s|$)|\n)(?!\s{0,8}(?:or|and|maybe|perhaps|possibly|alternatively|actually|wait|no|but|"
    r"correction|oops|sorry|i mean|hold on)\b)",
    re.IGNORECASE,
)
DENIED_ANSWER = re.compile(r"\b(?:wrong|false|incorrect|bad|not the|not an|no)\s{1,3}$", re.IGNORECASE)
_LISTED = re.compile(r"[;\s]\s{0,5}([-+−*•(]{0,2}\s{0,2}[0-9][0-9.,/ ]{0,60}?)\s{0,3}(?:[;\n]|$)")
# "It isn't true that it is 48."; what is struck through; what a page would show in another order than it is read
REVOKED = re.compile(
    r"(?:n['’]t|\bnot) (?:true|correct|right|the case)\b|\b(?:false|untrue|wrong) that\b|"
    r"\bjust kidding\b|\bscratch that\b|<(?:s|del|strike)>[^<]*+</|~~[^~]++~~|\u202e",
    re.IGNORECASE,
)
_HOPE = re.compile(r"[,.]?\s{1,3}I hope\b.*", re.DOTALL)
TAG = re.compile(r"</?[A-Za-z]{1,12}>")
# Words that change what the number beside them says. "The answer is not 49" does not answer 49.
ALTERED = re.compile(
    r"\b(?:not|never|neither|nor|cannot|wrong|incorrect|approximately|roughly|at (?:least|most)|minus|"
    r"negative|(?:more|less|fewer|greater|other|bigger|smaller) than|(?:hundred|thousand|[mbtr]+illion|dozen)s?|"
    r"tens|approx|false|untrue|"
    r"(?:hal[fv]e|third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth)s|"
    r"(?:anything|everything|all) (?:but|except)|instead of|squared|cubed|factorial|per ?cent|twice|doubled?|half|"
    r"halved|or thereabouts|give or take|close to)\b|"
    r"n['’]t\b|\\(?:pm|approx|neq|ne|not|mp)\b",
    re.IGNORECASE,
)
# Words that make another value of what follows them: "the square of 7".
DERIVED = re.compile(
    r"\b(?:square|cube|root|third|quarter|opposite|inverse|reciprocal|negative|reverse) of\b", re.IGNORECASE
)
# For words: what leads to them and follows them without being a part of the answer.
_LEAD_IN = re.compile(
    r"(?:#{2,6}|=|answer\s{0,2}[-–]|(?:sure|okay|ok|yes|hence|thus|so|therefore|well|assistant|output|result|"
    r"final)\s?[,!.:]|(?:so |thus |i think |i believe )?"
    r"(?:i got|we get|(?:this|that|it) (?:gives us|would be|must be)|it's|that's)\b)\s{1,3}",
    re.IGNORECASE,
)
_TYPE = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:bf|it|rm))\s?\{([^{}]*+)\}")  # LaTeX that only sets type
_TAIL = re.compile(
    r"\s{1,3}(?:\(final\)|is (?:the|my)(?: correct| right| final)? answer|is correct)\s{0,3}[.!]?$", re.IGNORECASE
)


def marked(text: str, whole: bool = False) -> list[str]:
    """The segments that the text marks as its answer, each cut at the end of its sentence; `whole`: not cut there."""
    segments = [*_between_tags(text), *_boxed(text)]
    marks = list(_MARK.finditer(text))
    for i, mark in enumerate(marks):
        end = marks[i + 1].start() if i + 1 < len(marks) else len(text)
        said = text[mark.end() : end].lstrip(" \t\r\n*_")
        stated = _HOPE.sub("", said if whole else cut(said, SENTENCE_END))
        denied = DENIED_ANSWER.search(text, max(0, mark.start() - 20), mark.start())
        segments.append(f"not {stated}" if denied else stated)
        if listed := _LISTED.match(said, len(stated)):  # "Answer: 48; 49" and "Answer: 48\n49" list their candidates
            segments.append(listed.group(1))
    return [segment for segment in segments if segment.strip()]


def cut(text: str, end: re.Pattern[str]) -> str:
    """The text up to the first match."""
    match = end.search(text)
    return text[: match.start()] if match else text


def bare(segment: str) -> str:
    """Without tags, type and the phrases around an answer ("I think it's X", "X is the answer", "\\text{X}")."""
    segment = _TYPE.sub(r"\1", TAG.sub(" ", _HOPE.sub("", segment))).strip(' \t\r\n*_`"')
    for _ in range(3):
        segment = _LEAD_IN.sub("", segment, count=1) if _LEAD_IN.match(segment) else segment
    return _TAIL.sub("", segment)


def _between_tags(text: str) -> Iterable[str]:
    lowered, at = text.lower(), 0
    if len(lowered) != len(text):  # lower() can lengthen exotic letters; positions would no longer agree
        lowered = text
    while (start := lowered.find("<answer>", at)) >= 0:
        end = lowered.find("</answer>", start)
        if end < 0:
            return
        yield text[start + len("<answer>") : end]
        at = end


def _boxed(text: str) -> Iterable[str]:
    r"""The contents of outermost \boxed{...}, braces matched by counting."""
    at = 0
    while (start := text.find("\\boxed{", at)) >= 0:
        depth, start = 1, start + len("\\boxed{")
        for brace in re.compile(r"[{}]").finditer(text, start):
            depth += 1 if brace.group() == "{" else -1
            if depth == 0:
                yield text[start : brace.start()]
                at = brace.end()
                break
        else:
            return


def introduced(text: str) -> list[str]:
    """For words: what follows the text's only colon, else its only "is" or "are"; with a "not" where what stands
    right before it denies ("Anything but: X")."""
    for pattern in (r":", r"\b(?:is|are)\b"):
        places = list(re.finditer(pattern, text, re.IGNORECASE))
        if len(places) == 1:
            before, after = text[: places[0].start()].rstrip(), text[places[0].end() :]
            words = (ALTERED, DERIVED)
            denied = any(match.end() == len(before[-40:]) for each in words for match in each.finditer(before[-40:]))
            return [f"not {after}" if denied else after]
    return []
