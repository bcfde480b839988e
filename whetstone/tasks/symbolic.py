r"""Judging answers that are formulas: `judge_symbolic`.

Layers, each able to say no: the candidates of the text (`segments.marked`, LaTeX between dollars, what follows "is" or
"="); our own parser with its caps (`formula`); exact arithmetic where both are rational (`exact`); and last a child
process that can be killed (`equality`), which gets trees and never text.

A gold answer that is a plain number is judged by `judge_fraction` alone: "98/2" written out as "28 + 21" is no answer
there. Where the gold answer is a formula, every equal formula is right, also the question's own: a task that asks to
expand or to factor says so (`form`), one that asks to simplify must look at the form itself.
"""

from __future__ import annotations

import importlib.util
import re
import threading
from fractions import Fraction
from typing import get_args

from whetstone.errors import UsageError
from whetstone.sandbox.worker import Worker, WorkerDied, WorkerRaised, WorkerTimeout, python_command
from whetstone.tasks.answers import judge_fraction
from whetstone.tasks.claims import UNREADABLE_CLAIM, Claim, claims
from whetstone.tasks.exact import exact, measure
from whetstone.tasks.formula import Tree, parse, variables
from whetstone.tasks.notation import FormulaError
from whetstone.tasks.segments import MAX_TEXT
from whetstone.tasks.task import Verdict
from whetstone.tasks.written_form import Form, has_form

SECONDS = 3.0  # of one comparison; less than a user's `check` may take in all
START_SECONDS = 60.0  # sympy is slow to load on a busy machine
MEMORY = 2**30  # bytes
MAX_CANDIDATES = 6

_LITERAL = re.compile(r"[-+−]?\s?(?:[0-9]{1,400}(?:\.[0-9]{1,400})?|[0-9]{1,400}\s?/\s?[0-9]{1,400})")


class _Hung(Exception):
    """The comparison was killed."""


class _Failed(Exception):
    """The comparison did not come to a result."""


class SymbolicJudge:
    """Judges formulas with one child process, started when it is first needed and again after it was killed.

    Raises UsageError when math-verify is not installed. Safe to use from several threads.
    """

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        if importlib.util.find_spec("math_verify") is None:
            raise UsageError("judging formulas needs math-verify: pip install 'whetstone-lab[symbolic]'")
        self.seconds = seconds
        self.last_error = ""
        self._worker = Worker(python_command("whetstone.tasks.equality"), memory=memory)

    def __call__(self, text: str, gold: str, form: Form = "any") -> Verdict:
        """Whether `text` gives exactly one answer and it equals `gold`, a number, formula, relation or list as text or
        LaTeX.

        RIGHT only where arithmetic with many digits finds no difference and sympy or math-verify finds the two equal.
        TIMEOUT when the comparison was killed, ERROR when it failed or came to no result (why: `last_error`). Raises
        UsageError for a gold answer that cannot be read or a form that does not exist.
        """
        if _LITERAL.fullmatch(gold.strip()) and not re.search(r"/\s?0+$", gold.strip()):
            return judge_fraction(text, Fraction(gold.replace("−", "-").replace(" ", "")))
        if form not in get_args(Form):
            raise UsageError(f"there is no form {form!r} of a formula; choose one of {', '.join(get_args(Form))}")
        try:
            wanted = parse(gold)
            _require_bounded(wanted)
        except FormulaError as error:
            raise UsageError(f"the gold answer {gold[:60]!r} cannot be judged: {error}") from error
        if len(text) > MAX_TEXT:
            return Verdict.NO_ANSWER
        try:
            return self._judge(claims(text, whole=wanted[0] == "rel"), wanted, form)
        except _Hung as error:
            self.last_error = str(error)
            return Verdict.TIMEOUT
        except _Failed as error:
            self.last_error = str(error)
            return Verdict.ERROR

    def close(self) -> None:
        """Stop the child process; the next use starts another."""
        self._worker.close()

    def _judge(self, found: list[Claim], wanted: Tree, form: Form) -> Verdict:
        try:
            finals, between = _read(found, wanted)
        except FormulaError:
            return Verdict.NO_ANSWER
        if not finals or len(finals) + len(between) > MAX_CANDIDATES:
            return Verdict.NO_ANSWER
        try:
            if not all(self._equal(wanted, tree) for tree in finals):
                return Verdict.WRONG if len(finals) == 1 else Verdict.NO_ANSWER
            if not all(self._equal(wanted, tree) for tree in between):
                return Verdict.NO_ANSWER
            return Verdict.RIGHT if all(has_form(tree, form, wanted) for tree in finals) else Verdict.WRONG
        except FormulaError:  # beyond what is compared
            return Verdict.NO_ANSWER

    def _equal(self, gold: Tree, answer: Tree) -> bool:
        """Raises _Hung or _Failed."""
        if gold == answer:
            return True
        if gold[0] != answer[0] and {gold[0], answer[0]} & {"seq", "rel"}:
            return False
        if gold[0] == "seq":
            return self._same_items(gold, answer)
        if gold[0] == "rel":
            return self._same_relation(gold, answer)
        if ("const", "oo") in (_unsigned(gold), _unsigned(answer)):
            return False
        exactly = exact(gold), exact(answer)
        if None not in exactly:
            return exactly[0] == exactly[1]
        return self._ask("compare", {"gold": gold, "answer": answer})

    def _same_items(self, gold: Tree, answer: Tree) -> bool:
        """Item by item under the same brackets; the items of a set in any order."""
        (kind, *wanted), (given_kind, *given) = gold[1:], answer[1:]
        if kind != given_kind or len(wanted) != len(given):
            return False
        if kind != "{}":
            return all(self._equal(a, b) for a, b in zip(wanted, given, strict=True))
        for item in wanted:
            match = next((place for place, other in enumerate(given) if self._equal(item, other)), None)
            if match is None:
                return False
            del given[match]
        return True

    def _same_relation(self, gold: Tree, answer: Tree) -> bool:
        """Both brought to "difference OP 0", with > turned into <."""
        (operator, left), (other, right) = _difference(gold), _difference(answer)
        if operator != other or variables(gold) != variables(answer):
            return False
        return self._ask("compare_relations", {"operator": operator, "gold": left, "answer": right})

    def _ask(self, method: str, arguments: dict[str, object]) -> bool:
        try:
            result = self._worker.call(method, arguments, self.seconds, START_SECONDS)
        except WorkerTimeout as error:
            raise _Hung(f"comparing two formulas: {error}") from error
        except (WorkerDied, WorkerRaised) as error:
            raise _Failed(f"comparing two formulas: {error}") from error
        if result == "too large":
            raise FormulaError("values with too many digits")
        if result == "undecided":
            raise _Failed("two formulas that arithmetic cannot tell apart could not be proved equal")
        return bool(result == "equal")


_shared: SymbolicJudge | None = None
_sharing = threading.Lock()


def judge_symbolic(text: str, gold: str, form: Form = "any") -> Verdict:
    """The answer is one formula equal to `gold` ("pi/2", "\\frac{x^2}{2} + C", "(1, 2]", "y = 2x + 1").

    `form`: "expanded" or "factored" where the question asks for it; an equal formula of another form is wrong.
    Needs the extra `symbolic`. All callers share one child process. See `SymbolicJudge`.
    """
    global _shared
    with _sharing:
        if _shared is None:
            _shared = SymbolicJudge()
    return _shared(text, gold, form)


def _read(found: list[Claim], wanted: Tree) -> tuple[list[Tree], list[Tree]]:
    """The distinct formulas that the text ends on, and those that it says equal them on the way.

    What stands on the way counts only if it could be a value of the answer: it has no variable that the gold answer
    lacks ("A = pi r^2 = 9 pi"). Raises FormulaError where the text's conclusion cannot be read.
    """
    finals: list[Tree] = []
    between: list[Tree] = []
    for claim in found:
        if claim is UNREADABLE_CLAIM:
            raise FormulaError("something competes with the answer")
        finals.append(_bounded(claim.final))
        for side in claim.between:
            try:
                tree = _bounded(side)
            except FormulaError:
                continue
            if variables(tree) <= variables(wanted):
                between.append(tree)
    return list(dict.fromkeys(finals)), [tree for tree in dict.fromkeys(between) if tree not in finals]


def _bounded(text: str) -> Tree:
    tree = parse(text)
    _require_bounded(tree)
    return tree


def _require_bounded(tree: Tree) -> None:
    """Raises FormulaError for numbers beyond the caps, a relation without a variable, a relation inside a list."""
    if tree[0] == "seq":
        for item in tree[2:]:
            if item[0] == "rel":
                raise FormulaError("a list of relations")
            _require_bounded(item)
    elif tree[0] == "rel":
        if not variables(tree):
            raise FormulaError("a relation without a variable")
        measure(("add", tree[2], tree[3]))
    else:
        measure(tree)


def _difference(relation: Tree) -> tuple[str, Tree]:
    _, operator, left, right = relation
    if operator in (">", ">="):
        operator, left, right = operator.replace(">", "<"), right, left
    return operator, ("add", left, ("neg", right))


def _unsigned(tree: Tree) -> Tree:
    inner: Tree = tree[1] if tree[0] == "neg" else tree
    return inner
