"""Whether a formula is written the way a question asks for. Equality alone would accept the question repeated."""

from __future__ import annotations

from typing import Literal, TypeAlias

from whetstone.tasks.formula import Tree, variables

Form: TypeAlias = Literal["any", "expanded", "factored"]


def has_form(tree: Tree, form: Form, gold: Tree) -> bool:
    """Whether `tree` is expanded (no sum inside a product or a power, no two terms of the same powers), or factored
    (at least as many factors with variables as `gold`, and no sum at the top). "any" asks for nothing.
    """
    if form == "expanded":
        return _expanded(tree)
    if form == "factored":
        return _factors(tree) >= max(2, _factors(gold))
    return True


def _expanded(tree: Tree) -> bool:
    terms = [term[1] if term[0] == "neg" else term for term in (tree[1:] if tree[0] == "add" else (tree,))]
    if any(_holds_sum(term) for term in terms):
        return False
    shapes = [tuple(sorted(_powers(term).items())) for term in terms]
    return len(set(shapes)) == len(shapes)  # "x^2 + x + x" still has to be collected


def _holds_sum(tree: Tree) -> bool:
    """Whether a sum with a variable stands anywhere inside but for arguments of functions."""
    if tree[0] == "add" and variables(tree):
        return True
    if tree[0] == "call":
        return False
    return any(_holds_sum(part) for part in tree[1:] if isinstance(part, tuple))


def _powers(tree: Tree) -> dict[str, str]:
    """What a term is made of besides numbers, as a key: 3xy^2 and xy^2 share it."""
    if tree[0] == "num":
        return {}
    if tree[0] == "neg":
        return _powers(tree[1])
    if tree[0] in ("mul", "div"):
        merged: dict[str, str] = {}
        for sign, part in zip(("", "" if tree[0] == "mul" else "/"), tree[1:], strict=True):
            for base, power in _powers(part).items():
                merged[base] = f"{merged.get(base, '')}{sign}{power}"
        return merged
    if tree[0] == "pow":
        return {str(tree[1]): str(tree[2])}
    return {str(tree): str(("num", 1, 1))}


def _factors(tree: Tree) -> int:
    """How many factors with variables a product has; a whole power counts as often as its exponent says."""
    if tree[0] == "neg":
        return _factors(tree[1])
    if tree[0] == "mul":
        return sum(_factors(part) for part in tree[1:])
    if tree[0] == "pow" and tree[2][0] == "num" and tree[2][2] == 1:
        return _factors(tree[1]) * int(tree[2][1])
    return 1 if variables(tree) else 0
