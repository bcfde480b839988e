"""Second solvers of the worlds. Each reads nothing but the prompt, and works the answer out in another way."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from math import prod

NAME = r"[a-z]{6,8}"
PERSON = r"[A-Z][a-z]{5,7}"


def words(text: str) -> list[str]:
    """The items of "a, b and c"."""
    return [word for word in re.split(r",\s*|\s+and\s+|\s+", text.strip()) if word]


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, (pattern, text)
    return match[1]


def operator(text: str) -> str:
    """Python evaluates the expression, with the operation as an operator of a class."""
    name = found(rf'(?:"x|learn to|button called) ({NAME})', text)
    asked = found(r"(?:What is|get for|show for) (.*)\?$", text)
    numbers = [int(n) for n in re.findall(r"[0-9]+", text.split("?")[0].replace(asked, ""))]
    left, right, plus, *divisor = numbers

    class N:
        def __init__(self, value: int) -> None:
            self.value = value

        def __matmul__(self, other: N) -> N:
            value = plus + right * other.value + left * self.value
            return N(value - value // divisor[0] * divisor[0] if divisor else value)

    expression = re.sub(r"[0-9]+", lambda number: f"N({number[0]})", asked).replace(name, "@")
    return str(eval(expression, {"N": N}).value)


def combining(text: str) -> str:
    rule = r"\b([a-z]) (?:with|then|who meets a) ([a-z]) (?:gives|turns into|becomes a) ([a-z])\b"
    table = {(x, y): z for x, y, z in re.findall(rule, text)}
    first = found(r"(?:Begin with|has paint|\. A) ([a-z])\b", text)
    rest = found(r"(?:join it with|On top go|\. A [a-z] meets) (.*?)(?:, one after|, in this)", text)
    return reduce(lambda x, y: table[x, y], [word for word in words(rest) if f"a {word}" in rest or word != "a"], first)


def rewriting(text: str) -> str:
    """Every letter of the first word grows on its own."""
    rules = dict(re.findall(r"\b([a-z]) (?:->|becomes) ([a-z]+)", text))
    rules |= {old: new for new, old in re.findall(r"\b([a-z]+) for ([a-z])\b", text)}
    start = found(r"(?:to the word|begins as|first word reads) ([a-z]+)", text)
    rounds = int(found(r"([0-9]+) (?:time|day)", text))

    def grown(letter: str, left: int) -> str:
        return letter if left == 0 else "".join(grown(new, left - 1) for new in rules[letter])

    return "".join(grown(letter, rounds) for letter in start)


def derivation(text: str) -> str:
    """The leftmost derivation is a walk through a tree, depth first."""
    rules = {
        number: side
        for number, _, side in re.findall(
            r"([0-9])[):]+ (?:a |for )?([P-W]) (?:->|gives way to|write) ([a-zP-W]+)", text
        )
    }
    start = found(r"(?:Begin with|begins as|paper stands) ([P-W])", text)
    order = iter(re.findall("[0-9]", found(r"(?:the rules|the plans|the steps) ([0-9, and]+?),? in this order", text)))

    def written(symbol: str) -> str:
        return "".join(map(written, rules[next(order)])) if symbol.isupper() else symbol

    return written(start)


def automaton(text: str) -> str:
    """Letters are maps of states; the maps are joined from the right end before any state is put in."""
    rule = rf"({NAME}) (?:the letter|door|creature that hears) ([a-z]) (?:leads to|opens into|turns) ({NAME})"
    moves = {(state, letter): to for state, letter, to in re.findall(rule, text)}
    word = found(r"(?:and reads|takes the doors|and hears) ([a-z](?: [a-z])*)\b[,.]", text).split()
    start = found(rf"(?:starts in|stands in|feels) ({NAME})", text)
    states = {state for state, _ in moves}
    joined = {state: state for state in states}
    for letter in reversed(word):
        joined = {state: joined[moves[state, letter]] for state in states}
    return joined[start]


def numerals(text: str) -> str:
    """By way of ordinary numbers."""
    digits = [word for word, _ in sorted(re.findall(rf"({NAME}) for ([0-9])", text), key=lambda pair: pair[1])]
    base = int(found(r"(?:base|counts) ([0-9]+)", text))
    assert base == len(digits)
    numbers = re.findall(r'"([a-z ]+)"', text)
    assert len(numbers) == 2
    total = sum(int("".join(str(digits.index(word)) for word in number.split()), base) for number in numbers)
    result = []
    while total:
        result.append(digits[total % base])
        total //= base
    return " ".join(reversed(result))


def language(text: str) -> str:
    """Every word gets a place by the stated order, and the words are sorted by it."""
    meanings = dict(re.findall(rf"\b([a-z]+) (?:=) ({NAME})", text))
    meanings |= {english: said for said, english in re.findall(rf"({NAME}) (?:for|means) ([a-z]+)", text)}
    parts = {part: place for place, part in enumerate(order_of_parts(text))}
    sentence = re.findall(r'"(the [a-z ]+)"', text)[0].split()
    pasts = {"saw": "see", "heard": "hear", "found": "find", "taught": "teach"}
    middle = sentence.index("the", 1) - 1
    after = -1 if "stands right after" in text else 1
    placed: list[tuple[int, int, str]] = []
    for part, phrase in (("subject", sentence[1:middle]), ("object", sentence[middle + 2 :])):
        *adjectives, noun = phrase
        if noun not in meanings:
            noun = noun.removesuffix("s")
            placed.append((parts[part], -9, found(rf"the plural, the word ({NAME})", text)))
        placed.append((parts[part], 0, meanings[noun]))
        placed += [(parts[part], -after, meanings[adjective]) for adjective in adjectives]
    verb = sentence[middle]
    verbs = (pasts.get(verb, verb), verb, verb.removesuffix("ed"), verb.removesuffix("d"), verb.removesuffix("s"))
    stem = next(form for form in (*verbs, verb.removesuffix("es")) if form in meanings)
    placed.append((parts["verb"], 0, meanings[stem]))
    if "the past is shown" in text:
        placed.append((9, 0, found(rf"past is shown by the word ({NAME})", text)))
    return " ".join(word for *_, word in sorted(placed))


def order_of_parts(text: str) -> list[str]:
    if match := re.search(r"The (\w+) comes first, then the (\w+), then the (\w+)", text):
        return list(match.groups())
    if match := re.search(r"begin with the (\w+), go on with the (\w+) and close with the (\w+)", text):
        return list(match.groups())
    match = re.search(r"the (\w+) stands last, the (\w+) first and the (\w+) between", text)
    assert match is not None
    return [match[2], match[3], match[1]]


def deck(text: str) -> str:
    """Where each card goes, one card after the other."""
    cards = found(r"(?:reads|coats are|colours are) ([a-z ]+)\.", text).split()
    size = len(cards)
    moves: dict[str, Callable[[int], int]] = {}
    for name, meaning in re.findall(rf'"({NAME})" means: ([^;.]+)[;.]', text):
        numbers = [int(number) for number in re.findall("[0-9]+", meaning)]
        moves[name] = place_after(meaning, numbers, size)
    order = words(found(r"(?:dealer does|guard calls|carries out) (.*?), in this order", text))
    places = {reduce(lambda place, name: moves[name](place), order, i): card for i, card in enumerate(cards, start=1)}
    return " ".join(places[i] for i in range(1, size + 1))


def place_after(meaning: str, numbers: list[int], size: int) -> Callable[[int], int]:
    if "opposite" in meaning:
        return lambda place: numbers[0] + 1 - place if place <= numbers[0] else place
    if "to the end" in meaning:
        return lambda place: (place - numbers[0] - 1) % size + 1
    return lambda place: {numbers[0]: numbers[1], numbers[1]: numbers[0]}.get(place, place)


def kinship(text: str) -> str:
    """Relations as tables of everybody, joined before anybody is asked about."""
    bonds: dict[str, dict[str, str]] = {}
    for relation, one, other in [
        *re.findall(rf"the ({NAME}) of ({PERSON}) is ({PERSON})", text),
        *(
            (relation, one, other)
            for one, relation, other in re.findall(rf"for ({PERSON}) the ({NAME}) is ({PERSON})", text)
        ),
        *(
            (relation, one, other)
            for one, other, relation in re.findall(rf"({PERSON}) calls ({PERSON}) ({NAME})", text)
        ),
    ]:
        bonds.setdefault(relation, {})[one] = other
    making = (
        rf"The ({NAME}) of a person is the ({NAME}) of that person's ({NAME})\.",
        rf"Whoever a person calls ({NAME}), that is the one who is called ({NAME}) by the person's ({NAME})\.",
        rf"Your ({NAME}) is the ({NAME}) of your ({NAME})\.",
    )
    for pattern in making:
        for made, outer, inner in re.findall(pattern, text):
            bonds[made] = {one: bonds[outer][bonds[inner][one]] for one in bonds[inner]}
    chain, of = re.findall(rf"((?:the {NAME} of )+)({PERSON})[?.]$", text)[0]
    whole = {one: one for one in bonds[next(iter(bonds))]}
    for relation in re.findall(rf"the ({NAME}) of", chain)[::-1]:
        whole = {one: bonds[relation][other] for one, other in whole.items()}
    return whole[of]


def walker(text: str) -> str:
    """Places and headings as complex numbers."""
    place = complex(int(found(r"x = ([0-9]+)", text)), int(found(r"y = ([0-9]+)", text)))
    heading = {"north": 1j, "east": 1, "south": -1j, "west": -1}[
        found(r"(?:looks|to the|faces) (north|east|south|west)\.", text)
    ]
    rules = dict(re.findall(rf"({NAME}): the \w+ (turns \w+|goes [0-9]+ \w+)", text))
    for name in words(found(r"(?:commands|shouts|does) ([a-z, ]+?)(?:\. At which|, one after|, in this)", text)):
        _, what, *way = rules[name].split()
        if what in ("left", "right"):
            heading *= 1j if what == "left" else -1j
        else:
            place += heading * int(what) * (1 if way == ["forward"] else -1)
    return str(int(place.real if found(r"At which ([xy])", text) == "x" else place.imag))


def machine(text: str) -> str:
    """The program is turned into one expression, which Python evaluates."""
    meanings = {
        "push": r"puts the number|lays a plate|write the number",
        "+": r"their sum",
        "*": r"their product",
        "-": r"lower (?:one|number) minus the top|second last minus the last",
        "copy": r"another copy|same number as|once more",
        "exchange": r"exchanges|change places",
    }
    rules_text, program = re.split(r"The program reads: |The cook hears: |The master says: ", text)
    rules = (
        re.split(r"; ", rules_text.split(": " if "Its instructions" not in text else "instructions: ", 1)[1])
        if ("mean:" not in text)
        else rules_text.split("mean: ")[1].split("; ")
    )
    if "The orders: " in rules_text:
        rules = rules_text.split("The orders: ")[1].split("; ")
    codes: dict[str, str] = {}
    for rule in rules:
        name = found(rf"^(?:at )?({NAME})", rule)
        (codes[name],) = [action for action, pattern in meanings.items() if re.search(pattern, rule)]
    stack: list[str] = []
    for line in program.split(". ")[0].split(", "):
        name, *number = line.split()
        action = codes[name]
        if action == "push":
            stack.append(number[0])
        elif action == "copy":
            stack.append(stack[-1])
        elif action == "exchange":
            stack[-2:] = stack[:-3:-1]
        else:
            stack[-2:] = [f"({stack[-2]} {action} {stack[-1]})"]
    return str(eval(stack[-1]))


def units(text: str) -> str:
    """Everything in the smallest unit at once: amounts times the product of the factors below them."""
    rules = [(a, int(n), b) for a, n, b in re.findall(rf"(?:1|a) ({NAME}) (?:=|holds) ([0-9]+) ({NAME})", text)]
    rules += [(a, int(n), b) for n, b, a in re.findall(rf"([0-9]+) ({NAME}) buy one ({NAME})", text)]
    assert all(upper[2] == lower[0] for upper, lower in pairwise(rules))
    worth = {name: prod(n for _, n, _ in rules[i:]) for i, (name, _, _) in enumerate(rules)} | {rules[-1][2]: 1}
    asked = text.split(". ", 1)[1]
    amounts = [int(n) * worth[name] for n, name in re.findall(rf"([0-9]+) ({NAME})", asked)]
    half = len(amounts) // 2
    two = re.search(r"exceed|spends|carried out", asked)
    return str(sum(amounts[:half]) - sum(amounts[half:]) if two else sum(amounts))


READERS: dict[str, Callable[[str], str]] = {
    reader.__name__: reader
    for reader in (
        operator,
        combining,
        rewriting,
        derivation,
        automaton,
        numerals,
        language,
        deck,
        kinship,
        walker,
        machine,
        units,
    )
}
