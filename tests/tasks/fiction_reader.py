"""A second reader of fictional worlds: it knows nothing but the text that a model is given."""

from __future__ import annotations

import re
from typing import Any

NAME = r"([A-Z][a-z]{5,7})"
DATE = r"([0-9]{1,2} [A-Z][a-z]{5,7} [0-9]{4})"
TITLE = rf"[Tt]he {NAME} ([a-z]+)"
COUNT = r"([0-9]{2,3}) [a-z]+"

HOUSES: list[tuple[str, tuple[str, ...]]] = [
    (
        rf"On {DATE} {TITLE} opened in {NAME}; its founder, {NAME}, had filled it with {COUNT}\.",
        ("opened", "name", "kind", "town", "founder", "stock"),
    ),
    (
        rf"{NAME} founded {TITLE}, which opened in {NAME} on {DATE} and kept {COUNT}\.",
        ("founder", "name", "kind", "town", "opened", "stock"),
    ),
    (
        rf"In {NAME} I stood before {TITLE}, founded by {NAME}; they told me that it opened on {DATE} and that I would "
        rf"find {COUNT} there\.",
        ("town", "name", "kind", "founder", "opened", "stock"),
    ),
    (
        rf"I counted {COUNT} in {TITLE}, a work of {NAME}; {NAME} celebrated when it opened on {DATE}\.",
        ("stock", "name", "kind", "founder", "town", "opened"),
    ),
    (
        rf"{TITLE}, {NAME}\. Founder {NAME}\. Opened on {DATE}\. Visitors find {COUNT} inside\.",
        ("name", "kind", "town", "founder", "opened", "stock"),
    ),
    (
        rf"In {NAME} visit {TITLE} with its {COUNT}, a gift of {NAME}, who saw it open on {DATE}\.",
        ("town", "name", "kind", "stock", "founder", "opened"),
    ),
]
PEOPLE: list[tuple[str, tuple[str, ...]]] = [
    (
        rf"{NAME} came from {NAME}, where the birth was entered in the year ([0-9]+), and admired {NAME} above all",
        ("name", "town", "born", "admired"),
    ),
    (
        rf"In the year ([0-9]+) {NAME} was born in {NAME}; no one did {NAME} admire as much as {NAME}\.",
        ("born", "name", "town", "name", "admired"),
    ),
    (
        rf"{NAME}, as a neighbour told me, was born in {NAME} in ([0-9]+) and admired {NAME} most of all",
        ("name", "town", "born", "admired"),
    ),
    (
        rf"They still speak of {NAME}, a child of {NAME}, born in ([0-9]+), who admired {NAME} more than anyone",
        ("name", "town", "born", "admired"),
    ),
    (
        rf"{NAME}, born ([0-9]+) in {NAME}\. Of all people, {NAME} admired {NAME} most",
        ("name", "born", "town", "name", "admired"),
    ),
    (
        rf"The town of {NAME} gave the land {NAME}, who was born in ([0-9]+) and admired {NAME} above all",
        ("town", "name", "born", "admired"),
    ),
]


def read(document: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The facts that a document states."""
    facts: dict[str, dict[str, dict[str, Any]]] = {"houses": {}, "people": {}}
    for about, patterns in (("houses", HOUSES), ("people", PEOPLE)):
        for pattern, fields in patterns:
            for match in re.findall(pattern, document):
                found = dict(zip(fields, match, strict=True))
                name = found.pop("name")
                assert name not in facts[about], "told twice"
                facts[about][name] = {k: int(v) if k in ("born", "stock") else v for k, v in found.items()}
    return facts


def reply(document: str, question: str) -> str:
    """The answer, from the words of the question: who or what is asked about, how far away, and which quantity."""
    facts = read(document)
    houses, people = facts["houses"], facts["people"]
    named = re.findall(NAME, re.sub(r"^(?:Whom|Which|Where|What|Name|Give)\b", "", question))
    named = [name for name in dict.fromkeys(named) if name in houses or name in people]
    founders = {house["founder"]: name for name, house in houses.items()}

    def year(name: str) -> int:
        return int(houses[name]["opened"][-4:])

    if "together" in question or "What is the sum" in question:
        return str(sum(houses[name]["stock"] for name in named))
    if "outnumber" in question or "How many more" in question:
        return str(houses[named[0]]["stock"] - houses[named[1]]["stock"])
    if "founders of" in question:
        born = [people[houses[name]["founder"]]["born"] for name in named]
        return str(abs(born[0] - born[1]))
    if len(named) == 2:
        numbers = [year(name) if name in houses else people[name]["born"] for name in named]
        return str(abs(numbers[0] - numbers[1]))
    (name,) = named
    if re.search("years before|years lie between", question):
        return str(year(name) - people[houses[name]["founder"]]["born"])
    if "whose founder" in question or "founded a house. What" in question:
        return str(houses[founders[people[name]["admired"]]]["stock"])
    if name in founders and "founded" in question and "born" not in question:
        return str(houses[founders[name]]["town"])
    if name in houses and "founder of" in question and not question.startswith("Name the founder of"):
        name = houses[name]["founder"]
        if re.search("admired one person|person born whom", question):
            name = people[name]["admired"]
    if name in houses:
        house = houses[name]
        wanted = {"found": "founder", "town": "town", "date": "opened", "many|number": "stock"}
        return str(next(house[field] for words, field in wanted.items() if re.search(words, question)))
    person = people[name]
    if re.search(r"\byear\b", question):
        return str(person["born"])
    return str(person["town"] if "town" in question else person["admired"])
