"""Beginning a round: choose its parts, try that they can be drawn, commit to the secret, write the folder."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.evals.history import History
from whetstone.evals.rounds.draw import SECRET_FILE, Secret, draw_part, seal_of
from whetstone.evals.rounds.manifest import Manifest, Part, code_digest, part_style
from whetstone.evals.rounds.round import Round
from whetstone.files import atomic_write_bytes, atomic_write_json
from whetstone.runs import provenance
from whetstone.tasks.registry import load_task, split_spec, stratum_tasks
from whetstone.tasks.task import Task

DEFAULT_STRATA = "ABCDE"
CLOSED = "closed"  # the style that leaves the document out


def new_round(
    path: str | Path,
    task: str,
    *,
    level: int | None = None,
    n: int = 200,
    strata: str = DEFAULT_STRATA,
    sealed: Sequence[str] = (),
    samples: int = 1,
    temperature: float | None = None,
    style: str = "only",
    pairs: str = "first",
    title: str = "",
    history: History | None = None,
) -> Round:
    """Begin a round in the new folder `path`: `n` problems in each of the `strata` (manifest.STRATA).

    level: of stratum A, else the task's default; B asks the levels above it. sealed: tasks as FILE.py:CLASS for stratum
    C, whose sources stay hidden until the reveal; without them C asks the invented worlds that come with Whetstone,
    whose rules the key draws. samples, temperature: answers per problem; greedy unless there are several.

    Raises UsageError for a folder that holds anything, an unknown task, style or stratum, or a task with too few
    problems: nothing is written then.
    """
    folder = Path(path)
    warmth = temperature if temperature is not None else 0.0 if samples == 1 else 1.0
    _require_sense(folder, n, samples, warmth, pairs)
    chosen = _parts(task, level, n, strata, sealed)
    for part, judged, _ in chosen:
        _rehearse(part, judged)
    if style not in chosen[0][1].styles():
        raise UsageError(f"unknown style {style!r}; choose one of {', '.join(chosen[0][1].styles())}")
    secret = Secret(secrets.token_bytes(32), secrets.token_bytes(32), {})
    parts, files = _committed(chosen, secret)
    origin = provenance.collect()
    manifest = Manifest(
        title=title or f"{parts[0].title()}, {n} problems a stratum",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        parts=tuple(parts),
        style=style,
        samples=samples,
        temperature=warmth,
        pairs=pairs,
        secret=secret.commitment(),
        today=datetime.now().replace(microsecond=0).isoformat(),
        whetstone=origin["versions"].get("whetstone-lab", "unknown"),
        commit=origin["commit"],
        code=code_digest(),
    )
    (folder / SECRET_FILE).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in files.items():
        atomic_write_bytes(folder / name, data)
    atomic_write_json(folder / SECRET_FILE, secret.to_json())
    return Round.begin(folder, manifest, [name for name in files if not name.startswith("organiser/")], history)


def _require_sense(folder: Path, n: int, samples: int, temperature: float, pairs: str) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder: choose another for the round")
    if samples < 1 or n < 1 or not 0 <= temperature <= 100 or (samples > 1 and temperature == 0):
        raise UsageError("n and samples are at least 1, and several samples need a temperature above 0 (at most 100)")
    if pairs not in ("first", "all"):
        raise UsageError(f'unknown pairs {pairs!r}; choose "first" (each entrant with the first) or "all"')


Chosen = tuple[Part, Task, str]  # the part as far as it is known, its task, and the file it came from ("" for our own)


def _parts(task: str, level: int | None, n: int, strata: str, sealed: Sequence[str]) -> list[Chosen]:
    from whetstone.evals.rounds.manifest import STRATA

    if len(set(sealed)) < len(sealed):
        raise UsageError("a sealed task is named twice: its problems would count twice")
    unknown = sorted(set(strata) - set(STRATA))
    if unknown or not strata:
        raise UsageError(f"unknown stratum {', '.join(unknown) or 'nothing'}; choose from {''.join(STRATA)}")
    judged = load_task(task)
    chosen_level = judged.default_level if level is None else level
    judged.require_level(chosen_level)
    chosen: list[Chosen] = []
    if "A" in strata:
        chosen.append(_part("A", task, judged, chosen_level, n))
    if "B" in strata:
        higher = [other for other in judged.levels if other > chosen_level][:2]
        if not higher and strata != DEFAULT_STRATA:
            raise UsageError(f"task {judged.name} has no level above {chosen_level} for stratum B")
        for place, other in enumerate(higher):
            chosen.append(_part("B", task, judged, other, _share(n, len(higher), place)))
    if "C" in strata:
        specs = list(sealed) or stratum_tasks("C")
        for place, spec in enumerate(specs):
            world = load_task(spec)
            share = _share(n, len(specs), place)
            if share:
                chosen.append(_part("C", spec, world, world.levels[0], share, sealed=spec in sealed))
    for letter, style in (("D", ""), ("E", CLOSED)):
        if letter in strata:
            specs = stratum_tasks("D")
            for place, spec in enumerate(specs):
                reader = load_task(spec)
                share = _share(n, len(specs), place)
                chosen.append(_part(letter, spec, reader, reader.levels[0], share, style=style))
    if not chosen:
        raise UsageError(f"no stratum of {strata} can be asked of task {judged.name}")
    return chosen


def _share(n: int, parts: int, place: int) -> int:
    """n split over the parts as evenly as whole numbers allow."""
    return n // parts + (place < n % parts)


def _part(stratum: str, spec: str, task: Task, level: int, n: int, sealed: bool = False, style: str = "") -> Chosen:
    file, class_name = split_spec(spec)
    return (
        Part(stratum, task.name, level, n, task.version, task.source_digest, "", class_name, sealed, style),
        task,
        file,
    )


def _rehearse(part: Part, task: Task) -> None:
    """Draw the part with a key that nobody keeps, so that a task that cannot give enough fails now and not later."""
    for problem in draw_part(task, part, secrets.token_bytes(32))[:3]:
        part_style(task, "", part).messages(task, problem)


def _committed(chosen: Sequence[Chosen], secret: Secret) -> tuple[list[Part], dict[str, bytes]]:
    """The parts as the manifest tells them, and the files that go with them. Fills `secret.seals`."""
    parts, files = [], {}
    for place, (part, _task, file) in enumerate(chosen):
        told: dict[str, Any] = vars(part)
        if file:
            data = Path(file).read_bytes()
            folder = "organiser" if part.sealed else "tasks"
            kept = f"{folder}/part-{place}.py"
            files[kept] = data
            told = told | {"file": "" if part.sealed else kept}
            if part.sealed:
                about = {"task": part.task, "version": part.version, "class_name": part.class_name, "kept": kept}
                about["nonce"] = secrets.token_hex(32)
                secret.seals[str(place)] = about
                told = told | {"task": "(sealed)", "version": "", "source": seal_of(about, data), "class_name": ""}
        parts.append(Part(**told))
    return parts, files
