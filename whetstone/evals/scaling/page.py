"""scale.html: one self-contained page from what scale.json holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whetstone.evals.page.frame import Facts, figure, fill
from whetstone.evals.page.numbers import accuracy, percent, probability, tied
from whetstone.evals.scaling import charts
from whetstone.evals.scaling.sentences import UNITS, answer, big, count, points_between

Row = Mapping[str, Any]

SMALL = 200  # problems below which intervals are wide enough to be named as a weakness
GUESSABLE = 0.05
CUT = 0.1
_MARKS = {"oracle": "knows the answers", "control": "control"}
_RIVALS = {
    "greedy": "against greedy",
    "majority": "against a vote for as many tokens",
    "shuffled": "for its scores",
}
_CAPTION = (
    "Bands: 95 %, of methods that are on the front somewhere; the others are grey. Staircase: the front, where nothing "
    "is as good for less. Dashed: an oracle that knows the answers. Dotted: controls, and a guess without reading."
)


def render(result: Row) -> str:
    """The page as text, UTF-8 safe; equal results give equal bytes."""
    places = list(dict.fromkeys((each["task"], each["level"]) for each in result["measurements"]))
    sections = [_section(result, number, *place) for number, place in enumerate(places)]
    answers = [each for each in result["sentences"] if each["kind"] == "train or think"]
    names = ", ".join(each["name"] for each in result["models"])
    return fill(
        "evals/scaling/page.html.j2",
        "evals/scaling/page.css",
        title=f"What thinking longer buys: {names}",
        created=result["created"],
        lines=[
            {"kind": _kind(each["text"]), "text": tied(f"{_where(each)}: {each['short']}")}
            for each in (answers or result["sentences"])
        ],
        asked="Train or think longer?" if answers else "What does thinking longer buy?",
        links=[tied(link) for link in links(result)],
        chips=_chips(result),
        sections=sections,
        provenance=_provenance(result),
        command=result["command"],
    )


def _kind(text: str) -> str:
    if text.startswith(("Train", "Think")):
        return "good"
    return "open" if text.startswith("Not distinguishable") else "plain"


def _where(each: Row) -> str:
    level = "" if each["level"] is None else f" level {each['level']}"
    return f"{each['task']}{level}, {each['model']}"


def _chips(result: Row) -> list[str]:
    warmths = sorted({each["temperature"] for each in result["models"]})
    return [
        f"{result['n']} problems each",
        "budgets " + ", ".join(map(str, result["budgets"])),
        f"temperature {', '.join(f'{warmth:g}' for warmth in warmths)}",
        f"prompt style “{result['style']}”",
    ]


# -- one task at one level -----------------------------------------------------------------------------------


def _section(result: Row, number: int, task: str, level: int | None) -> dict[str, Any]:
    here = [each for each in result["measurements"] if (each["task"], each["level"]) == (task, level)]
    by_model = {each["model"]: each for each in here}
    pairs = [each for each in result["train_or_think"] if each["task"] == task and by_model.get(each["trained"])]
    pairs = [each for each in pairs if level is None or each["level"] == level]
    said = [each for each in result["sentences"] if (each["task"], each["level"]) == (task, level)]
    return {
        "title": task if level is None else f"{task}, level {level}",
        "pairs": [
            _pair(f"s{number}p{place}", each, by_model[each["base"]], by_model[each["trained"]])
            for place, each in enumerate(pairs)
        ],
        "models": [
            _model(f"s{number}m{place}", each, [s for s in said if s["model"] == each["model"]])
            for place, each in enumerate(here)
        ],
    }


def _pair(name: str, compared: Row, base: Row, trained: Row) -> dict[str, Any]:
    cost = next((cost for cost in ("flops", "seconds", "usd") if compared["by"].get(cost)), None)
    text = " ".join(answer(compared)).strip()
    told: dict[str, Any] = {
        "title": f"{compared['base']} or {compared['trained']}",
        "line": {"kind": _kind(text), "text": tied(text)},
        "figures": [],
        "facts": [],
        "table": None,
    }
    if cost is None:
        return told
    found = compared["by"][cost]
    caption = (
        f"Each model's front. Training cost {big(found['one_off'])} {UNITS[cost]}; dashed and dotted, the trained "
        "model carries its share of that for so many questions. Bars: 95 %."
    )
    drawn = charts.bargain(f"{name}-bargain", compared, base, trained, cost)
    title = f"At equal total {UNITS[cost]}"
    told["figures"] = [figure("bargain", title, drawn, caption, "", alt=text)]
    told["facts"] = [(name, tied(value)) for name, value in _pair_facts(found) if value]
    told["table"] = {
        "title": "Equal compute",
        "head": ["questions in all", f"{UNITS[cost]} for each", "base, chosen so", "right", "trained is better by", ""],
        "words": (2, 4, 5),
        "rows": [_equal_row(row) for row in found["equal_compute"]],
    }
    return told


def _pair_facts(found: Row) -> Facts:
    unit, even, target = UNITS[found["cost"]], found["break_even"], found["target"]

    def setting(row: Row | None) -> str:
        if row is None:
            return "none that was measured"
        return f"{row['name']}, {percent(row['accuracy'])}, {big(row['per_question'])} {unit} a question"

    return [
        ("training", f"{big(found['one_off'])} {unit}"),
        ("trained model", setting(target)),
        ("base, greedy", setting(found["trained_gain"])),
        ("base, at its best", setting(found["best_base"])),
        ("base, as good as the trained one", setting(found["reached_by"])),
        ("base, not distinguishably worse", setting(found["matched_by"])),
        ("training is earned back after", "" if even["questions"] is None else f"{count(even['questions'])} questions"),
        ("resamples in which the base is never as good", percent(even["unreached"], 0)),
        ("resamples in which training is never earned back", percent(even["never"], 0)),
    ]


def _equal_row(row: Row) -> list[str]:
    better = row["trained_better_by"]
    if better is None:
        return [count(row["questions"]), big(row["allowance"]), "nothing that cheap was measured", "", "", ""]
    chosen = " or ".join(dict.fromkeys(row["base"]))
    said = {"gain": "train", "loss": "think"}.get(better["verdict"], better["verdict"])
    beyond = f"{said}; the base could spend more than was measured" if row["beyond"] else said
    cells = [count(row["questions"]), big(row["allowance"]), chosen, percent(row["accuracy"]), points_between(better)]
    return [tied(cell) for cell in [*cells, beyond]]


def _model(name: str, measured: Row, said: Sequence[Row]) -> dict[str, Any]:
    lines = [{"kind": "plain", "text": tied(each["text"])} for each in said if each["kind"] != "train or think"]
    if measured["uncounted"]:
        told = (
            f"Of {measured['uncounted']} answers the endpoint did not say how many tokens they took: costs are too low."
        )
        lines.append({"kind": "plain", "text": tied(told)})
    if (made := measured["verifier"]) is not None:
        cost = f"{big(made['tokens'])} tokens, {big(made['flops'])} FLOPs"
        told = f"The verifier “head” was made from {made['problems']} problems of {made['task']} level {made['level']}"
        text = f"{told}, {made['samples']} samples each: {cost} once, which the curves do not carry."
        lines += [{"kind": "plain", "text": tied(each)} for each in (text, *made["words"])]
    lines += [{"kind": "plain", "text": tied(f"Threshold: {each['says']}.")} for each in measured["calibrations"]]
    lines += [{"kind": "plain", "text": tied(text)} for text in [_knees(measured), _guess(measured)] if text]
    alt = "; ".join(f"{row['name']} {accuracy(row['accuracy'])}" for row in measured["points"])
    figures = []
    for cost, words in UNITS.items():
        drawn = charts.trade(f"{name}-{cost}", measured, cost)
        if drawn is not None or cost != "usd":
            absent = f"{words} are not known here."
            figures.append(figure(cost, f"Accuracy against {words}", drawn, "", absent, alt=alt))
    figures.sort(key=lambda one: list(charts.AXES).index(one["name"]))
    figures[0]["caption"] = _CAPTION
    if len(figures) % 2:
        drawn = charts.samples(f"{name}-samples", measured)
        note = "The five verdicts over all samples, before anything is chosen among them."
        figures.append(figure("samples", "What the samples were", drawn, note, "No pool was drawn.", alt="verdicts"))
    return {
        "title": measured["model"],
        "lines": lines,
        "figures": figures,
        "table": _table(measured),
        "left_out": [f"{each['method']}: {each['why']}" for each in measured["left_out"]],
    }


def _knees(measured: Row) -> str:
    shown = {row["method"] for row in measured["points"] if "tokens" in row["front"]}
    told = [
        f"{each['method']} at {big(each['tokens'])} tokens"
        + (f" ({each['name']}, still rising at its end)" if each["rising"] else f" ({each['name']})")
        for each in measured["knees"]
        if each["method"] in shown
    ]
    return f"95 % of its own best is reached by {'; '.join(told)}." if told else ""


def _guess(measured: Row) -> str:
    guess = measured["guess"]
    if guess is None or guess["accuracy"]["mean"] < GUESSABLE:
        return ""
    most = max((row["budget"] for row in measured["points"] if row["kind"] == "oracle"), default=1)
    lucky = 1 - (1 - guess["accuracy"]["mean"]) ** most
    return (
        f"A guess that reads nothing ({guess['text']}) is right in {percent(guess['accuracy']['mean'])}: answers are "
        f"few here, and {most} blind guesses would contain a right one in up to {percent(lucky)}."
    )


def _table(measured: Row) -> dict[str, Any]:
    known = [cost for cost in charts.AXES if any(cost in row["costs"] for row in measured["points"])]
    failing = any(row["failures"] for row in measured["points"])
    rivals = [name for name in _RIVALS if any(row[f"versus_{name}"] for row in measured["points"])]
    head = ["setting", "right (95 %)", *known, *(_RIVALS[name] for name in rivals)]
    head = [{"flops": "FLOPs", "usd": "USD"}.get(name, name) for name in head]
    rows = []
    for row in measured["points"]:
        mark = f" ({_MARKS[row['kind']]})" if row["kind"] in _MARKS else " ●" if row["front"] else ""
        cells = [row["name"] + mark, accuracy(row["accuracy"])]
        cells += [big(row["costs"][cost]["mean"]) if cost in row["costs"] else "" for cost in known]
        cells += [_versus(row[f"versus_{rival}"], rival) for rival in rivals]
        cells += [", ".join(f"{share:.2g} {kind}" for kind, share in row["failures"].items())] if failing else []
        rows.append([tied(cell) for cell in cells])
    head += ["failed, of one question"] if failing else []
    words = tuple(range(2 + len(known), len(head)))
    return {"title": f"{measured['model']} on {measured['task']}", "head": head, "words": words, "rows": rows}


def _versus(difference: Row | None, rival: str) -> str:
    if difference is None:
        return ""
    said = f"{points_between(difference).replace(' points', '')}, "
    clear = difference["verdict"] in ("gain", "loss")
    said += f"{difference['verdict']}, {probability(difference['p_holm'])}" if clear else "unclear"
    if rival != "majority":
        return said
    ratio = difference["tokens_ratio"]
    near = "" if 0.8 < ratio < 1.25 else f", {ratio:.2g} times its tokens"
    return f"{said}; {difference['rival']}{near}"


# -- around it -----------------------------------------------------------------------------------------------


def links(result: Row) -> list[str]:
    """What to hold against it, weakest first; never empty."""
    found = []
    failed = sum(sum(each["failures"].values()) for m in result["measurements"] for each in m["pools"])
    if failed:
        found.append("an endpoint refused or did not answer now and then: what never came counts as not right")
    cut = [each for m in result["measurements"] for each in m["pools"] if each["truncated"] > CUT]
    if cut:
        worst = max(each["truncated"] for each in cut)
        found.append(
            f"up to {percent(worst)} of the samples were cut off at the room for an answer, which thinking has more of"
        )
    if result["n"] < SMALL:
        found.append(f"{result['n']} problems for each curve: the intervals are wide")
    found.append("the best of many settings is picked on the problems that it is shown on, which flatters it a little")
    if result.get("seed_note"):
        found.append(str(result["seed_note"]))
    points = [row for measured in result["measurements"] for row in measured["points"]]
    runs = sorted({row["method"] for row in points if row["how"] == "run" and row["method"] != "greedy"})
    if runs:
        found.append(f"{', '.join(runs)}: one run each, whose luck with samples is not averaged as it is for votes")
    found.append("seconds are shares of full batches, as a busy server spends them; one question alone waits longer")
    return found


def _provenance(result: Row) -> Facts:
    rows: list[tuple[str, Any]] = []
    for each in result["models"]:
        rows.append((each["name"], f"{each['identity']}, temperature {each['temperature']:g}"))
        if trained := each["trained"]:
            rows.append((f"{each['name']}: training", _training(trained)))
        if (backend := each["backend"]) is not None:
            told = f"{backend['usage']['requests']} requests, failures {backend['failures'] or 'none'}"
            rows.append((f"{each['name']}: endpoint", told))
    rows += [
        (f"price of {each['model']}", ", ".join(f"{k} {v}" for k, v in each.items() if k != "model"))
        for each in result["prices"]
    ]
    if not result["prices"]:
        rows.append(("prices", "none given (--prices), so money is left out"))
    looks = [each["looks"]["weights"] for each in result["measurements"] if each["looks"]]
    rows += [
        ("looks at these tasks with these weights, these included", max(looks) if looks else None),
        ("seed", result["seed"]),
        ("commitment of the problems' key", result["key"]),
        ("machine", result["machine"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in result["versions"].items())),
    ]
    return [(name, str(value)) for name, value in rows if value is not None]


def _training(trained: Row) -> str:
    told = (
        f"{trained['steps']} steps on {trained['task']} level {trained['level']}, {trained['generated_tokens']:,} "
        f"tokens written and {trained['trained_tokens']:,} trained on in {big(trained['seconds'])} seconds"
    )
    if trained["cost"] is None:
        return told
    flops = trained["cost"]["flops"]
    return f"{told}: {big(flops['rollouts'])} FLOPs of rollouts and {big(flops['updates'])} of updates"
