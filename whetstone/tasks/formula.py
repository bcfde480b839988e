r"""Formulas read without executing anything: plain text or LaTeX in, a small tree of tuples out, all of it capped.

A tree is a nested tuple whose first item names its kind:

    ("num", p, q)            the rational p/q          ("var", name)      x, \theta, a_1
    ("const", name)          pi, e, i, oo              ("call", name, a)  sin, ln, exp, abs, ...
    ("add", a, b, ...)  ("mul", a, b, ...)  ("div", a, b)  ("pow", a, b)  ("root", a, n)  ("neg", a)  ("fact", a)
    ("rel", operator, a, b)  one of = < <= > >=        ("seq", "()", a, b, ...)  a tuple, [] list, {} set, "" bare list

`e`, `i` and `pi` are the constants and `log` without a base is the natural one. What two readers could take for
different things is refused: 1/2x, 3 1/2, 1e5, x2, sin x/2, chains of inequalities.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from typing import Any, TypeAlias

from whetstone.tasks.cursor import Cursor
from whetstone.tasks.notation import CONSTANTS, FUNCTIONS, GREEK, FormulaError, normal, tokens_of

Tree: TypeAlias = tuple[Any, ...]

MAX_NESTING = 20  # brackets, exponents and functions inside each other
MAX_ITEMS = 20  # of one list

_SAME_FUNCTION = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "log": "ln"}
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_RELATIONS = {"=", "<", "<=", ">", ">="}

_CLOSES = {"(": ")", "[": "]", "\\{": "\\}", "{": "}"}


def parse(text: str) -> Tree:
    """The tree of `text`. Raises FormulaError. Linear in the length but for nested brackets, which are capped."""
    tokens = tokens_of(normal(text))
    if not tokens:
        raise FormulaError("nothing to read")
    return _top(tokens, 0)


def variables(tree: Tree) -> set[str]:
    """The names of the variables in a tree."""
    if tree[0] == "var":
        return {tree[1]}
    return set().union(*(variables(part) for part in tree[1:] if isinstance(part, tuple)), set())


def _top(tokens: list[str], depth: int) -> Tree:
    """A list, a relation or an expression."""
    if depth > 2:
        raise FormulaError("lists inside lists inside lists")
    closer = _CLOSES.get(tokens[0])
    if closer is not None and _matching(tokens) == len(tokens) - 1:
        items = _split(tokens[1:-1], {","})
        if len(items) > 1 or tokens[0] == "\\{":
            kind = {"(": "()", "[": "[]", "\\{": "{}", "{": "{}"}[tokens[0]]
            return _sequence(kind, items, depth)
    if tokens[0] in "([" and tokens[-1] in ")]" and _split(tokens[1:-1], {","})[1:] and _half_open(tokens):
        return _sequence(tokens[0] + tokens[-1], _split(tokens[1:-1], {","}), depth)
    items = _split(tokens, {","})
    if len(items) > 1:
        return _sequence("", items, depth)
    sides = _split(tokens, _RELATIONS)
    if len(sides) == 1:
        return _Parser(tokens).whole()
    if len(sides) > 2:
        raise FormulaError("a chain of relations")
    operator = tokens[len(sides[0])]
    return ("rel", operator, _Parser(sides[0]).whole(), _Parser(sides[1]).whole())


def _half_open(tokens: list[str]) -> bool:
    """Whether the outer brackets are [ with ) or ( with ], and everything inside is balanced."""
    depth = 0
    for token in tokens[1:-1]:
        depth += (token in ("(", "[")) - (token in (")", "]"))
        if depth < 0:
            return False
    return depth == 0 and tokens[0] + tokens[-1] in ("[)", "(]")


def _sequence(kind: str, items: list[list[str]], depth: int) -> Tree:
    if len(items) > MAX_ITEMS or not all(items):
        raise FormulaError("an empty item, or too many")
    return ("seq", kind, *(_top(item, depth + 1) for item in items))


def _matching(tokens: list[str]) -> int:
    """Where the bracket that opens the tokens is closed; -1 for nowhere. Brackets must nest by kind."""
    open_: list[str] = []
    for place, token in enumerate(tokens):
        if token in _CLOSES:
            open_.append(_CLOSES[token])
        elif token in _CLOSES.values():
            if not open_ or open_.pop() != token:
                return -1
            if not open_:
                return place
    return -1


def _split(tokens: list[str], separators: set[str]) -> list[list[str]]:
    """The pieces between separators that stand outside all brackets."""
    pieces: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token in _CLOSES) - (token in _CLOSES.values())
        if token in separators and depth == 0:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces


def number(text: str) -> Tree:
    """("num", p, q) of a decimal literal, in lowest terms."""
    whole, _, decimals = text.partition(".")
    top, bottom = int((whole + decimals) or "0"), 10 ** len(decimals)
    common = gcd(top, bottom)
    return ("num", top // common, bottom // common)


class _Parser(Cursor):
    """Recursive descent: sum = product (+- product)*, product = power ((*|/)? power)*, power = atom (^ power)?."""

    def __init__(self, tokens: list[str]) -> None:
        super().__init__(tokens)
        self.depth = 0

    def whole(self) -> Tree:
        if not self.tokens:
            raise FormulaError("an empty side")
        tree = self._sum()
        if not self.at_end:
            raise FormulaError(f"unexpected {self.peek()!r}")
        return tree

    def _expect(self, token: str) -> None:
        if self.next() != token:
            raise FormulaError(f"{token!r} is missing")

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise FormulaError(f"nested deeper than {MAX_NESTING}")

    def _sum(self) -> Tree:
        self._deeper()
        terms = [self._signed(self._product)]
        while self.peek() in ("+", "-"):
            minus = self.next() == "-"
            term = self._product()
            terms.append(("neg", term) if minus else term)
        self.depth -= 1
        return terms[0] if len(terms) == 1 else ("add", *terms)

    def _signed(self, read: Callable[[], Tree]) -> Tree:
        """An optional single sign in front."""
        if self.peek() in ("+", "-"):
            minus = self.next() == "-"
            tree = read()
            return ("neg", tree) if minus else tree
        return read()

    def _product(self) -> Tree:
        tree = self._power()
        slashed = False
        while (token := self.peek()) and token not in ("+", "-", ")", "]", "}", "|", ","):
            if token in ("*", "/"):
                self.next()
                right = self._signed(self._power)
                tree = ("mul", tree, right) if token == "*" else ("div", tree, right)
                slashed = token == "/"
                continue
            if slashed:
                raise FormulaError("a/bc may be a/(bc) or (a/b)c")
            if token[0].isdigit() or token[0] == ".":
                raise FormulaError("a number stands right behind another part")
            right = self._power()
            if tree[0] == "num" and right[0] == "div" and right[1][0] == right[2][0] == "num":
                raise FormulaError("a mixed number may be a sum or a product")
            tree = ("mul", tree, right)
        return tree

    def _power(self) -> Tree:
        base = self._postfix()
        if self.peek() != "^":
            return base
        self.next()
        self._deeper()
        exponent = self._signed(self._power)
        self.depth -= 1
        return ("pow", base, exponent)

    def _postfix(self) -> Tree:
        tree = self._atom()
        while self.peek() in ("!", "@"):
            sign = self.next()
            tree = ("fact", tree) if sign == "!" else ("mul", tree, ("div", ("const", "pi"), ("num", 180, 1)))
            if self.peek() == "!":
                raise FormulaError("a double factorial")
        return tree

    def _atom(self) -> Tree:
        token = self.next()
        if token and (token[0].isdigit() or (token[0] == "." and len(token) > 1)):
            return number(token)
        if token in ("(", "[", "{"):
            tree = self._sum()
            self._expect(_CLOSES[token])
            return tree
        if token == "|":
            tree = self._sum()
            self._expect("|")
            return ("call", "abs", tree)
        if token == "\\frac":
            return ("div", self._argument(), self._argument())
        if token == "\\sqrt" or token in FUNCTIONS:
            return self._call(token.lstrip("\\"))
        if token in CONSTANTS:
            return ("const", token)
        if token in GREEK or (len(token) == 1 and token.isalpha()):
            return ("var", token + self._subscript())
        raise FormulaError(f"unexpected {token[:20]!r}" if token else "it ends too early")

    def _argument(self) -> Tree:
        r"""An argument of \frac: {..}, a single digit or a single letter; \frac12 is one half."""
        token = self.peek()
        if token == "{":
            self.next()
            tree = self._sum()
            self._expect("}")
            return tree
        if token.isdigit() and len(token) > 1:  # \frac12: its first digit is the argument, the rest is left
            self.tokens[self.at] = token[1:]
            return number(token[0])
        return self._atom()

    def _subscript(self) -> str:
        if self.peek() != "_":
            return ""
        self.next()
        token = self.next()
        if token == "{":
            token = self.next()
            self._expect("}")
        if not token.isalnum() or len(token) > 4:
            raise FormulaError("a subscript that is not short and plain")
        return f"_{token}"

    def _call(self, name: str) -> Tree:
        if name == "sqrt" and self.peek() == "[":
            self.next()
            index = self._atom()
            self._expect("]")
            if index[0] != "num" or index[2] != 1 or not 2 <= index[1] <= 100:
                raise FormulaError("a root whose index is not a number from 2 to 100")
            return ("root", self._argument(), index[1])
        base = self._base() if name == "log" and self.peek() == "_" else None
        exponent = None
        if self.peek() == "^":
            self.next()
            exponent = self._signed(self._postfix)
        tree = self._applied(name)
        if base is not None:
            tree = ("div", tree, ("call", "ln", base))
        if exponent is None:
            return tree
        if exponent in (("neg", ("num", 1, 1)), ("pow", ("num", -1, 1))):
            if name not in _INVERSE:
                raise FormulaError("f^-1 may be an inverse or a reciprocal")
            return ("call", _INVERSE[name], tree[2])
        return ("pow", tree, exponent)

    def _base(self) -> Tree:
        self.next()
        return self._argument()

    def _applied(self, name: str) -> Tree:
        """The function on its argument: brackets, or what stands right behind it up to the next function or sign."""
        self._deeper()
        if self.peek() in ("(", "{", "|", "[") or name == "sqrt":
            argument = self._atom()
        else:
            argument = self._power()
            while (token := self.peek()) and (token in GREEK or token in CONSTANTS or token.isalpha()):
                if token in FUNCTIONS:
                    break
                argument = ("mul", argument, self._power())
            if self.peek() in ("/", "*"):
                raise FormulaError("sin x/2 may be sin(x/2) or (sin x)/2")
        self.depth -= 1
        if name == "sqrt":
            return ("root", argument, 2)
        if name == "cbrt":
            return ("root", argument, 3)
        if name == "exp":
            return ("pow", ("const", "e"), argument)
        return ("call", _SAME_FUNCTION.get(name, name), argument)
