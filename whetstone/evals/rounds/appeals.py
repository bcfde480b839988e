"""An appeal is looked at without names: the answers to one problem, each once, in an order that tells nothing."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from string import ascii_uppercase
from typing import TYPE_CHECKING

from whetstone.errors import UsageError
from whetstone.evals.rounds.chain import read_chain

if TYPE_CHECKING:
    from whetstone.evals.rounds.round import Round


def blind(round_: Round, place: int) -> list[str]:
    """Lines to read: question, the answer held to be right, and every different answer with its verdict.

    Equal answers of several entrants stand once, and their order goes by a hash: whose they are cannot be seen.
    Raises UsageError before the reveal, or for an unknown problem.
    """
    if round_.state != "revealed":
        raise UsageError(f"this round is {round_.state}: appeals are heard after the reveal")
    items = round_.items()
    if not 0 <= place < len(items):
        raise UsageError(f"there is no problem {place} in this round: it has {len(items)}")
    verdicts: dict[str, set[str]] = defaultdict(set)
    for name in round_.judged["entrants"]:
        answers = read_chain(round_.path / "outputs" / f"{name}.jsonl")[place]["answers"]
        judged = read_chain(round_.path / "verdicts" / f"{name}.jsonl")[place]["verdicts"]
        for answer, verdict in zip(answers, judged, strict=True):
            verdicts[answer["text"]].add(verdict)
    item = items[place]
    lines = [f"problem {place}: {item.problem.question}", f"held to be right: {item.gold}"]
    ordered = sorted(verdicts, key=lambda text: hashlib.sha256((item.nonce + text).encode()).digest())
    for number, text in enumerate(ordered):
        letter = ascii_uppercase[number % 26] + (str(number // 26) if number >= 26 else "")
        lines.append(f"{letter}  ({', '.join(sorted(verdicts[text]))})  {text!r}")
    return lines
