"""Reading a report that may lack parts, and writing its numbers the same way in every sentence, table and figure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

VERDICTS = ("right", "wrong", "no_answer", "error", "timeout")
VERDICT_WORDS = {"no_answer": "no answer"}


def look(report: Any, path: str) -> Any:
    """`look(report, "controls.random_reward.steps")`: the value there, None where any part is missing."""
    for name in path.split("."):
        if not isinstance(report, Mapping):
            return None
        report = report.get(name)
    return report


def percent(share: float | None, digits: int = 1) -> str:
    """0.274 -> "27.4 %"."""
    return "unknown" if share is None or share != share else f"{100 * share:.{digits}f} %"


def signed(share: float) -> str:
    """0.434 -> "+43.4", with a real minus sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def probability(p: float) -> str:
    """A p in words that do not pretend to more digits than matter: "p < 0.0001" or "p = 0.032"."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def accuracy(score: Any) -> str:
    """{mean, low, high, n}, or a bare share, in words."""
    if not isinstance(score, Mapping):
        return percent(score)
    return f"{percent(score['mean'])} ({percent(score['low'])} to {percent(score['high'])})"


def verdict_shares(measure: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Verdict counts (or shares) as shares that sum to 1, all five there; None when nothing was counted."""
    counts = {name: float(look(measure, f"verdicts.{name}") or 0) for name in VERDICTS}
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total > 0 else None


def tied(text: str) -> str:
    """No line break between a number and its sign: "24.2 %", "p = 0.03", "p 0.03", "k = 8"."""
    return re.sub(r"(?<=\d) (?=%)|(?<=\b[pkn]) (?=[=<] )|(?<=[=<]) (?=\d)|(?<=\bp) (?=\d)", "\u00a0", text)
