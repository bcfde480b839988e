"""What may stand in a round's log: which events, in which order, and which files each may bind.

A published hash binds all that came before it only if no later line can bind an earlier file anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from whetstone.evals.rounds.chain import Record
from whetstone.evals.rounds.judging import ACTIONS

# event -> the state it needs and the state it leaves
STEPS = {
    "new": ("", "open"),
    "enter": ("open", "open"),
    "draw": ("open", "drawn"),
    "answered": ("drawn", "drawn"),
    "reveal": ("drawn", "revealed"),
    "judged": ("revealed", "judged"),
    "report": ("judged", "judged"),
    "decision": ("judged", "judged"),
}
BOUND = {
    "new": r"round\.json|tasks/part-\d+\.py",
    "enter": r"entrants/{name}(\.ledger)?\.json",
    "draw": r"prompts\.jsonl|draw\.json",
    "answered": r"outputs/{name}\.jsonl",
    "reveal": r"reveal\.json|items\.jsonl|tasks/part-\d+\.py",
    "judged": r"verdicts/[^/]+\.jsonl|history\.json",
    "report": r"report\.(json|html)",
    "decision": "",
    "void": "",
}
AGAIN = {"report.json", "report.html"}  # may be bound more than once: a report follows every decision


def events_of_a_round(log: Sequence[Record]) -> str | None:
    """What is wrong with the log as the story of a round; None when it is one."""
    state = ""
    bound: set[str] = set()
    entered: list[str] = []
    answered: list[str] = []
    items = 0
    for number, record in enumerate(log, 1):
        event = record["event"]
        if state == "void" or event not in (*STEPS, "void"):
            return f"line {number}: {event} after the round was void, or unknown"
        needs, leaves = STEPS.get(event, (state, "void"))
        if state != needs:
            return f"line {number}: {event} cannot happen when a round is {state or 'not begun'}"
        state = leaves
        if wrong := _named(record, event, entered, answered, items):
            return f"line {number}: {wrong}"
        items = record["items"] if event == "draw" else items
        for name in record.get("files", {}):
            if not re.fullmatch(BOUND[event].replace("{name}", re.escape(record.get("name", ""))), name):
                return f"line {number}: {event} may not bind {name}"
            if name in bound - AGAIN:
                return f"line {number}: {name} was bound before"
            bound.add(name)
    return None


def _named(record: Record, event: str, entered: list[str], answered: list[str], items: int) -> str | None:
    """What is wrong with who or what the event is about."""
    if event == "enter":
        if record["name"].casefold() in {name.casefold() for name in entered}:
            return f"{record['name']} entered before"
        entered.append(record["name"])
    elif event == "answered":
        if record["name"] not in entered or record["name"] in answered:
            return f"{record['name']} did not enter, or answered before"
        answered.append(record["name"])
    elif event == "judged" and record["entrants"] != answered:
        return "those who were judged are not those who answered"
    elif event == "decision":
        about_text = record["action"] in ("accept", "reject")
        sound = record["action"] in ACTIONS and 0 <= record["place"] < items and record["reason"].strip()
        if not sound or about_text != bool(record["text"].strip()):
            return "a decision that could not have been made"
    return None
