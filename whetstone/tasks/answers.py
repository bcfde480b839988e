"""Exact readers of answers. A reader never evaluates the text, never raises on it and takes linear time.

Where the answer is looked for, in this order (the first place with any candidate decides):
1. marked: <answer>..</answer>, \\boxed{..}, "Answer: X", "the answer .. is X";
2. concluded: what follows the last "=", "is", "are" or "equals" that a candidate follows;
3. the whole text. Exactly one distinct candidate counts as the answer. Several, or a number inside an
expression, a function call, a negation or an estimate, are no answer: a judge that picks the best of a list
pays for guessing. (The rules come from the failures of published verifiers: `41, 42` accepted for 42, 2^-98
for 2^-99, substring credit.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from itertools import pairwise

from whetstone.tasks.segments import (
    ALTERED,
    DERIVED,
    MAX_TEXT,
    REVOKED,
    SENTENCE_END,
    TAG,
    bare,
    cut,
    introduced,
    marked,
)
from whetstone.tasks.task import Verdict

MAX_DIGITS = 400  # of one number
MAX_NUMBERS = 500  # in one segment; more are no answer

Candidates = set[Hashable]
Reader = Callable[[str], Candidates]


class _Unreadable:
    """Stands among the candidates for something that competes with the answer but has no value."""

    def __repr__(self) -> str:
        return "UNREADABLE"


UNREADABLE = _Unreadable()

# All patterns are linear: one way to match, bounded repeats or possessive ones.
_CLAUSE_END = re.compile(r"[.,;:!?](?=\s|$)|\n")
_CONCLUDES = re.compile(r"(?<![!<>~≈=])==?(?!=)|\b(?:is|are|equals)\b", re.IGNORECASE)
_DENIED = re.compile(r"\s*(?:wrong|false|incorrect|untrue|not|mistaken)\b", re.IGNORECASE)  # "x = 48 is false"
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_RUN = re.compile(r"(?:(?<![\w.])\.(?=[0-9]))?\w+(?:[.,]\w+)*")
_RUN_NO_COMMA = re.compile(r"(?:(?<![\w.])\.(?=[0-9]))?\w+(?:\.\w+)*")
_INTEGER = re.compile(r"[0-9]+")
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_DECIMAL = re.compile(r"[0-9]*\.[0-9]+")
# What makes a number a part of a formula; other LaTeX commands only set type.
_FORMULA = re.compile(
    r"\b(?:pi|sqrt|log|ln|sin|cos|tan)\b|"
    r"\\(?:sqrt|log|ln|exp|sin|cos|tan|cot|arc|infty|theta|alpha|beta|binom|sum|prod|int|%)"
)
_BAD_BEFORE = re.compile(
    r"(?:[<>~≈≃∼≅≤≥≠±√^–]|[!<>~≈]=|\}\s?\{|[-−]\s{1,3})\s*$|[A-Za-z)\]}]\s?[+/×·÷]\s{0,3}$|\w(?:\*| \* )$|[-−–]\($|"
    r"\\(?:sim(?:eq)?|cong|[gl](?:eq?|t)(?:slant)?)\s{0,3}$|"
    r"\b(?:about|around|nearly|almost|over|under|above|below|beyond|near|up to|circa|ca\.?|except|without|but|"
    r"instead of|before|after|region of|shy of|something like|plus|times)\s+$",
    re.IGNORECASE,
)
_CALL_BEFORE = re.compile(r"(\w+)[({]\s*$")
_HARMLESS_CALLS = {"boxed", "fbox", "text", "textbf", "mathbf", "mathrm", "bf", "left"}  # LaTeX that only sets type
_BAD_AFTER = re.compile(
    r"\s{0,2}\\?[%^‰±²³]|[\u0300-\u036f\u20d0-\u20ff\ufe0f]|\s?\|\s?[-+*/]|\+|-[A-Za-z]|\s{0,3}[+/×·÷]\s{0,3}[A-Za-z(\\√]|"
    r"(?:\*| \* )[A-Za-z(]|\s{1,3}[-−]\s[b-hj-z]\b|\s{1,3}or (?:so|more|less)\b|\([a-z]\s?[-+*/^)]|"
    r"\s{0,2}(?:[>≤≥≠]|<(?![/|!A-Za-z])|\\(?:[gl](?:eq?|t)|neq?)\b)\s?\w|\s{0,2}[πθ]|\s{1,3}\(?(?:in )?base\b|"
    r"\s{1,3}(?:(?:max|min)(?:imum)?|plus|minus|(?:divided|multiplied) by|(?:and|times|over|less) "
    r"(?:a |one|two|three|four|five|six|seven|eight|nine|ten)(?:half|third|quarter)?)\b",
    re.IGNORECASE,
)
_OPERATOR = re.compile(r"(?:[-+*/^×÷·−%xX]|\\(?:times|div|cdot))[-+−*/]{0,2}")
_SLASH_GAP = re.compile(r"\s{0,3}/\s{0,3}")
_LIST_GAP = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+")
_FRAC = re.compile(  # alone: nothing that it is multiplied with stands beside it
    r"(?<![A-Za-z0-9)}])\\[dt]?frac(?:\s?\{\s?([-+−]?[0-9]{1,400})\s?\}\s?\{\s?([0-9]{1,400})\s?\}|([0-9])([0-9]))"
    r"(?![0-9A-Za-z({]|\\(?!text|quad|right|[)\],;:! ]))"
)
_UNIT_POWER = re.compile(
    r"(?:\\text\s?\{[^{}]{0,20}\}|\b(?:[cmk]?m|ft|in|inch|inches|units?))\s?(?:\^\s?\{?[23]\}?|[²³])"
)
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\{,\}|[\u2009\u202f])(?=[0-9])")  # as LaTeX and careful typesetting write them
_MORE = re.compile(r"\s{0,3},?\s{0,3}(?:\.\.|…|etc|\\[lc]?dots)")
_BRACKETED = re.compile(r"\[([^\[\]]*+)\]")
# what makes something else of a list (\0) that it stands beside: "[1], 2", "[1] + 1", "-[1]", "f([1])", "[1]s"
JOINED_LIST = re.compile(
    r"\0(?:\w|\.\w|\0|\)?\s{0,9}(?:[+/^×·]\s?\w|[-*]\s?[0-9(]|,\s?[-+.0-9'\"]))|"
    r"(?:\w\(?|\w(?:\*|\s\*\s)\(?|[+/^×·]\s{0,9}\(?|-\(?|[0-9]\s?-\s{0,9}\(?|[0-9'\"]\s?,\s?)\0"
)
_SIGNED = re.compile(r"([-+−]?)([0-9]{1,400})")
_WORD_TRIM = "\"'`“”‘’«».,;:!?()[]{}<>*_#$-–—|\\"


def judge_integer(text: str, gold: int) -> Verdict:
    """The answer is one integer. 1,234 and +49 and 49.0 are read; 98/2 and 4.9e1 and other scripts' digits
    are not.
    """
    return _verdict(_candidates(text, _read_numbers), Fraction(gold))


def judge_fraction(text: str, gold: Fraction) -> Verdict:
    """The answer is one rational number: 3/4, \\frac{3}{4}, 6/8, 0.75, or an integer. Compared exactly."""
    return _verdict(_candidates(text, _read_fractions), gold)


def judge_integers(text: str, gold: Sequence[int]) -> Verdict:
    """The answer is one list of at least two integers, in brackets or separated by commas, in this order."""
    return _verdict(_candidates(text, _read_lists, SENTENCE_END), tuple(gold))


def final_number(text: str) -> str | None:
    """The one number that `judge_integer` and `judge_fraction` would judge, as a fraction's text; None where neither
    would find exactly one. For votes: two texts that say the same number agree.
    """
    found = _candidates(text, _read_fractions)
    return None if len(found) != 1 or UNREADABLE in found else str(found.pop())


def final_list(text: str) -> str | None:
    """The one list that `judge_integers` would judge; None where it would find no list or several."""
    found = _candidates(text, _read_lists, SENTENCE_END)
    return None if len(found) != 1 or UNREADABLE in found else str(found.pop())


def read_general(text: str) -> str | None:
    """What a text of no known task answers, for votes: what it marks last (a box, a tag, "Answer: X"), else its last
    number, else all of it without case, outer punctuation and spacing. None for an empty text.

    A vote only needs that equal answers read alike; nobody is judged by this, so it takes the last of several where
    the exact readers refuse.
    """
    text = text[-MAX_TEXT:]
    if segments := [segment for segment in marked(text) if _trim(bare(segment))]:
        found = _read_fractions(segments[-1])
        one = len(found) == 1 and UNREADABLE not in found
        return str(found.pop()) if one else _trim(bare(segments[-1]))
    numbers = [value for _, _, value in _merge_fractions(text, _number_tokens(text, _RUN)) if value is not UNREADABLE]
    return str(numbers[-1]) if numbers else _trim(text) or None


def judge_words(text: str, gold: Sequence[str]) -> Verdict:
    """The answer is a sequence of words, separated by spaces or commas. Case and punctuation around words do
    not count.
    """
    wanted = tuple(word.casefold() for word in gold)
    return _verdict(_word_candidates(text, 4 * len(wanted) + 8), wanted)


def final_words(text: str, longest: int = 24) -> str | None:
    """The one sequence of words that `judge_words` would judge, where the answer has few words: texts of more than
    `longest` words count as talk. None where it would find none or several.
    """
    found = _word_candidates(text, longest)
    return None if len(found) != 1 else str(found.pop())


def judge_text(text: str, gold: str) -> Verdict:
    """The answer is a short text: what is marked, else what its only colon or "is" introduces, else everything. Case,
    outer space and outer punctuation do not count. A gold answer that is a sentence itself ("The sky is blue") must be
    all that is said, or all that follows a mark.
    """
    if len(text) > MAX_TEXT:
        return Verdict.NO_ANSWER
    if _trim(text) == _trim(gold):
        return Verdict.RIGHT
    if REVOKED.search(text):
        return Verdict.NO_ANSWER
    is_sentence = SENTENCE_END.search(gold) is not None or bool(introduced(gold))
    places = [marked(text, is_sentence), [text]] if is_sentence else [marked(text), introduced(bare(text)), [text]]
    for segments in places:
        found: Candidates = {trimmed for segment in segments if (trimmed := _trim(bare(segment)))}
        if found:
            return _verdict(found, _trim(gold))
    return Verdict.NO_ANSWER


def _word_candidates(text: str, longest: int) -> Candidates:
    """Each different sequence of at most `longest` words that may be the answer, casefolded."""

    def read(segment: str) -> Candidates:
        words = tuple(word for raw in re.split(r"[\s,]+", bare(segment)) if (word := raw.strip(_WORD_TRIM).casefold()))
        return {words} if 0 < len(words) <= longest else set()

    if len(text) > MAX_TEXT or REVOKED.search(text):
        return set()
    for segments in (marked(text), introduced(bare(text)), [text]):
        found = {candidate for segment in segments for candidate in read(segment)}
        if found:
            return found
    return set()


def _candidates(text: str, read: Reader, clause_end: re.Pattern[str] = _CLAUSE_END) -> Candidates:
    if len(text) > MAX_TEXT or REVOKED.search(text):
        return set()
    found: Candidates = set()
    for segment in marked(text):
        found |= _concluded(segment, read, clause_end) or read(segment)
    return found or _concluded(text, read, clause_end) or read(text)


def _verdict(found: Candidates, gold: Hashable) -> Verdict:
    if len(found) != 1 or UNREADABLE in found:
        return Verdict.NO_ANSWER
    return Verdict.RIGHT if gold in found else Verdict.WRONG


def _trim(text: str) -> str:
    return " ".join(text.split()).strip(_WORD_TRIM + " ").casefold()


def _concluded(text: str, read: Reader, clause_end: re.Pattern[str]) -> Candidates:
    """Candidates after the last conclusion; and after earlier ones that it contradicts ("x = 48, x = 49")."""
    marks = list(_CONCLUDES.finditer(text))
    if not marks or _OR.search(text):  # with alternatives, all of the text competes
        return set()
    starts = [0] + [mark.end() for mark in marks]
    ends = [mark.start() for mark in marks] + [len(text)]
    after = [text[mark.end() : end] for mark, end in zip(marks, ends[1:], strict=True)]
    last = next((i for i in reversed(range(len(marks))) if read(after[i])), None)
    if last is None:
        return set()
    found = read(after[last])
    if _DENIED.match("".join(after[last + 1 :])):
        found.add(UNREADABLE)
    befores = [text[start:end] for start, end in zip(starts, ends, strict=True)][:-1]
    subjects = ["".join(_last_clause(before).split()).lower() for before in befores]
    for i in range(last):
        repeated = subjects[i] in ("", subjects[last])
        chained = _INTEGER.fullmatch(subjects[i + 1].lstrip("-+−")) is not None  # "= 48 = 49"
        if repeated or chained:
            found |= read(cut(after[i], clause_end))
    return found


def _last_clause(text: str) -> str:
    return _CLAUSE_END.split(text)[-1]


def _read_numbers(segment: str) -> Candidates:
    return _number_candidates(segment, fractions=False)


def _read_fractions(segment: str) -> Candidates:
    return _number_candidates(_FRAC.sub(lambda f: f"{f[1] or f[3]}/{f[2] or f[4]}", segment), fractions=True)


def _number_candidates(segment: str, fractions: bool) -> Candidates:
    segment = _THOUSANDS.sub(",", _UNIT_POWER.sub(" units ", TAG.sub(" ", segment)))
    tokens = _number_tokens(segment, _RUN)
    if fractions:
        tokens = _merge_fractions(segment, tokens)
    found: Candidates = {value for _, _, value in tokens}
    for (_, end, _), (start, _, _) in pairwise(tokens):
        if _in_expression(segment[end:start]):
            found.add(UNREADABLE)
    if found and any(words.search(segment) for words in (ALTERED, DERIVED, _FORMULA)):
        found.add(UNREADABLE)
    return found


def _in_expression(gap: str) -> bool:
    """Whether what stands between two numbers makes them parts of one whole: "28 + 21", "(7)(7)", "7, 7"."""
    core = re.sub(r"[\s(){}\[\]]", "", gap)
    return core in (",", ":") or _OPERATOR.fullmatch(core) is not None or (not core and not gap.isspace() and gap != "")


Token = tuple[int, int, Hashable]  # start, end, Fraction or UNREADABLE


def _number_tokens(segment: str, run_pattern: re.Pattern[str]) -> list[Token]:
    """Every number literal of the segment with its place. A digit that is part of anything else is
    UNREADABLE.
    """
    tokens: list[Token] = []
    for run in run_pattern.finditer(segment):
        body = run.group().strip("_")
        if not any(character.isnumeric() for character in body):
            continue
        if _INTEGER.fullmatch(body) or _DECIMAL.fullmatch(body) or _GROUPED.fullmatch(body):
            tokens.append(_signed_token(segment, run.start(), run.end(), body))
        else:  # "x1", "1e5", "3.1.4", "41,42"
            tokens.append((run.start(), run.end(), UNREADABLE))
        if len(tokens) > MAX_NUMBERS:
            return [(0, len(segment), UNREADABLE)]
    return tokens


def _signed_token(segment: str, start: int, end: int, body: str) -> Token:
    value = _value(body)
    before = segment[max(0, start - 24) : start]
    if before[-1:] in ("-", "+", "−"):
        if re.search(r"[\w)\]}+−-]$", before[:-1]):  # "level-1", "--1", "28-21"
            return start, end, UNREADABLE
        if before[-1] != "+" and isinstance(value, Fraction):
            value = -value
            if before[-2:-1] == "|" == segment[end : end + 1]:  # |-7|
                return start, end, UNREADABLE
        start, before = start - 1, before[:-1]
    call = _CALL_BEFORE.search(before)
    if (call and call.group(1) not in _HARMLESS_CALLS) or _BAD_BEFORE.search(before):
        return start, end, UNREADABLE
    if _BAD_AFTER.match(segment, end):
        return start, end, UNREADABLE
    return start, end, value


def _value(body: str) -> Hashable:
    digits = body.replace(",", "")
    return Fraction(digits) if len(digits) <= MAX_DIGITS else UNREADABLE


def _merge_fractions(segment: str, tokens: list[Token]) -> list[Token]:
    """Join "a", "/", "b" into one token of value a/b."""
    merged: list[Token] = []
    for token in tokens:
        if merged and _SLASH_GAP.fullmatch(segment, merged[-1][1], token[0]):
            start, _, top = merged.pop()
            merged.append((start, token[1], _quotient(top, token[2])))
        else:
            merged.append(token)
    return merged


def _quotient(top: Hashable, bottom: Hashable) -> Hashable:
    if not (isinstance(top, Fraction) and isinstance(bottom, Fraction) and bottom > 0):
        return UNREADABLE
    return top / bottom if top.denominator == bottom.denominator == 1 else UNREADABLE


def _read_lists(segment: str) -> Candidates:
    """Bracketed lists of integers, and runs of two or more integers with commas between them outside
    brackets.
    """
    segment = TAG.sub(" ", segment)
    found: Candidates = set()
    for match in _BRACKETED.finditer(segment):
        if any(character.isnumeric() for character in match.group(1)):
            found.add(_bracketed_list(match.group(1)))
    if JOINED_LIST.search(_BRACKETED.sub("\0", segment.replace("\0", " "))):
        found.add(UNREADABLE)
    rest = _BRACKETED.sub(" ; ", segment)
    tokens = _number_tokens(rest, _RUN_NO_COMMA)
    run: list[Hashable] = []
    for i, (_, end, value) in enumerate(tokens):
        run.append(value)
        following = tokens[i + 1][0] if i + 1 < len(tokens) else None
        if following is None or not _LIST_GAP.fullmatch(rest, end, following):
            if len(run) > 1:
                found.add(UNREADABLE if UNREADABLE in run or _MORE.match(rest, end) else tuple(run))
            run = []
    if found and (ALTERED.search(segment) or DERIVED.search(segment)):
        found.add(UNREADABLE)
    return found


def _bracketed_list(content: str) -> Hashable:
    values = []
    for item in content.strip().removesuffix(",").split(","):
        match = _SIGNED.fullmatch(item.strip())
        if match is None:
            return UNREADABLE
        values.append(-int(match[2]) if match[1] in ("-", "−") else int(match[2]))
    return tuple(values)
