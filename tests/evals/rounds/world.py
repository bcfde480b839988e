"""A small round with random models, made once and copied for each test."""

from __future__ import annotations

import json
from pathlib import Path

from tests.tiny import digit_task, tiny_folder
from whetstone.evals.history import History
from whetstone.evals.rounds.creating import new_round
from whetstone.evals.rounds.hashing import canonical, digest
from whetstone.evals.rounds.round import Round
from whetstone.runs.progress import Progress


def begin(folder: Path, **options: object) -> Round:
    """A round of a user's task, with another one sealed."""
    (folder / "hidden").mkdir(parents=True)
    task, hidden = digit_task(folder), digit_task(folder / "hidden")
    settings: dict[str, object] = {
        "n": 12,
        "level": 1,
        "strata": "ABC",
        "sealed": [hidden],
        "history": History(folder / "h.sqlite"),
    }
    return new_round(folder / "round", task, **{**settings, **options})  # type: ignore[arg-type]


def finished(folder: Path, **options: object) -> Round:
    """Begun, entered by two random models, answered and revealed."""
    round_ = begin(folder, **options)
    for seed, name in enumerate(("first", "second")):
        round_.enter(str(tiny_folder(folder / name, seed=seed)), name)
    round_.draw()
    for name in round_.unanswered():
        round_.answer(name, Progress())
    round_.reveal(Progress())
    return round_


def forge_log(path: Path) -> None:
    """Make log.jsonl name the files as they are now, hash every line anew: what a forger with all the code would do."""
    previous, lines = "0" * 64, []
    for line in (path / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "files" in record:
            record["files"] = {name: digest((path / name).read_bytes()) for name in record["files"]}
        record["prev"] = previous
        del record["hash"]
        previous = record["hash"] = digest(canonical(record))
        lines.append(canonical(record).decode() + "\n")
    (path / "log.jsonl").write_text("".join(lines))
