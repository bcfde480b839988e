"""How often each judge is wrong, measured on labelled answers beside plain math-verify: `judge_rates`.

The labels (judge_labels.jsonl, one [judge, gold, text, label, source] a line) say whether a fair reader would take the
text's one final answer for the gold one: right, wrong, no_answer, or not_right where the reader told only that. Rows of
the source "written" were made from shapes that models use and were looked at while the judges were mended; the others
are outputs of a real model, labelled by reading; no judge was mended on them. "hostile" ones were written to break the
judges, with their labels, before any judge saw them; the judges were mended on them afterwards.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from typing import Any

from whetstone.errors import WorkFailed
from whetstone.sandbox.worker import Worker, WorkerDied, WorkerRaised, WorkerTimeout, python_command
from whetstone.tasks.answers import judge_fraction, judge_integer, judge_integers, judge_text, judge_words
from whetstone.tasks.symbolic import judge_symbolic
from whetstone.tasks.task import Verdict

LABELS = ("right", "wrong", "no_answer", "not_right")
PEER_SECONDS = 5.0  # for one answer; plain math-verify counts as "not right" when it takes longer

JUDGES: Mapping[str, Callable[[str, Any], Verdict]] = {
    "integer": judge_integer,
    "fraction": lambda text, gold: judge_fraction(text, Fraction(gold)),
    "integers": judge_integers,
    "words": judge_words,
    "text": judge_text,
    "symbolic": judge_symbolic,
}
# What math-verify reads as a gold answer; it does not judge words.
_PEER_GOLD: Mapping[str, Callable[[Any], str]] = {
    "integer": str,
    "fraction": str,
    "integers": lambda gold: ", ".join(map(str, gold)),
    "symbolic": str,
}


@dataclass(frozen=True)
class Labelled:
    """One answer with what it truly is. `gold` has the type that the judge takes (a fraction as text)."""

    judge: str
    gold: Any
    text: str
    label: str
    source: str

    @property
    def right(self) -> bool:
        """Whether a reader takes it for right."""
        return self.label == "right"


def labelled_answers() -> list[Labelled]:
    """The labelled set. Raises WorkFailed when the file is not what it should be."""
    rows = []
    for line in files("whetstone.evals").joinpath("judge_labels.jsonl").read_text("utf-8").splitlines():
        row = Labelled(*json.loads(line))
        if row.judge not in JUDGES or row.label not in LABELS:
            raise WorkFailed(f"judge_labels.jsonl: an unknown judge or label: {line[:100]}")
        rows.append(row)
    return rows


def judge_rates(rows: Sequence[Labelled] | None = None, peer: bool = True) -> list[dict[str, Any]]:
    """For each judge and source of rows: {judge, source, right, not_right, ours, math_verify}.

    `right` and `not_right` count the rows; `ours` and `math_verify` are {false_positive, false_negative, undecided},
    the first two as {mean, low, high, n} (Wilson, 95 %): the share of answers that are not right judged right, and of
    right ones not judged right. `undecided` counts errors and timeouts. `math_verify` is None for judges of words, and
    everywhere without `peer` or without math-verify; the symbolic judge is left out without it.
    """
    installed = importlib.util.find_spec("math_verify") is not None
    groups: dict[tuple[str, str], list[Labelled]] = {}
    for row in labelled_answers() if rows is None else rows:
        if row.judge != "symbolic" or installed:
            groups.setdefault((row.judge, row.source), []).append(row)
    table = []
    for judge, source in sorted(groups, key=lambda group: (list(JUDGES).index(group[0]), group[1] != "written")):
        group = groups[judge, source]
        verdicts = [JUDGES[judge](row.text, row.gold) for row in group]
        compared = peer and installed and judge in _PEER_GOLD
        right = sum(row.right for row in group)
        table.append(
            {
                "judge": judge,
                "source": source,
                "right": right,
                "not_right": len(group) - right,
                "ours": _rates(group, verdicts),
                "math_verify": _rates(group, _plain_math_verify(group)) if compared else None,
            }
        )
    return table


def rates_table(table: Iterable[Mapping[str, Any]]) -> str:
    """`judge_rates` as a Markdown table, rates in percent with their intervals."""
    lines = [
        "| judge | answers | right / not right | false positives | false negatives | math-verify: false positives | "
        "false negatives |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table:
        peer = row["math_verify"]
        cells = [row["judge"], row["source"], f"{row['right']} / {row['not_right']}"]
        for rates in (row["ours"], peer):
            cells += [_percent(rates[kind]) if rates else "" for kind in ("false_positive", "false_negative")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _rates(rows: Sequence[Labelled], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    from whetstone.evals.statistics import wilson

    pairs = [(row.right, verdict is Verdict.RIGHT) for row, verdict in zip(rows, verdicts, strict=True)]
    accepted, missed = pairs.count((False, True)), pairs.count((True, False))
    right = sum(is_right for is_right, _ in pairs)
    return {
        "false_positive": wilson(accepted, len(rows) - right).to_dict(),
        "false_negative": wilson(missed, right).to_dict(),
        "undecided": sum(verdict in (Verdict.ERROR, Verdict.TIMEOUT) for verdict in verdicts),
    }


def _plain_math_verify(rows: Sequence[Labelled]) -> list[Verdict]:
    worker = Worker(python_command("whetstone.evals.plain_math_verify"), memory=2**30)
    try:
        return [_asked(worker, row.text, _PEER_GOLD[row.judge](row.gold)) for row in rows]
    finally:
        worker.close()


def _asked(worker: Worker, text: str, gold: str) -> Verdict:
    try:
        found = worker.call("judge", {"text": text, "gold": gold}, PEER_SECONDS)
    except WorkerTimeout:
        return Verdict.TIMEOUT
    except (WorkerDied, WorkerRaised):
        return Verdict.ERROR
    return Verdict.RIGHT if found else Verdict.WRONG


def _percent(rate: Mapping[str, float]) -> str:
    if rate["n"] == 0:
        return "no rows"
    return f"{100 * rate['mean']:.1f} % ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})"
