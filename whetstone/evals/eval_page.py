"""report.html and report.json of one evaluation outside a round: what `evaluate` returned, and some of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.evals.page.figures import SHARP, accuracy_dot, curves, dots, verdict_bars
from whetstone.evals.page.frame import Facts, answer, clipped, figure, fill
from whetstone.evals.page.numbers import VERDICT_WORDS, accuracy, look, percent, tied, verdict_shares
from whetstone.files import atomic_write_json, atomic_write_text

Row = Mapping[str, Any]

SHOWN = 24  # answers on the page
SMALL = 300  # problems below which the interval is wide enough to be named as a weakness


def write_report(folder: Path, result: Row, rows: Sequence[Row], command: str = "") -> list[Path]:
    """Write report.json (the result, and the answers that the page shows) and report.html; returns their paths.

    result: as `evaluate` returns it, without its rows. rows: one for each answer; may be empty. command: what to run to
    have it again.
    """
    report = {**result, "kind": "evaluation", "command": command, "samples": chosen(rows)}
    prepare(folder)
    atomic_write_json(folder / "report.json", report)
    atomic_write_text(folder / "report.html", render(report))
    return [folder / name for name in ("report.json", "report.html")]


def prepare(folder: Path) -> None:
    """Make the folder, before the work that fills it. Raises UsageError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"no report can be written to {folder} ({error.strerror}): choose another --out") from error


def chosen(rows: Sequence[Row], limit: int = SHOWN) -> list[dict[str, Any]]:
    """The first answers of each verdict in turn, so that rare ones are seen: {question, answer, verdict, target}.

    No one picks: they stand in the order in which they were asked.
    """
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(str(row["verdict"]), []).append(place)
    queues = [list(reversed(each)) for each in places.values()]
    taken: list[int] = []
    while len(taken) < min(limit, len(rows)):
        taken += [queue.pop() for queue in queues if queue]
    return [
        {**{name: rows[place][name] for name in ("question", "answer", "verdict")}, "target": _target(rows[place])}
        for place in sorted(taken[:limit])
    ]


def _target(row: Row) -> str | None:
    """A right answer, where the row tells one."""
    return row["choices"][row["gold"]] if "choices" in row else row.get("target")


def render(report: Row) -> str:
    """The page as text, UTF-8 safe; equal reports give equal bytes. Absent parts are left out."""
    task, level = report["task"], report.get("level")
    what = f"{task}, level {level}" if level is not None else str(task)
    score = report["accuracy"]
    return fill(
        "evals/eval_page.html.j2",
        None,
        title=f"{report['model']} at {what}",
        created=None,
        headline=tied(
            f"{report['model']} answers {percent(score['mean'])} of {score['n']} problems of {what} right "
            f"(95 % interval {percent(score['low'])} to {percent(score['high'])})."
        ),
        chips=_chips(report),
        links=[tied(link) for link in links(report)],
        figures=_figures(report),
        samples=[
            {
                "question": clipped(sample["question"]),
                "answer": answer(sample["answer"], sample["verdict"]),
                "target": clipped(sample["target"]) if sample["target"] is not None else None,
            }
            for sample in report.get("samples") or []
        ],
        provenance=_provenance(report),
        command=report.get("command") or "",
    )


def links(report: Row) -> list[str]:
    """What to hold against this number, weakest first; never empty."""
    found = []
    if note := look(report, "file.note"):
        found.append(str(note))
    looks = look(report, "looks.weights")
    if looks is not None and looks > 1:
        found.append(f"these weights were measured at this task {looks} times on this machine: the best one flatters")
    if report.get("seed_note"):
        found.append(str(report["seed_note"]))
    failed = {kind: look(report, f"verdicts.{kind}") or 0 for kind in ("error", "timeout")}
    if any(failed.values()):
        told = " and ".join(f"{count} {kind}s" for kind, count in failed.items() if count)
        found.append(f"judging failed: {told} count as not right")
    if (report.get("truncated") or 0) > 0.1:
        found.append(f"{percent(report['truncated'])} of the answers were cut off at the token limit")
    if report["accuracy"]["n"] < SMALL:
        found.append(f"{report['accuracy']['n']} problems only: the interval is wide")
    return [*found, "not a sealed round: nobody but who ran it knows what else was tried"]


def _chips(report: Row) -> list[str]:
    warmth = report.get("temperature")
    repeated = sum(report["verdicts"].values()) // report["accuracy"]["n"]
    return [
        "evaluation",
        f"prompt style “{report.get('style')}”",
        *([] if warmth is None else [f"temperature {warmth:g}" if warmth else "greedy"]),
        *([f"{repeated} answers to each"] if repeated > 1 else []),
        *([look(report, "backend.kind")] if look(report, "backend.kind") else []),
    ]


def _figures(report: Row) -> list[dict[str, Any]]:
    scores = {"right": report["accuracy"]}
    if report.get("accuracy_normalised"):
        scores = {"by likelihood": report["accuracy"], "per character": report["accuracy_normalised"]}
    told = "; ".join(f"{name} {accuracy(score)}" for name, score in scores.items())
    shown = dots("accuracy", [accuracy_dot(name, score, SHARP) for name, score in scores.items()])
    found = [figure("accuracy", "How often right", shown, "Bars: 95 % intervals.", "", alt=f"Accuracy: {told}")]
    shares = verdict_shares(report)
    counts = [["verdict", "answers"], *([VERDICT_WORDS.get(k, k), f"{n:,}"] for k, n in report["verdicts"].items())]
    bars = verdict_bars("verdicts", {"answers": shares}) if shares else None
    alt = ", ".join(f"{kind} {percent(share)}" for kind, share in (shares or {}).items())
    note = "The five verdicts. Only right counts."
    found.append(figure("verdicts", "What the answers were", bars, note, "None was judged.", table=counts, alt=alt))
    if rows := report.get("pass_at_k"):
        table = [["k", "pass@k"], *([str(row["k"]), accuracy(row)] for row in rows)]
        drawn = curves("passk", {"pass@k": rows}, "k, answers per problem")
        note = "Chance that at least one of k answers is right. Band: 95 %."
        alt = "; ".join(f"k {row['k']}: {accuracy(row)}" for row in rows)
        found.append(figure("passk", "pass@k", drawn, note, "", table=table, alt=alt))
    return found


def _provenance(report: Row) -> Facts:
    looks, cost = report.get("looks") or {}, look(report, "backend.cost") or {}
    least = "" if cost.get("complete") else "at least "
    rows = [
        ("model", report["model"]),
        ("task", report["task"]),
        ("task version", report.get("task_version")),
        ("level", report.get("level")),
        ("problems", report["accuracy"]["n"]),
        ("file", look(report, "file.name")),
        ("file, sha256", look(report, "file.sha256")),
        ("items in the file", look(report, "file.items")),
        ("tokens per answer", _if(report.get("tokens_per_answer"), "{:.1f}")),
        ("cut off at the token limit", _share(report.get("truncated"))),
        ("looks at this task with these weights, this one included", looks.get("weights")),
        ("looks at this task with any weights", looks.get("task")),
        ("seed", report.get("seed")),
        ("commitment of the problems' key", report.get("key")),
        ("endpoint's model", look(report, "backend.model")),
        ("requests", look(report, "backend.usage.requests")),
        ("cost in USD", f"{least}{cost['usd']:.4f}, at prices of {cost['date']}" if cost else None),
    ]
    return [(name, str(value)) for name, value in rows if value is not None]


def _if(value: float | None, pattern: str) -> str | None:
    return None if value is None else pattern.format(value)


def _share(value: float | None) -> str | None:
    return None if value is None else percent(value)
