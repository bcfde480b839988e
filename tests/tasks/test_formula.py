"""The reader of formulas, against sympy's own reader and against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from latex2sympy2_extended import latex2sympy

from whetstone.tasks.equality import _build
from whetstone.tasks.exact import MAX_SIZE, exact, measure
from whetstone.tasks.formula import parse, variables
from whetstone.tasks.notation import MAX_FORMULA, FormulaError

SAME = [
    (r"\frac{\pi}{2}", "pi/2"), (r"\dfrac{x^2}{2} + C", "x^2/2 + C"), (r"e^{16} - 1", "exp(16)-1"), ("√2", "sqrt(2)"),
    (r"\frac12", "1/2"), (r"\sqrt2", "sqrt(2)"), ("x²", "x^2"), ("x⁻¹", "x^-1"), ("2π", "2pi"), (r"2 \cdot x", "2*x"),
    ("x**2", "x^2"), (r"\left( x + 1 \right)", "(x+1)"), (r"\boxed{\pi}", "pi"), (r"$x$", "x"), ("1,000x", "1000x"),
    (r"1{,}000x", "1000x"), (r"\sin^2 x", "(sin(x))^2"), (r"\sin^{-1}(x)", "arcsin(x)"), ("sin 2x", "sin(2x)"),
    (r"\sin x \cos x", "sin(x)*cos(x)"), ("log(x)", "ln(x)"), (r"\mathrm{e}^x", "e^x"), (r"x_{12}", "x_12"),
    ("2^3^2", "2^(3^2)"), ("-x^2", "-(x^2)"), ("[x+1]", "(x+1)"), (r"\theta", "theta"), (r"x \le 3", "x <= 3"),
    (r"\{1, 2\}", "{1, 2}"), ("(1, 2]", r"\left(1, 2\right]"), ("sinx", "sin(x)"), ("xy", "x*y"), ("0.5", "1/2.0"),
]  # fmt: skip
REFUSED = [
    "", " ", "1/2x", "1/2 pi", "3 1/2", r"3\frac{1}{2}", "1e5", "1E-5", "1e+5", "x2", "2 3", "(2)3", "sin x/2", "--1",
    "1 + + 1", "0x31", "0b11", "1_000", "x = 1 = 2", "1 < x < 2", "x!!", "sin", "sin()", "()", "((", "(1", "1)", "{1",
    "]", "the", "and x", "x is 2", "two", "__import__('os')", "os.system(x)", "lambda x: x", "x;y", "x if y",
    "'x'", '"x"',
    "x@y", "x#y", "x%", "50%", "x & y", "x ? y", "½", "٣", "３", "x̂", "𝑥", "ⅹ", r"\ldots", "1, ..., n", r"\pm 2", "±2",
    r"\input{x}", r"\def\x{\x}", r"\int x", r"\sum x", r"\lim x", r"\begin{matrix}", r"\csname", r"\text{not } \pi",
    "x" * (MAX_FORMULA + 1), "(" * 30 + "x" + ")" * 30, "9" * 101, r"\sqrt[0]{2}", r"\sqrt[x]{2}", ",", "1,",
    ",1", "1,,2", "=", "x =", "= x", "x ==  2", "x != 2", "x ~ 2", "x ≈ 2", "f^{-1}(x)" + "!!", "tanh^{-1} x", "1..2",
    ".",    "x^", "^2", "x_", "|x", r"\frac{1}", r"\frac{1}{}", "a,b;c", "\x00", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_writings_are_one_tree(one: str, other: str) -> None:
    if exact_or_none(one) is not None:
        assert exact(parse(one)) == exact(parse(other))
    else:
        assert parse(one) == parse(other)


def exact_or_none(text: str) -> Fraction | None:
    try:
        return exact(parse(text))
    except FormulaError:
        return None


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_formula_or_could_be_two_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        parse(text)


ATOMS = st.sampled_from(["x", "y", r"\pi", "2", "7", "10", "0.5", "e"])


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    return st.one_of(
        two.map(lambda p: f"({p[0]} + {p[1]})"),
        two.map(lambda p: f"({p[0]} - {p[1]})"),
        two.map(lambda p: rf"({p[0]} \cdot {p[1]})"),
        two.map(lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}"),
        inner.map(lambda a: rf"\sqrt{{{a}}}"),
        inner.map(lambda a: rf"\sin({a})"),
        inner.map(lambda a: f"({a})^{{2}}"),
    )


@given(st.recursive(ATOMS, _compound, max_leaves=6))
@settings(deadline=None, max_examples=60)
@example(r"\frac{x}{2}")
def test_reads_latex_as_sympy_does(text: str) -> None:
    """latex2sympy is the oracle; only on our own texts, never on a model's."""
    try:
        ours = _build(parse(text), positive=False)
        measure(parse(text))
    except FormulaError:
        return  # 1/0 and the like
    theirs = latex2sympy(text, is_real=True)
    values = {symbol: 0.37 + 0.21 * i for i, symbol in enumerate(sorted(theirs.free_symbols, key=str))}
    wanted = sympy.N(theirs.subs(values))
    got = sympy.N(
        ours.subs(
            {symbol: values[other] for other in values for symbol in ours.free_symbols if str(symbol) == str(other)}
        )
    )
    if wanted.is_finite:
        assert abs(complex(wanted) - complex(got)) <= 1e-9 * (1 + abs(complex(wanted)))


@given(st.text(alphabet=r"0123456789xyepi+-*/^_=<>()[]{}|.,!\ \fracsqtln$", max_size=60))
@settings(deadline=None, max_examples=500)
def test_never_raises_anything_else(text: str) -> None:
    try:
        tree = parse(text)
        variables(tree)
        if tree[0] not in ("seq", "rel"):
            assert measure(tree)[0] <= MAX_SIZE
    except FormulaError:
        pass


@given(st.integers(-50, 50), st.integers(1, 50), st.integers(-6, 6))
@settings(deadline=None)
def test_exact_values(top: int, bottom: int, power: int) -> None:
    value = Fraction(top, bottom)
    assert exact(parse(rf"\frac{{{top}}}{{{bottom}}}")) == value
    assert exact(parse(f"({top})/({bottom}) + 1/3 - 2*0.25")) == value + Fraction(1, 3) - Fraction(1, 2)
    if top or power > 0:
        assert exact(parse(f"(({top})/({bottom}))^({power})")) == value**power
    if top > 0:
        assert exact(parse(rf"\sqrt{{{top * top}/{bottom * bottom}}}")) == value
        assert exact(parse(f"({top**3}/{bottom**3})^(2/3)")) == value * value


def test_exact_knows_what_it_does_not_know() -> None:
    assert exact(parse("pi")) is exact(parse("sqrt(2)")) is exact(parse("x")) is exact(parse("sin(0)")) is None
    assert exact(parse("5!")) == 120
    assert exact(parse("|-3|")) == 3
    assert exact(parse(r"\sqrt[3]{-8}")) == -2
    assert exact(parse(r"\sqrt{-4}")) is None


@pytest.mark.parametrize(
    "text",
    ["1/0", "0^-1", "0^0", "10^10000", "2^(3^(4^5))", "9^9^9^9", "10^(10^10)", "3001!", "(1/2)!", "x!", "(-1)!", 
     "x^20000",     "(((10^1000)^1000)^1000)", "5!!"],
)  # fmt: skip
def test_bombs_and_undefined_values_are_refused_at_once(text: str) -> None:
    with pytest.raises(FormulaError):
        measure(parse(text))
