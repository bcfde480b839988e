"""From the text of a formula, plain or LaTeX, to a list of tokens: one alphabet, an allow-list, caps."""

from __future__ import annotations

import re

MAX_FORMULA = 400  # characters
MAX_DIGITS = 100  # of one number

FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "ln", "log", "exp", "sqrt", "cbrt", "abs",
}  # fmt: skip
GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "kappa", "lambda",
    "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta",
    "Lambda", "Sigma", "Phi", "Psi", "Omega",
}  # fmt: skip
CONSTANTS = {"e", "i", "pi", "oo"}
_SHORT_WORDS = {
    "am", "an", "as", "at", "be", "by", "do", "go", "he", "if", "in", "is", "it", "me", "my", "no", "of", "ok", "on",
    "or", "so", "to", "up", "us", "we",
}  # fmt: skip

_UNICODE = str.maketrans(
    {
        "π": " pi ", "√": " sqrt ", "∞": " oo ", "×": "*", "·": "*", "⋅": "*", "∗": "*", "∙": "*", "÷": "/", "−": "-",
        "–": "-", "≤": "<=", "≥": ">=", "⩽": "<=", "⩾": ">=", "θ": " theta ", "α": " alpha ", "β": " beta ",
        "γ": " gamma ", "λ": " lambda ", "μ": " mu ", "φ": " phi ", "ω": " omega ", "°": "\\degree ", "\u00a0": " ",
        "\n": " ", "\t": " ",
    }
)  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_RAISED = re.compile("⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,4}")
_ALLOWED = re.compile(r"[A-Za-z0-9+\-*/^_=<>!()\[\]{}|.,\\ ]*")
# LaTeX that only sets type or space. A command ends where its letters end.
_SPACING = re.compile(
    r"\\(?:[,;:! ]|(?:left|right|big|Big|bigg|Bigg|displaystyle|textstyle|quad|qquad|limits)(?![A-Za-z]))|~|\$"
)
_DRESS = re.compile(
    r"\\(?:mathrm|mathbf|mathit|mathsf|text|textbf|textit|bf|operatorname|boxed|fbox)\s?\{([A-Za-z0-9^\\ +*/=.-]*)\}"
)
_DEGREES = re.compile(r"\^\s?\{?\s?\\circ\s?\}?|\\degree")
_NAMES = {
    "\\cdot": "*", "\\times": "*", "\\ast": "*", "\\div": "/", "\\leq": "<=", "\\le": "<=", "\\geq": ">=",
    "\\ge": ">=", "\\lt": "<", "\\gt": ">", "\\infty": "oo", "\\lvert": "|", "\\rvert": "|", "\\lbrace": "\\{",
    "\\rbrace": "\\}", "\\lbrack": "[", "\\rbrack": "]", "\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\cfrac": "\\frac",
}  # fmt: skip
_TOKEN = re.compile(
    r"\s*(?:([0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(\\[A-Za-z]+)|(\\[{}])|([A-Za-z]+)|(<=|>=|\*\*|[-+*/^_=<>!()\[\]{}|,@]))"
)
_GROUPED = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")


class FormulaError(ValueError):
    """The text is not one formula within the caps."""


def normal(text: str) -> str:
    """One alphabet for plain text and LaTeX; only characters of the allow-list are left."""
    if len(text) > MAX_FORMULA:
        raise FormulaError(f"longer than {MAX_FORMULA} characters")
    text = _RAISED.sub(lambda raised: "^(" + raised.group().translate(_SUPERSCRIPTS) + ")", text)
    text = _SPACING.sub(" ", text.translate(_UNICODE))
    text = text.replace("{,}", "")
    text = _GROUPED.sub(lambda number: number.group().replace(",", ""), text)
    for _ in range(2):  # \boxed{\text{..}}
        text = _DRESS.sub(_undressed, text)
    text = re.sub(r"\\[A-Za-z]+", lambda command: _NAMES.get(command.group(), command.group()), text)
    if _ALLOWED.fullmatch(text) is None or "!=" in text or "==" in text:
        raise FormulaError("a character that no formula needs")
    return _DEGREES.sub("@", text.replace("\\degree", "^\\circ"))


def _undressed(dressed: re.Match[str]) -> str:
    inside = dressed.group(1)
    if re.search(r"[A-Za-z]\s+[A-Za-z]", inside):
        raise FormulaError("words inside the formula")
    return f"({inside})" if re.search(r"[-+/=]", inside) else f" {inside} "


def tokens_of(text: str) -> list[str]:
    """The tokens of a normal text. Raises FormulaError."""
    tokens: list[str] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FormulaError(f"cannot read {text[at : at + 10]!r}")
        number, command, brace, word, sign = match.groups()
        if number:
            if len(number) > MAX_DIGITS:
                raise FormulaError(f"a number of more than {MAX_DIGITS} digits")
            if re.match(r"[eE][0-9+-]", text[match.end() : match.end() + 2]):
                raise FormulaError("1e5 may be a power of ten or a product")
            tokens.append(number)
        elif word:
            tokens += _words(word)
        elif command:
            tokens += [command[1:]] if command[1:] in FUNCTIONS | GREEK | {"pi", "exp"} else [command]
        else:
            tokens.append({"**": "^"}.get(sign or brace, sign or brace))
        at = match.end()
    return tokens


def _words(word: str) -> list[str]:
    """A run of letters as names: known ones first, else at most two letters. "sinx" is sin x; prose is refused."""
    if word in FUNCTIONS or word in GREEK or word in CONSTANTS or len(word) == 1:
        return [word]
    for end in range(len(word), 1, -1):  # sinx, xsin, pix
        head, tail = word[:end], word[end:]
        if (head in FUNCTIONS or head == "pi") and len(tail) <= 2:
            return [head, *tail]
    for start in (1, 2):
        if word[start:] in FUNCTIONS or word[start:] == "pi":
            return [*word[:start], word[start:]]
    if len(word) <= 2 and word.lower() not in _SHORT_WORDS:
        return list(word)
    raise FormulaError(f"the word {word[:20]!r}")
