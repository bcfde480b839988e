"""report.html of a sealed round: one self-contained page made from the dict of report.json and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whetstone.evals.page.frame import Facts, clipped, figure, fill
from whetstone.evals.page.numbers import (
    VERDICT_WORDS,
    VERDICTS,
    accuracy,
    percent,
    probability,
    signed,
    tied,
    verdict_shares,
)
from whetstone.evals.rounds import charts

Row = Mapping[str, Any]

DECLARED = {
    "trained": "trained on this level",
    "task only": "other levels of this task",
    "no": "not trained on it",
    "undeclared": "not declared",
}
MARKS = {"gain": "good", "loss": "bad"}  # what a sentence about a pair is marked with; all else leaves it open
ACTIONS = {"keep": "stays in", "drop": "left the round", "accept": "counts as right", "reject": "counts as wrong"}
COMMANDS = (
    ("Make everything anew from the manifest and the secret, and compare byte by byte:", "whet round verify DIR"),
    ("Let the entrants answer 20 of the problems again:", "whet round verify DIR --rerun 20"),
    ("Look at one problem with all answers to it, without names:", "whet round appeal DIR PROBLEM"),
    ("Make this page anew:", "whet round report DIR"),
)


def render(report: dict[str, Any]) -> str:
    """The page as text, UTF-8 safe. Equal reports give equal bytes."""
    controls = {entrant["name"]: entrant["control"] for entrant in report["entrants"]}
    return fill(
        "evals/rounds/page.html.j2",
        "evals/rounds/page.css",
        title=report["title"] or "Sealed round",
        created=report["created"],
        mood=_mood(report),
        lines=_lines(report),
        weakest=tied(report["weakest_link"]),
        chips=_chips(report),
        forest=_forest(report),
        strata=[_stratum(place, stratum, controls) for place, stratum in enumerate(report["strata"])],
        links=[tied(link) for link in report["links"]],
        entrants=[_entrant(entrant) for entrant in report["entrants"]],
        decisions=[_decision(decision) for decision in report["decisions"]],
        history=_history(report),
        provenance=_provenance(report),
        commands=[*COMMANDS[:1], _published(report), *COMMANDS[1:]],
    )


# -- the head ------------------------------------------------------------------------------------------------


def _pairs(report: Row) -> list[Row]:
    return [pair for stratum in report["strata"] for pair in stratum["pairs"]]


def _mood(report: Row) -> str:
    """The colour of the head: of success only where every pair is a gain."""
    words = {pair["verdict"] for pair in _pairs(report)}
    return {frozenset({"gain"}): "up", frozenset({"loss"}): "down"}.get(frozenset(words), "mixed")


def _lines(report: Row) -> list[dict[str, str]]:
    compared = [*_pairs(report), *filter(None, report["reading"].values())]  # as `words.verdict_lines` goes
    kinds = [MARKS.get(each["verdict"], "open") for each in compared]
    lines = report["verdict"]
    if len(kinds) != len(lines):  # somebody else's sentences
        kinds = ["open"] * len(lines)
    return [{"kind": kind, "text": tied(line)} for kind, line in zip(kinds, lines, strict=True)]


def _chips(report: Row) -> list[str]:
    decoding, strata = report["decoding"], report["strata"]
    samples, warmth = decoding["samples"], decoding["temperature"]
    problems = sum(stratum["n"] for stratum in strata)
    return [
        "sealed round",
        _count(len(report["entrants"]), "entrant"),
        f"{_count(problems, 'problem')} in {_count(len(strata), 'stratum', 'strata')}",
        f"{_count(samples, 'answer')} to each, {f'at temperature {warmth:g}' if warmth else 'greedy'}",
        f"prompt style “{decoding['style']}”",
        "with a public beacon" if report["beacon"] else "no public beacon",
        *([_count(len(report["decisions"]), "decision")] if report["decisions"] else []),
    ]


def _forest(report: Row) -> dict[str, Any] | None:
    svg = charts.forest(report)
    if svg is None:
        return None
    against = charts.common_before(report)
    which = "The first named minus the second" if against is None else f"Each minus {against}"
    caption = f"{which}, on the same problems, in points. Bars: 95 % intervals. Unclear: not distinguishable."
    alt = "; ".join(report["verdict"])
    return figure("forest", "Each declared pair", svg, caption, "", alt=f"Differences with intervals: {alt}")


# -- a stratum -----------------------------------------------------------------------------------------------


def _stratum(place: int, stratum: Row, controls: Mapping[str, str]) -> dict[str, Any]:
    kind, colon, rest = str(stratum["means"]).partition(": ")
    tables = [_accuracies(stratum, controls), _pair_table(stratum), _verdict_table(stratum), _parts(stratum)]
    return {
        "title": f"Stratum {stratum['stratum']}{colon}{kind if colon else ''}",
        "says": (rest[:1].upper() + rest[1:] if colon else kind) + ".",
        "facts": _facts(stratum),
        "figures": _figures(f"s{place}", stratum, controls),
        "tables": [table for table in tables if table["rows"]],
    }


def _facts(stratum: Row) -> Facts:
    asked = [
        f"{_part(part)[0]}: {part['n']}{_part(part)[1]}{', sealed until the reveal' if part['sealed'] else ''}"
        for part in stratum["parts"]
    ]
    rows = [("problems that count", str(stratum["n"])), ("asked", "; ".join(asked))]
    if stratum["dropped"]:
        rows.append(("left out by decisions", str(stratum["dropped"])))
    if stratum["clusters"] and stratum["clusters"] < stratum["n"]:
        rows.append(("groups that share wording or document", str(stratum["clusters"])))
    return rows


def _figures(name: str, stratum: Row, controls: Mapping[str, str]) -> list[dict[str, Any]]:
    scores = {entrant: row["accuracy"] for entrant, row in stratum["entrants"].items()} | stratum["baselines"]
    told = "; ".join(f"{who} {accuracy(score)}" for who, score in scores.items())
    figures = [
        figure(
            "accuracy",
            "How often right",
            charts.accuracies(f"{name}-dots", stratum, controls),
            "Entrants as they entered, then answers that do not read the question. Bars: 95 % intervals.",
            "",
            alt=f"Accuracies with intervals: {told}",
        ),
        figure(
            "verdicts",
            "What the answers were",
            charts.verdict_mix(f"{name}-mix", stratum),
            "The five verdicts on every answer, after all decisions. Only right counts.",
            "",
            alt=f"Shares of verdicts: {charts.mix_in_words(stratum)}",
        ),
    ]
    figures += [each for kind in ("pass_at_k", "pass_hat_k") if (each := _tries(name, stratum, kind))]
    if svg := charts.overlap(f"{name}-overlap", stratum):
        caption = (
            "Share right: problems of the entrant's own list of training (diamond) and all others (dot). "
            "Entrants without such a list are not here."
        )
        alt = "; ".join(f"{who}: {_seen(row)}" for who, row in stratum["entrants"].items() if row["overlap"])
        figures.append(figure("overlap", "Overlap with training", svg, caption, "", alt=f"Overlap: {alt}"))
    if svg := charts.reliabilities(f"{name}-reliability", stratum):
        caption = _calibration(stratum)
        more = {"wide": True, "panels": True, "alt": f"Reliability diagrams. {caption}"}
        figures.append(figure("reliability", "Does confidence come true?", svg, caption, "", **more))
    return figures


def _tries(name: str, stratum: Row, kind: str) -> dict[str, Any] | None:
    svg = charts.tries(f"{name}-{kind.replace('_', '-')}", stratum, kind)
    if svg is None:
        return None
    title, words = {
        "pass_at_k": ("pass@k: one of k is right", "Chance that at least one of k answers is right."),
        "pass_hat_k": ("pass^k: all of k are right", "Chance that all of k answers are right."),
    }[kind]
    names = [entrant for entrant, row in stratum["entrants"].items() if row.get(kind)]
    columns = {entrant: {point["k"]: point for point in stratum["entrants"][entrant][kind]} for entrant in names}
    ks = sorted({k for points in columns.values() for k in points})
    body = [[str(k), *(accuracy(columns[entrant].get(k)) for entrant in names)] for k in ks]
    return figure(kind, title, svg, f"{words} Bands: 95 %.", "", table=[["k", *names], *body])


def _calibration(stratum: Row) -> str:
    """The expected calibration errors in words."""
    told = {who: row["reliability"] for who, row in stratum["entrants"].items() if row.get("reliability")}
    errors = "; ".join(
        f"{who} {accuracy(each['ece'])}, of which up to {percent(each['ece_if_calibrated'])} would be luck"
        for who, each in told.items()
    )
    return (
        "Share right against the model's confidence (the geometric mean of its first answer's token probabilities), in "
        f"bins; bars: 95 % intervals. Expected calibration error: {errors}."
    )


def _accuracies(stratum: Row, controls: Mapping[str, str]) -> dict[str, Any]:
    head = ["", "right", "95 % interval", "n", "answer read", "cut off", "tokens each", "declared", "in its ledger"]
    rows = [
        [
            f"{entrant} (control)" if controls.get(entrant) else entrant,
            *_interval(row["accuracy"]),
            percent(row["extracted"]),
            percent(row["truncated"]),
            f"{row['tokens_per_answer']:.1f}",
            DECLARED.get(row["declared"], row["declared"]),
            _seen(row),
        ]
        for entrant, row in stratum["entrants"].items()
    ]
    rows += [[words, *_interval(score), *[""] * 5] for words, score in stratum["baselines"].items()]
    return {"title": "Accuracy", "note": "", "head": head, "rows": rows, "words": (7, 8)}


def _interval(score: Row) -> list[str]:
    return [percent(score["mean"]), f"{percent(score['low'])} to {percent(score['high'])}", str(score["n"])]


def _seen(row: Row) -> str:
    told = row["overlap"]
    if told is None:
        return "no ledger"
    scores = [
        f"{percent(told[key])} right {words}"
        for key, words in (("score_seen", "on these"), ("score_clean", "on the others"))
        if told[key] is not None and told["seen"]
    ]
    return "; ".join([f"{told['seen']} of {told['of']}", *scores])


def _pair_table(stratum: Row) -> dict[str, Any]:
    head = ["", "difference", "95 % interval", "after Holm", "test", "gained, lost", "would have been seen", "verdict"]
    rows = [
        [
            f"{pair['after']} against {pair['before']}",
            signed(pair["mean"]),
            f"{signed(pair['low'])} to {signed(pair['high'])}",
            tied(probability(pair["p_holm"])),
            pair["test"],
            "{}, {}".format(*pair["discordant"]),
            f"{100 * pair['minimum_detectable']:.1f}",
            pair["verdict"],
        ]
        for pair in stratum["pairs"]
    ]
    note = "In points, on the same problems. Gained and lost: problems on which the first named did better, and worse."
    return {"title": "Pairs", "note": note, "head": head, "rows": rows, "words": (4, 7)}


def _verdict_table(stratum: Row) -> dict[str, Any]:
    rows = [
        [entrant, *(f"{row['verdicts'].get(verdict, 0):,}" for verdict in VERDICTS)]
        for entrant, row in stratum["entrants"].items()
        if verdict_shares(row)
    ]
    head = ["", *(VERDICT_WORDS.get(verdict, verdict) for verdict in VERDICTS)]
    return {"title": "Verdicts, in answers", "note": "", "head": head, "rows": rows, "words": ()}


def _parts(stratum: Row) -> dict[str, Any]:
    """How often right at each task; nothing where the stratum has one."""
    names = list(stratum["entrants"])
    rows = []
    if len(stratum["parts"]) > 1:
        for place, part in enumerate(stratum["parts"]):
            scores = [stratum["entrants"][name]["parts"][place]["accuracy"] for name in names]
            cells = ["no problem left" if score is None else tied(accuracy(score)) for score in scores]
            n = next((score["n"] for score in scores if score is not None), 0)
            rows.append(["".join(_part(part)), str(n), *cells])
    return {"title": "Task by task", "note": "", "head": ["", "n", *names], "rows": rows, "words": ()}


def _part(part: Row) -> tuple[str, str]:
    """Task and level, and how it is asked where that is not the round's own way."""
    return f"{part['task']} level {part['level']}", f", asked “{part['style']}”" if part.get("style") else ""


# -- who, and from where -------------------------------------------------------------------------------------


def _entrant(entrant: Row) -> dict[str, Any]:
    trained, served = entrant["trained_on"], (entrant["backend"] or {}).get("served")
    rows = [
        ("model", f"{entrant['model']} ({served})" if served else entrant["model"]),
        ("weights, Merkle root", entrant["weights"] or "hosted: nobody can prove which weights answered"),
        ("adapter of", entrant["base"]),
        ("declares to be trained on", _trained(trained)),
        ("problems in its list of training", f"{entrant['trained_problems']:,}"),
        ("looks at these tasks before", str(entrant["looks"])),
    ]
    control = entrant["control"]
    return {"name": entrant["name"], "control": control, "facts": [(what, words) for what, words in rows if words]}


def _trained(trained: Mapping[str, Sequence[int]] | None) -> str:
    if trained is None:
        return "not declared"
    return "; ".join(f"{task}, level {_listed(levels)}" for task, levels in trained.items()) or "none of the tasks"


def _listed(levels: Sequence[int]) -> str:
    return ", ".join(str(level) for level in levels)


def _decision(decision: Row) -> dict[str, Any]:
    return {
        "place": str(decision["place"]),
        "action": ACTIONS.get(decision["action"], decision["action"]),
        "text": clipped(decision["text"]) if decision["text"] else None,
        "reason": decision["reason"],
    }


def _history(report: Row) -> Facts:
    past = report["history"]
    return [
        ("rounds on this machine, this one included", str(past["rounds"])),
        ("of these voided", str(past["voided"])),
        ("begun, and not revealed", str(past["unfinished"])),
        ("problems that an earlier round used", str(past["retired_before"])),
        ("entered, but gave no answers", ", ".join(report["without"]) or "nobody"),
    ]


def _provenance(report: Row) -> Facts:
    return [
        ("round", report["round"]),
        ("begun", report["created"]),
        ("log, at the verdicts", report["judged"]),
        ("public beacon", report["beacon"] or "none"),
        ("Whetstone", report["whetstone"]),
        ("commit", report["commit"] or "unknown"),
    ]


def _published(report: Row) -> tuple[str, str]:
    return (
        "Check that the log holds a hash that was published:",
        f"whet round verify DIR --published {report['judged']}",
    )


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"
