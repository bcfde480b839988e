"""From answers and verdicts to report.json: each stratum apart, intervals, pairs, baselines, overlap, and in words
which link of the chain is the weakest."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whetstone.evals.rounds.chain import Record, read_chain
from whetstone.evals.rounds.draw import Item
from whetstone.evals.rounds.entrants import Entrant
from whetstone.evals.rounds.judging import Rulings, decisions, rulings
from whetstone.evals.rounds.manifest import STRATA, Part
from whetstone.evals.rounds.words import links, verdict_lines
from whetstone.evals.statistics.intervals import accuracy_interval
from whetstone.evals.statistics.pairs import compare, holm, reading
from whetstone.evals.statistics.reliability import reliability
from whetstone.evals.statistics.repeated import pass_at_k_curve, pass_hat_k_curve
from whetstone.tasks.baselines import majority_answer
from whetstone.tasks.keys import Stream
from whetstone.tasks.ledger import Ledger
from whetstone.tasks.task import Task, Verdict, judge

if TYPE_CHECKING:
    from whetstone.evals.rounds.round import Round

DIGITS = (
    6  # significant ones of every number in the report: another machine's last bits must not make a round look forged
)
BASELINE_KEY = b"whetstone round baselines"
BASELINE_PROBLEMS = 300
SHOTGUN = 10  # answers at once


@dataclass(frozen=True)
class Sheet:
    """One entrant's answers to the problems that stayed in the round, with the verdicts after all decisions."""

    entrant: Entrant
    ledger: Ledger
    answers: dict[int, list[dict[str, Any]]]
    verdicts: dict[int, list[str]]

    def score(self, item: Item) -> float:
        """The share of the item's answers that are right."""
        verdicts = self.verdicts[item.place]
        return verdicts.count(Verdict.RIGHT) / len(verdicts)


def score(round_: Round) -> dict[str, Any]:
    """The whole report of a revealed round: a pure function of the files in its folder."""
    parts, tasks = round_.parts(), round_.tasks()
    everything = round_.items()
    decided = decisions(round_.log)
    ruled = rulings(decided, everything, tasks)
    items = [item for item in everything if item.place not in ruled.dropped]
    sheets = [sheet_of(round_, entrant, everything, tasks, ruled) for entrant in judged_entrants(round_)]
    strata = []
    for name in dict.fromkeys(part.stratum for part in parts):
        chosen = [item for item in items if parts[item.part].stratum == name]
        of = [part for part in parts if part.stratum == name]
        dropped = sum(parts[everything[place].part].stratum == name for place in ruled.dropped)
        if chosen:
            strata.append(_stratum(name, of, parts, tasks, chosen, sheets, round_) | {"dropped": dropped})
    _adjust(strata)
    read = [item for item in items if parts[item.part].stratum == "D"]
    guessed = [item for item in items if parts[item.part].stratum == "E"]
    m = round_.manifest
    report: dict[str, Any] = {
        "kind": "round",
        "round": m.id,
        "title": m.title,
        "created": m.created,
        "judged": round_.judged["hash"],
        "decoding": {"samples": m.samples, "temperature": m.temperature, "style": m.style},
        "whetstone": m.whetstone,
        "commit": m.commit,
        "beacon": round_.drawn["beacon"],
        "without": round_.without,
        "history": json.loads((round_.path / "history.json").read_text(encoding="utf-8")),
        "decisions": [vars(decision) for decision in decided],
        "entrants": [_about(sheet.entrant) for sheet in sheets],
        "strata": strata,
        "reading": {sheet.entrant.name: _reading(sheet, read, guessed) for sheet in sheets},
    }
    report["links"] = links(report)
    report["weakest_link"] = report["links"][0] if report["links"] else "none was found"
    report["verdict"] = verdict_lines(report)
    return _rounded(report)


def _reading(sheet: Sheet, read: Sequence[Item], guessed: Sequence[Item]) -> dict[str, Any] | None:
    """What the documents are worth: stratum D less stratum E on the problems that both ask; None where none is."""
    without = {item.problem.id: sheet.score(item) for item in guessed}
    both = [item for item in read if item.problem.id in without]
    if not both:
        return None
    return compare([without[i.problem.id] for i in both], [sheet.score(i) for i in both], clusters_of(both))


def judged_entrants(round_: Round) -> list[Entrant]:
    """Those whose answers were judged: all but who gave none in time."""
    return [entrant for entrant in round_.entrants if entrant.name in round_.judged["entrants"]]


def sheet_of(round_: Round, entrant: Entrant, items: Sequence[Item], tasks: Sequence[Task], ruled: Rulings) -> Sheet:
    """One entrant's logged answers and verdicts, with the decisions applied. `tasks`: one per part."""
    outputs: list[Record] = read_chain(round_.path / "outputs" / f"{entrant.name}.jsonl")
    judged: list[Record] = read_chain(round_.path / "verdicts" / f"{entrant.name}.jsonl")
    ledger = round_.path / "entrants" / f"{entrant.name}.ledger.json"
    verdicts = {}
    for item, output, verdict in zip(items, outputs, judged, strict=True):
        texts = [answer["text"] for answer in output["answers"]]
        verdicts[item.place] = ruled.verdicts(item, tasks[item.part], texts, verdict["verdicts"])
    return Sheet(
        entrant,
        Ledger.load(ledger) if ledger.is_file() else Ledger(),
        {record["place"]: record["answers"] for record in outputs},
        verdicts,
    )


def _about(entrant: Entrant) -> dict[str, Any]:
    told = vars(entrant) | {}
    return {name: value for name, value in told.items() if name not in ("files", "nonce", "ledger")}


def _stratum(
    name: str,
    of: Sequence[Part],
    parts: Sequence[Part],
    tasks: Sequence[Task],
    items: Sequence[Item],
    sheets: Sequence[Sheet],
    round_: Round,
) -> dict[str, Any]:
    clusters = clusters_of(items)
    scores = {sheet.entrant.name: [sheet.score(item) for item in items] for sheet in sheets}
    return {
        "stratum": name,
        "means": STRATA[name],
        "n": len(items),
        "clusters": len(set(clusters) - {""}),
        "parts": [
            {"task": part.task, "level": part.level, "n": part.n, "sealed": part.sealed, "style": part.style}
            for part in of
        ],
        "entrants": {
            sheet.entrant.name: _row(sheet, items, parts, of, scores[sheet.entrant.name], clusters) for sheet in sheets
        },
        "baselines": _baselines(items, parts, tasks),
        "pairs": [
            {"before": before, "after": after, **compare(scores[before], scores[after], clusters)}
            for before, after in _pairs([sheet.entrant.name for sheet in sheets], round_.manifest.pairs)
        ],
    }


def clusters_of(items: Sequence[Item]) -> list[str]:
    """What problems share their luck with: the wording or document, within their task and level; "" for nothing."""
    problems = [item.problem for item in items]
    return [p.cluster and f"{p.task}/{p.level}/{p.cluster}" for p in problems]


def _row(
    sheet: Sheet,
    items: Sequence[Item],
    parts: Sequence[Part],
    of: Sequence[Part],
    scores: Sequence[float],
    clusters: list[str],
) -> dict[str, Any]:
    answers = [answer for item in items for answer in sheet.answers[item.place]]
    verdicts = [verdict for item in items for verdict in sheet.verdicts[item.place]]
    mix = Counter(verdicts)
    counts = [(len(v := sheet.verdicts[item.place]), v.count(Verdict.RIGHT)) for item in items]
    row: dict[str, Any] = {
        "accuracy": accuracy_interval(scores, clusters).to_dict(),
        "verdicts": {verdict.value: mix[verdict.value] for verdict in Verdict},
        "extracted": 1 - mix[Verdict.NO_ANSWER] / len(verdicts),
        "truncated": sum(answer["finish"] == "length" for answer in answers) / len(answers),
        "tokens_per_answer": sum(answer["tokens"] for answer in answers) / len(answers),
        "parts": [_part_row(sheet, part, number, items) for number, part in enumerate(parts) if part in of],
        "overlap": _overlap(sheet, items),
        "declared": _declared(sheet.entrant, of),
    }
    if counts[0][0] > 1:
        ks = [k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256) if k <= counts[0][0]]
        row |= {
            "pass_at_k": pass_at_k_curve(counts, ks, clusters=clusters),
            "pass_hat_k": pass_hat_k_curve(counts, ks, clusters=clusters),
        }
    row["reliability"] = _reliability(sheet, items, clusters)
    return row


def _reliability(sheet: Sheet, items: Sequence[Item], clusters: list[str]) -> dict[str, Any] | None:
    """Whether answers come true as often as their tokens' mean probability says; None where no backend told it."""
    first = [sheet.answers[item.place][0]["logprob"] for item in items]
    if any(logprob is None for logprob in first):
        return None
    right = [float(sheet.verdicts[item.place][0] == Verdict.RIGHT) for item in items]
    return reliability([min(1.0, math.exp(logprob)) for logprob in first], right, clusters).to_dict()


def _part_row(sheet: Sheet, part: Part, number: int, items: Sequence[Item]) -> dict[str, Any]:
    own = [item for item in items if item.part == number]
    clusters = clusters_of(own)
    accuracy = accuracy_interval([sheet.score(item) for item in own], clusters).to_dict() if own else None
    return {"task": part.task, "level": part.level, "accuracy": accuracy}


def _overlap(sheet: Sheet, items: Sequence[Item]) -> dict[str, Any] | None:
    """Problems of the round that the entrant's ledger of training holds, and its score on these and the others."""
    if not len(sheet.ledger):
        return None
    seen = [sheet.score(item) for item in items if item.problem in sheet.ledger]
    clean = [sheet.score(item) for item in items if item.problem not in sheet.ledger]
    return {
        "seen": len(seen),
        "of": len(items),
        "score_seen": sum(seen) / len(seen) if seen else None,
        "score_clean": sum(clean) / len(clean) if clean else None,
    }


def _declared(entrant: Entrant, of: Sequence[Part]) -> str:
    """Whether the entrant says that it trained on this: "trained", "task only", "no", or "undeclared"."""
    if entrant.trained_on is None:
        return "undeclared"
    if any(part.level in entrant.trained_on.get(part.task, []) for part in of):
        return "trained"
    return "task only" if any(part.task in entrant.trained_on for part in of) else "no"


def _baselines(items: Sequence[Item], parts: Sequence[Part], tasks: Sequence[Task]) -> dict[str, Any]:
    """What answers score that do not read the question: the most frequent answer of other problems, nothing, and many
    answers at once."""
    said: dict[int, dict[str, str]] = {}
    for number in sorted({item.part for item in items}):
        task, level = tasks[number], parts[number].level
        guess = majority_answer(task, level, BASELINE_KEY, BASELINE_PROBLEMS)
        # of other problems than are scored: these would be hit by construction
        others = Stream(task, BASELINE_KEY, "train", level).take(BASELINE_PROBLEMS, distinct=False)
        frequent = Counter(gold for problem in others if (gold := task.answer(problem)) is not None)
        shotgun = " or ".join(gold for gold, _ in frequent.most_common(SHOTGUN))
        said[number] = {"majority answer": guess or "", "empty": "", "shotgun": shotgun}
    scored = {}
    for name in ("majority answer", "empty", "shotgun"):
        right = [float(judge(tasks[i.part], i.problem, said[i.part][name]) is Verdict.RIGHT) for i in items]
        scored[name] = accuracy_interval(right, clusters_of(items)).to_dict()
    return scored


def _pairs(names: Sequence[str], which: str) -> list[tuple[str, str]]:
    if which == "first":
        return [(names[0], other) for other in names[1:]]
    return [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]


def _adjust(strata: list[dict[str, Any]]) -> None:
    """Holm over all declared pairs of all strata; the words go by the adjusted p."""
    pairs = [pair for stratum in strata for pair in stratum["pairs"]]
    for pair, adjusted in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True):
        pair["p_holm"] = adjusted
        pair["verdict"] = reading(pair | {"p": adjusted})


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
