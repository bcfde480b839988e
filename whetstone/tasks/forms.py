"""Exact judges for the forms that other people's gold answers take. Right or wrong, never in between.

None evaluates the text, raises on it or takes more than linear time. Where the answer is looked for: what is marked
("Answer: X", \\boxed{X}, <answer>); else, for one-line forms, what follows the only "="; else everything. That place
must hold exactly one answer and, but for grids and lists, nothing besides: a text that offers several is no answer.
Beside a grid or a list nothing may stand that takes it back, continues it or looks like another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

from whetstone.tasks.answers import JOINED_LIST, judge_fraction, judge_integer, judge_text, judge_words
from whetstone.tasks.countdown import Countdown
from whetstone.tasks.segments import DERIVED, MAX_TEXT, REVOKED, TAG, marked
from whetstone.tasks.task import Problem, Verdict

Details: TypeAlias = Mapping[str, Any]  # parts of the generator's metadata that a judge needs
FormJudge: TypeAlias = Callable[[str, str, Details], Verdict]  # text, gold, details

_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})")
_RATIO = re.compile(r"[-+]?([0-9]{1,400})\s?/\s?([0-9]{1,400})")
_LATEX_RATIO = re.compile(r"\\[dt]?frac\s?\{\s?([-+]?[0-9]{1,400})\s?\}\s?\{\s?([0-9]{1,400})\s?\}")
_HEX = re.compile(r"([-+]?)0x([0-9a-f]{1,400})")
_FACTORS = re.compile(r"[0-9]{1,400}(?:\s?(?:[×*x·]|\\times|\\cdot)\s?[0-9]{1,400})*")
_FLAT_LIST = re.compile(r"\[([^\[\]]*+)\]")
_LIST_OF_LISTS = re.compile(r"\[\s*+\[[^\[\]]*+\](?:\s*+,\s*+\[[^\[\]]*+\])*+\s*+,?\s*+\]")
_ROLE = re.compile(r"(\w{1,40}) is an? (\w{1,40})")
_PLAIN_WORDS = re.compile(r"(?!.*\b(?:is|are)\b)\w[\w'’-]{0,60}(?: \w[\w'’-]{0,60}){0,2}", re.IGNORECASE)
# words that take back, or offer beside, what stands next to them
_HEDGED = re.compile(
    r"\b(?:or|not|never|neither|either|maybe|perhaps|wrong|incorrect|false|untrue|cannot|"
    r"(?:anything|everything|all) (?:but|except))\b|n['’]t\b|\\neq?\b",
    re.IGNORECASE,
)
_EQUALS = re.compile(r"(?<![<>!~≈≠])=")
# what may stand on the line of an answer in several lines without being part of it
_LINE_MARKS = re.compile(r"</?[A-Za-z]{1,12}>|\banswer(?: is)?\s?:|\\boxed\{|\}", re.IGNORECASE)
_AROUND = " \t\r\n`$*_\"'.;:()"


def _verdict(found: Iterable[Hashable], gold: Hashable) -> Verdict:
    """`found`: the readings of each place; None is a place that cannot be read."""
    readings = set(found)
    if len(readings) != 1 or None in readings:
        return Verdict.NO_ANSWER
    return Verdict.RIGHT if gold in readings else Verdict.WRONG


def _places(text: str) -> list[str]:
    """The marked segments, else what follows the only "=", else the text; trimmed. None where words hedge."""
    if len(text) > MAX_TEXT or REVOKED.search(text) or _HEDGED.search(text):
        return []
    if found := marked(text):
        return [segment.strip(_AROUND) for segment in found]
    before, *after = _EQUALS.split(text)
    return [(after[0] if len(after) == 1 else before if not after else text).strip(_AROUND)]


def without_echo(text: str, question: str) -> str:
    """`text` less the question wherever it is repeated, forwards or backwards: a number that only the question names
    answers nothing."""
    for words in (question.rstrip("?. \n").split(), question[::-1].lstrip("?. \n").split()):
        if len(text) >= len("".join(words)):
            text = re.sub(r"\s+".join(map(re.escape, words)), " ", text[: 2 * MAX_TEXT], flags=re.IGNORECASE)
    return text


def integer(text: str, gold: str, details: Details) -> Verdict:
    """One integer."""
    return judge_integer(text, int(gold))


def number(text: str, gold: str, details: Details) -> Verdict:
    """One number, compared exactly by value: 0.5, 1/2 and 2/4 are the same."""
    return judge_fraction(text, read_number(gold))


def read_number(text: str) -> Fraction:
    """The value of a gold answer: an integer, a decimal, a/b or \\frac{a}{b}. ValueError for anything else."""
    plain = _LATEX_RATIO.sub(r"\1/\2", text).strip(_AROUND)
    if _RATIO.fullmatch(plain) or _DECIMAL.fullmatch(plain):
        return Fraction(plain.replace(" ", ""))
    raise ValueError(f"not a number: {text[:60]!r}")


def reduced(text: str, gold: str, details: Details) -> Verdict:
    """One fraction in lowest terms: 85/107, and not 170/214, which has the same value."""

    def read(place: str) -> Hashable:
        match = _RATIO.fullmatch(_LATEX_RATIO.sub(r"\1/\2", place).strip(_AROUND))
        return None if match is None else (place.strip(_AROUND).startswith("-"), int(match[1]), int(match[2]))

    (wanted,) = map(read, [gold])
    return _verdict(map(read, _places(text)), wanted)


def words(text: str, gold: str, details: Details) -> Verdict:
    """These words in this order, and no others. Digits count with the sign before them: -2181 is not 2181."""
    wanted = re.split(r"[\s,]+", gold.strip().strip(_AROUND))
    if wanted[0][:1].isdigit():
        signed = r"(?:[-−<>≤≥~≈±]\s{0,3}|[0-9]\s?[:/]\s?)" + re.escape(wanted[0])
        if re.search(signed, TAG.sub(" ", text[: MAX_TEXT + 1])):
            return Verdict.NO_ANSWER
    return judge_words(text, wanted)


def sentence(text: str, gold: str, details: Details) -> Verdict:
    """This text; case, and space and punctuation around it, do not count."""
    return judge_text(text, gold)


def phrase(text: str, gold: str, details: Details) -> Verdict:
    """A short text. Up to three plain words may stand in a sentence ("The capital is Paris"); anything else, and what
    has signs in it ("C++"), must be all that is said or marked."""
    if _PLAIN_WORDS.fullmatch(gold):
        return judge_words(text, gold.split())
    if _trimmed_alike(gold):
        return sentence(text, gold, details)
    places = marked(text) or [text[: MAX_TEXT + 1]]
    return _verdict((_folded(place) if len(text) <= MAX_TEXT else None for place in places), _folded(gold))


def _folded(text: str) -> str:
    return " ".join(text.split()).strip("\"'`“”").removesuffix(".").casefold()


def _trimmed_alike(gold: str) -> bool:
    """Whether a judge that trims signs from the ends takes away nothing from the gold answer."""
    return gold[:1].isalnum() and (gold[-1:].isalnum() or gold[-1:] in ".!?")


def integer_or_words(text: str, gold: str, details: Details) -> Verdict:
    """An integer where the gold answer is one, else words."""
    return integer(text, gold, details) if _INTEGER.fullmatch(gold) else words(text, gold, details)


def hexadecimal(text: str, gold: str, details: Details) -> Verdict:
    """One number in the form 0x1f, compared by value."""

    def read(place: str) -> Hashable:
        match = _HEX.fullmatch(place.casefold().replace("−", "-"))
        return None if match is None else int(match[2], 16) * (-1 if match[1] == "-" else 1)

    return _verdict(map(read, _places(text)), read(gold))


def factors(text: str, gold: str, details: Details) -> Verdict:
    """A product of these primes, in any order."""

    def read(place: str) -> Hashable:
        if not _FACTORS.fullmatch(place):
            return None
        return tuple(sorted(int(digits) for digits in re.findall(r"[0-9]+", place)))

    return _verdict(map(read, _places(text)), read(gold))


def numbers(text: str, gold: str, details: Details) -> Verdict:
    """One list of numbers in square brackets, with quotes around the numbers or without."""
    (wanted,) = map(_list_of_numbers, _FLAT_LIST.findall(gold))
    return _verdict(_lists(text, _FLAT_LIST, lambda match: _list_of_numbers(match[1])), wanted)


def is_list(gold: str) -> bool:
    """Whether `numbers` judges such a gold answer: one flat list of numbers."""
    match = _FLAT_LIST.fullmatch(gold.strip())
    return match is not None and _list_of_numbers(match[1]) is not None


def _list_of_numbers(content: str) -> tuple[Fraction, ...] | None:
    items = [item.strip().strip("'\"") for item in content.strip().removesuffix(",").split(",")]
    if items == [""]:
        return ()
    return tuple(map(Fraction, items)) if all(map(_DECIMAL.fullmatch, items)) else None


def nested(text: str, gold: str, details: Details) -> Verdict:
    """One list of lists of numbers."""

    def read(block: str) -> Hashable:
        rows = [[item.strip() for item in row.split(",")] for row in _FLAT_LIST.findall(block)]
        whole = all(_INTEGER.fullmatch(item) for row in rows for item in row)
        return tuple(tuple(map(int, row)) for row in rows) if whole else None

    return _verdict(_lists(text, _LIST_OF_LISTS, lambda match: read(match[0])), read(gold))


def groups(text: str, gold: str, details: Details) -> Verdict:
    """One list of lists of texts; neither the order of the lists nor that inside them counts."""

    def read(block: str) -> Hashable:
        try:
            lists = json.loads(block)
        except (ValueError, RecursionError):
            return None
        if not all(isinstance(item, str) for each in lists for item in each):
            return None
        return tuple(sorted(tuple(sorted(each)) for each in lists))

    return _verdict(_lists(text, _LIST_OF_LISTS, lambda match: read(match[0])), read(gold))


def _lists(text: str, form: re.Pattern[str], read: Callable[[re.Match[str]], Hashable]) -> list[Hashable]:
    """The readings of all lists of that form; None for what is said around them and takes them back or goes on."""
    if len(text) > MAX_TEXT or REVOKED.search(text):
        return []
    found: list[Hashable] = []
    for place in marked(text) or [text]:
        found += map(read, form.finditer(place))
        beside = form.sub("\0", place.replace("\0", " "))
        loose = re.search(r"[\[\]]", _FLAT_LIST.sub(" ", beside.replace("\0", " ")))
        if loose or any(words.search(beside) for words in (_HEDGED, DERIVED, JOINED_LIST)):
            found.append(None)
    return found


# two items in a row, one at the start of a line, or one that is said to be the answer
_OFFERED = r"(?<!\w)ITEM[\s,|\[\]]++ITEM(?!\w)|\A[\s*`]{0,9}ITEM|\banswers?\b[^\n]{0,60}?\bis\b[\s:*`]{0,4}ITEM"
_CUT = "\x1e"  # a line break where a mark stands
Block: TypeAlias = tuple[tuple[str, ...], ...]


def block(text: str, item: str) -> Block | None:
    """The one stretch of lines that consist of nothing but `item`s (a pattern), split into them; it may be repeated.

    None where there is none or another one, and where a line that is not of it offers another or, next to it, takes it
    back. A marked answer may run over several lines, so marks only tell where lines begin: "Answer: 1 2" is a line
    "1 2". What is said before the answer is first spoken of is work on the way.
    """
    if len(text) > MAX_TEXT or REVOKED.search(text):
        return None
    wanted, offered = re.compile(item), re.compile(_OFFERED.replace("ITEM", f"(?:{item})"), re.IGNORECASE)
    spoken_of = re.search(r"\banswers?\b|\\boxed", text, re.IGNORECASE)
    start = spoken_of.start() if spoken_of else 0
    found: set[Block] = set()
    rows: list[tuple[str, ...]] = []
    before = ""  # the last line that is not of a block, unless a mark opens the line behind it
    closed = False  # whether the last line that is not empty was of a block
    place = 0
    lines = _LINE_MARKS.sub(lambda mark: _CUT.ljust(len(mark[0])), text).splitlines(keepends=True)
    for line in [*lines, ""]:
        place += len(line)
        items = tuple(line.replace(",", " ").strip(" \t\r\n|[]").split())
        if items and all(map(wanted.fullmatch, items)):
            if not rows and _HEDGED.search(before):
                return None
            rows.append(items)
            closed = True
            continue
        if rows:
            found.add(tuple(rows))
            rows = []
        if items:
            if (place > start and offered.search(line)) or (closed and _HEDGED.search(line)):
                return None
            before, closed = line, False
        elif line.endswith(_CUT):
            before = ""
    return found.pop() if len(found) == 1 else None


def grid(text: str, gold: str, details: Details) -> Verdict:
    """One block of lines of whole numbers."""

    def read(text: str) -> Hashable:
        found = block(text, _INTEGER.pattern)
        return None if found is None else tuple(tuple(map(int, row)) for row in found)

    return _verdict([read(text)], read(gold))


def tokens(text: str, gold: str, details: Details) -> Verdict:
    """One line of A::B tokens. (To trim punctuation here would make A# and #A the same.)"""
    return _verdict([block(text, r"#[AB]|[AB]#")], (tuple(gold.split()),))


def pattern(text: str, gold: str, details: Details) -> Verdict:
    """One block of lines of ticks and crosses."""
    return _verdict([block(text, r"[✅❌]+")], tuple((row,) for row in gold.split()))


def sudoku(text: str, gold: str, details: Details) -> Verdict:
    """One grid that keeps the puzzle's numbers and has each number once in every row, column and box. Checked by the
    rules, so that a second solution would be right as well."""
    found = block(text, r"[1-9]")
    if found is None:
        return Verdict.NO_ANSWER
    filled = [[int(cell) for cell in row] for row in found]
    puzzle = details["puzzle"]
    size, box = len(puzzle), round(len(puzzle) ** 0.5)
    if [len(row) for row in filled] != [size] * size:
        return Verdict.WRONG
    kept = all(
        clue in (0, cell)
        for clues, row in zip(puzzle, filled, strict=True)
        for clue, cell in zip(clues, row, strict=True)
    )
    boxes = [
        [filled[top + i][left + j] for i in range(box) for j in range(box)]
        for top in range(0, size, box)
        for left in range(0, size, box)
    ]
    columns = [list(column) for column in zip(*filled, strict=True)]
    whole = all(sorted(unit) == list(range(1, size + 1)) for unit in [*filled, *columns, *boxes])
    return Verdict.RIGHT if kept and whole else Verdict.WRONG


def queens(text: str, gold: str, details: Details) -> Verdict:
    """One board that keeps the queens that stand and has n, none attacking another. Any such board is right."""
    board, puzzle = block(text, r"[_Q]"), details["puzzle"]
    if board is None:
        return Verdict.NO_ANSWER
    size = len(puzzle)
    if [len(row) for row in board] != [size] * size:
        return Verdict.WRONG
    places = [(i, j) for i, row in enumerate(board) for j, cell in enumerate(row) if cell == "Q"]
    kept = all(board[i][j] == "Q" for i in range(size) for j in range(size) if puzzle[i][j] == "Q")
    lines = [{i for i, _ in places}, {j for _, j in places}, {i + j for i, j in places}, {i - j for i, j in places}]
    apart = all(len(line) == size for line in lines)
    return Verdict.RIGHT if kept and len(places) == size and apart else Verdict.WRONG


def palindrome(text: str, gold: str, details: Details) -> Verdict:
    """One word that reads the same both ways and has the gold answer's letters, in any such order."""
    found = {place.casefold() for place in _places(text)}
    if len(found) != 1 or not (word := found.pop()).isalpha():
        return Verdict.NO_ANSWER
    return Verdict.RIGHT if word == word[::-1] and sorted(word) == sorted(gold.casefold()) else Verdict.WRONG


def roles(text: str, gold: str, details: Details) -> Verdict:
    """Who is what: "A is a knight, and B is a knave", in any order, each person once."""

    def read(place: str) -> Hashable:
        parts = re.split(r",\s?and\s|,\s?|\sand\s", place.strip(_AROUND))
        matches = [_ROLE.fullmatch(part.strip()) for part in parts]
        stated = [(match[1].casefold(), match[2].casefold()) for match in matches if match is not None]
        if len(stated) != len(parts) or len(dict(stated)) != len(stated):
            return None
        return tuple(sorted(stated))

    return _verdict(map(read, _places(text)), read(gold))


def expression(text: str, gold: str, details: Details) -> Verdict:
    """One expression that uses the numbers, each once, and makes the target: judged as in our own countdown."""
    facts = {"numbers": details["numbers"], "target": details.get("target", 24)}
    return Countdown().check(Problem("", facts), text)
