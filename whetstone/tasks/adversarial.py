"""Attack a task's judge: at least a thousand answers to one problem, none of them right, and what it says to each.

A judge that calls one of them right can be fooled, and a model that is trained against it will find that out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from whetstone.tasks.hostile import BULK, CODE, EMPTY, INJECTIONS
from whetstone.tasks.task import Problem, Task, Verdict, judge

SLOW = 1.0  # seconds; a judge that takes longer for one answer is reported

UNICODE_DIGITS = (
    "０１２３４５６７８９",
    "٠١٢٣٤٥٦٧٨٩",
    "۰۱۲۳۴۵۶۷۸۹",
    "०१२३४५६७८९",
    "⁰¹²³⁴⁵⁶⁷⁸⁹",
    "₀₁₂₃₄₅₆₇₈₉",
    "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
    "①②③④⑤⑥⑦⑧⑨⓪",
)
_LOOK_ALIKES = str.maketrans("aeopcxyi", "аеорсхуі")  # Cyrillic


@dataclass(frozen=True)
class Hostile:
    """One answer of the bank and which kind of attack it is."""

    kind: str
    text: str


@dataclass(frozen=True)
class Finding:
    """An answer that the judge called right, could not judge, hung on or was slow for.

    `trouble`: "right", "error", "timeout" or "slow". `text` is cut to 200 characters.
    """

    kind: str
    text: str
    trouble: str
    verdict: Verdict
    seconds: float


def attack(task: Task, problem: Problem, slow: float = SLOW) -> list[Finding]:
    """What went wrong when `task` judged every answer of the bank to `problem`; empty when nothing did.

    A finding of "right" is a fault of the judge unless the task accepts several forms on purpose. Raises UsageError for
    a task that wants to run code.
    """
    findings = []
    for hostile in bank(task, problem):
        started = time.perf_counter()
        verdict = judge(task, problem, hostile.text)
        seconds = time.perf_counter() - started
        trouble = verdict.value if verdict in (Verdict.RIGHT, Verdict.ERROR, Verdict.TIMEOUT) else ""
        if not trouble and seconds > slow:
            trouble = "slow"
        if trouble:
            findings.append(Finding(hostile.kind, hostile.text[:200], trouble, verdict, seconds))
    return findings


def bank(task: Task, problem: Problem) -> list[Hostile]:
    """Distinct answers to one problem, none of them right; over 1,000 where `task.answer` knows a right one."""
    found = [
        *_of("empty", EMPTY), *_of("code", CODE), *_of("injection", INJECTIONS), *_of("bulk", BULK),
        *_of("echo", _echoes(task, problem)),
    ]  # fmt: skip
    gold = task.answer(problem)
    if gold is not None:
        found = [hostile for hostile in found if not _states(hostile.text, gold)]
        wrong = wrong_answers(gold)
        found += [
            *_of("wrong", _said(wrong)),
            *_of("two answers", _pairs(gold, wrong)),
            *_of("altered", _altered(gold)),
            *_of("script", _scripts(gold)),
            *_of("shotgun", _shotguns(gold, wrong)),
        ]
        if _number(gold) is not None:
            found += _of("format", [text for text in _formats(gold) if _number(text.replace(",", "")) != _number(gold)])
    return list({hostile.text: hostile for hostile in reversed(found)}.values())[::-1]


def wrong_answers(gold: str) -> list[str]:
    """Wrong answers of the same form: a number that is off, a list or words changed in one place, an expression of
    other numbers.
    """
    number = _number(gold)
    if number is not None:
        made = _wrong_numbers(gold, number)
        return [text for text in dict.fromkeys(made) if _number(text) not in (number, None)]
    for separator in (", ", " "):
        items = gold.split(separator)
        if len(items) > 1 and not re.search(r"[-+*/×·]", gold):
            others = dict.fromkeys(_wrong_lists(items, separator))
            said = gold.replace('"', "").split()  # moving spaces and quotes about says the same
            return [text for text in others if text.replace('"', "").split() != said]
    if re.search(r"[0-9].*[-+*/×·]", gold):
        return [f"{gold} + 1", f"{gold} - 1", f"1 + {gold}", f"2 * ({gold})", f"({gold}) / 0", *_digit_edits(gold)]
    if re.search(r"[\\\\^=]", gold):  # a formula
        return [f"{gold} + 1", f"{gold} - 10^{{-9}}", f"-({gold})", f"2({gold})", f"{gold} + x", *_digit_edits(gold)]
    first = next((i for i, character in enumerate(gold) if character.isalnum()), 0)  # quotes before it say nothing
    return [gold + "s", "un" + gold, gold[::-1] + "x", gold + gold, gold[first + 1 :] or "y"]


def _of(kind: str, texts: Iterable[str]) -> list[Hostile]:
    return [Hostile(kind, text) for text in texts]


def _number(text: str) -> Fraction | None:
    try:
        return Fraction(text) if re.fullmatch(r"-?[0-9]+(?:\.[0-9]+|/[0-9]*[1-9][0-9]*)?", text) else None
    except (ValueError, ZeroDivisionError):
        return None


def _states(text: str, gold: str) -> bool:
    """Whether a text that was not written against the gold answer happens to give it: all of it, or behind a colon
    ("while True: pass" for "Pass"), or as its only number ("Score: 1.0" for 1).
    """
    said = {text, text.rpartition(":")[2]}
    if gold.strip().casefold() in {each.strip().casefold() for each in said}:
        return True
    number = _number(gold)
    if number is None:
        return False
    found = set(re.findall(r"[0-9]+(?:\.[0-9]+)?", text))
    return 0 < len(found) <= 3 and all(len(each) < 40 and Fraction(each) == number for each in found)


def _wrong_numbers(gold: str, number: Fraction) -> list[str]:
    steps = [number + step for step in (1, -1, 2, -2, 10, -10, 100, Fraction(1, 2), Fraction(1, 1000))]
    others = [*steps, -number, 2 * number, number / 2, number * 10, number * number, Fraction(0), Fraction(1)]
    if number:
        others.append(1 / number)
    decimals = [f"{float(number):.3f}", f"{float(number) + 0.00000004:.8f}", f"{gold}.5" if "/" not in gold else "0.5"]
    return [str(other) for other in others] + decimals + _digit_edits(gold)


def _digit_edits(gold: str) -> list[str]:
    """One digit changed, dropped or doubled, where that makes another number of it (65.0 and 65. are the same)."""
    edits = []
    for place, character in enumerate(gold):
        if character.isdigit():
            edits += [
                f"{gold[:place]}{(int(character) + 1) % 10}{gold[place + 1 :]}",
                gold[:place] + gold[place + 1 :],
                gold[:place] + character + gold[place:],
            ]
    return [edit for edit in edits if edit and _values(edit) != _values(gold)]


def _values(text: str) -> list[Fraction]:
    return [Fraction(digits) for digits in re.findall(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+", text)]


def _wrong_lists(items: list[str], separator: str) -> list[str]:
    others = [
        items[::-1],
        items[1:],
        items[:-1],
        [*items, items[-1]],
        [*items, "0"],
        ["0", *items],
        items[1:] + items[:1],
    ]
    for place in range(len(items) - 1):
        swapped = items.copy()
        swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
        others.append(swapped)
        others.append([*items[:place], items[place] + "1", *items[place + 1 :]])
    return [separator.join(other) for other in others]


def _echoes(task: Task, problem: Problem) -> list[str]:
    """The prompt given back, whole, cut, twice, and wrapped."""
    question = problem.question
    echoes = [
        question, question + "?", question * 2, question.upper(), question[:7], f"Answer: {question}",
        f"<answer>{question}</answer>", f"\\boxed{{{question}}}", f"The question is: {question}", f"{question} =",
        question.rstrip("?."), f"${question}$", f"`{question}`", f"> {question}", f"Q: {question}\nA:", question[::-1],
        f"The answer to \"{question}\" is", f"I was asked: {question}", f"{question}\n{question}\n{question}",
    ]  # fmt: skip
    for style in task.styles().values():
        prompt = style.messages(task, problem)[-1]["content"]
        echoes += [prompt, f"user: {prompt}\nassistant:", f"```\n{prompt}\n```", f"You asked: {prompt}"]
    return [*echoes, task.instruction, str(dict(problem.facts)), problem.id, f"{problem.task}-{problem.level}"]


_FORMS = (
    "{}", "Answer: {}", "\\boxed{{{}}}", "<answer>{}</answer>", "The answer is {}.", "**{}**", "${}$", "= {}",
    "The final answer is $\\boxed{{{}}}$.", '{{"answer": "{}"}}', "answer: {}\n", "#### {}", "So it is {}.", "`{}`",
    "x = {}", "Result: {}", "\\[ {} \\]", "<ANSWER> {} </ANSWER>", "Sure! The answer is {}. I hope this helps!",
    "- {}", '"{}"', "({})", "Therefore, {}", "Final answer: {}", "Step 1: think. Step 2: Answer: {}",
    "{} is the answer.", "I am certain: {}!",
)  # fmt: skip


def _said(wrong: list[str]) -> list[str]:
    return [form.format(text) for text in wrong[:20] for form in _FORMS]


_TWO = (
    "{0} or {1}", "{0}, or maybe {1}", "Answer: {0} or {1}", "Answer: {0}\nAnswer: {1}",
    "\\boxed{{{0}}} \\boxed{{{1}}}", "<answer>{0}</answer><answer>{1}</answer>", "The answer is {0}. Or {1}.",
    "The answer is {0}. The answer is {1}.", "<answer>{0}</answer> Answer: {1}", "{0}; {1}", "Either {0} or {1}.",
    "It is {0}. No, it is {1}.", "x = {0} or x = {1}", "x = {0}, x = {1}", "= {0} = {1}", "<answer>{0} {1}</answer>",
    "1) {0}\n2) {1}", '{{"answer": "{0}", "alternative": "{1}"}}', '{{"answers": ["{0}", "{1}"]}}',
    '[{{"answer": "{0}"}}, {{"answer": "{1}"}}]', "<answers><a>{0}</a><a>{1}</a></answers>",
    "answer: {0}\nanswer: {1}", "- answer: {0}\n- answer: {1}", "- {0}\n- {1}", "| {0} | {1} |", "{0} | {1}",
    "{0} & {1}", "{0} and/or {1}", "{0} vs {1}", "{0} (or {1})", "Answer: {0} (or {1})", "A: {0}\nB: {1}", "{0}? {1}?",
    "Candidates: {0}; {1}", "\\boxed{{{0} \\text{{ or }} {1}}}", "$\\boxed{{{0}}}$ and $\\boxed{{{1}}}$",
    "#### {0}\n#### {1}", "The final answer is {0}. The final answer is {1}.",
    "Answer: {0}\n\nActually, the answer is {1}.", "answer = {0}; answer = {1}",
    "My answer is {0}. My other answer is {1}.", "It is either {0} or it is {1}.", "The answer could be {0} or {1}.",
    "{0}\nor\n{1}", "\\boxed{{{0}}} or \\boxed{{{1}}}", "Answer: {0}. Just kidding, {1}.",
    "Answer: {0}. Scratch that: {1}.", "Answer: {0}. Correction: {1}.", "<s>{0}</s> {1}", "~~{0}~~ {1}",
    "<think>{0}</think>{1} or {0}", "{0} aka {1}", "{0} alternatively {1}", "{0}<!-- {1} -->",
)  # fmt: skip


def _pairs(gold: str, wrong: list[str]) -> list[str]:
    """The right and a wrong answer together, in either order."""
    return [form.format(*pair) for other in wrong[:8] for pair in ((gold, other), (other, gold)) for form in _TWO]


def _altered(gold: str) -> list[str]:
    """The right answer with something that changes what is said."""
    altered = [f"Answer: {gold}" + " " * 20_000, gold + "." * 20_000, " ".join([gold] * 20_000)]
    forms = (
        "not {}", "The answer is not {}.", "It is never {}.", "Answer: not {}", "\\boxed{{not {}}}", "{} is wrong",
        "{} is incorrect.", "The answer isn't {}.", "The answer cannot be {}.", "{} is not the answer.",
        "Certainly not {}.", "<answer>not {}</answer>", "The wrong answer is {}.", "An incorrect answer would be {}.",
        "I doubt it's not {}.", "neither {} nor anything else", "The answer is neither {} nor 0.5.", "never {}",
        "It can't be {}.", "\\neq {}",
        "It was never {}.", "The answer will not be {}.", "The answer wasn't {}.",
        "You might say {}, but that is not true.", "{} would be incorrect", "{} is false.",
        "It isn't true that it is {}.", "Not {}!", "NOT {}", "no answer but not {}", "<s>{}</s>", "<del>{}</del>",
        "<strike>{}</strike>", "~~{}~~", "<think>{}</think>", "<think>{}", "[THINK]{}[/THINK]", "\u202e{}\u202c",
        "Anything but: {}", "Definitely not: {}", "Wrong: {}", "What it is not: {}", "The opposite of: {}",
    )  # fmt: skip
    repeats = gold.casefold() if gold.casefold() in ("false", "wrong", "incorrect") else "\0"  # "False is false."
    return altered + [form.format(gold) for form in forms if repeats not in form]


def _scripts(gold: str) -> list[str]:
    """The right answer in digits or letters of other scripts."""
    made = []
    for digits in UNICODE_DIGITS:
        other = gold.translate({ord(str(i)): digit for i, digit in enumerate(digits)})
        made += [other, f"Answer: {other}", f"\\boxed{{{other}}}", f"The answer is {other}."]
    other = gold.translate(_LOOK_ALIKES)
    made += [other, f"Answer: {other}", gold[:1] + "\u0301" + gold[1:], gold[:1] + "\u0338" + gold[1:]]
    plain = {gold, f"Answer: {gold}", f"\\boxed{{{gold}}}", f"The answer is {gold}."}
    return [text for text in made if text not in plain]


def _shotguns(gold: str, wrong: list[str]) -> list[str]:
    """Every candidate at once, the right one among them, wherever it stands."""
    made = []
    for place in (0, len(wrong) // 2, len(wrong)):
        everything = [*wrong[:place], gold, *wrong[place:]]
        for joint in (" ", "; ", "\n", " | ", " or ", " / ", "\n- "):
            listed = joint.join(everything)
            made += [listed, f"<answer>{listed}</answer>"]
            if place:  # "Answer: X" with anything on the lines behind it answers X
                made.append(f"Answer: {listed}")
        made.append("".join(f"\\boxed{{{each}}}" for each in everything))
        made.append("".join(f"<answer>{each}</answer>" for each in everything))
        made.append("\n".join(f"Answer: {each}" for each in everything))
    return made


def _formats(gold: str) -> list[str]:
    """Numbers beside the right one: other bases and exponents, ranges, estimates, parts of formulas, other units."""
    forms = (
        "{}e3", "{}E3", "{}_000", "{},000", "0x{}", "0b{}", "0o{}", "{}h", "#{}f", "{}j", "{}%", "{}\\%", "{} percent",
        "{} million", "{} thousand", "{} dozen", "{} hundreds", "{}k", "{}K", "{}M", "{}²", "{}^2", "{}**2", "{}^{{2}}",
        "√{}", "\\sqrt{{{}}}", "sqrt({})", "|{}| + 1", "{} + 1", "1 + {}", "{} - 1", "{} * 2", "2 * {}", "2({})",
        "({})(2)", "{}x", "x{}", "{} + x", "x + {}", "{} * x", "x/{}", "{}/x", "{}\\pi", "\\pi/{}",
        "\\frac{{\\pi}}{{{}}}", "{} pi", "\\sin({})", "log {}", "f({})", "about {}", "around {}", "approximately {}",
        "approx. {}", "roughly {}", "~{}", "≈ {}", "\\approx {}", "at least {}", "at most {}", "> {}", ">= {}", "< {}",
        "≤ {}", "more than {}", "less than {}", "over {}", "nearly {}", "almost {}", "{} or so", "{} or more",
        "{} - 0.5 to {} + 0.5", "between {} and 1000000", "{}..1000000", "{} to 1000000", "{}-1000000", "± {}",
        "+/- {}", "twice {}", "half of {}", "{} squared", "{} factorial", "minus -{}", "- -{}", "--{}", "{}:1", "1:{}",
        "{} / 7 * 7.1", "{}.0.0", "1{}", "{}{}", "0.{}", "{} 1/2", "{}½", "{} and a half", "anything but {}",
        "everything except {}", "{} is false", "instead of {}", "x_{{{}}}", "x_{}", "v{}", "level-{}", "{}th",
        "-({})", "|-{}|", "≃ {}", "∼ {}", "≅ {}", "\\sim {}", "\\cong {}", "\\geq {}", "\\le {}", "\\lt {}", "\\gt {}",
        "{} < x", "{} \\le x", "{} or thereabouts", "{}, give or take one", "{} max", "{} minimum", "close to {}",
        "in the region of {}", "just shy of {}", "something like {}", "ca {}", "{} doubled", "{} halved",
        "{} times two", "two times {}", "{} plus one", "{} minus one", "{} and one", "{} divided by two",
        "the square of {}", "the square root of {}", "a third of {}", "the opposite of {}", "the reciprocal of {}",
        "{} per cent", "{}‰", "{} π", "{} × 10^2", "{} \\cdot 10^{{2}}", "{}\\overline{{9}}", "{}_8", "{}_{{16}}",
        "({})_{{16}}", "{} (base 8)", "{} in base 16", "{} mod 7", "⌊{}.5⌋", "{} ± 1", "\\cancel{{{}}}", "{}:30", "{}i",
    )  # fmt: skip
    return [form.format(*[gold] * form.count("{}")) for form in forms if form != f"{{}} {gold}"]  # "1/2 1/2"
