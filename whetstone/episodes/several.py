"""One episode or many: what the user named becomes pages, one folder each, all in one library."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from whetstone.episodes import ingest
from whetstone.episodes.content import About
from whetstone.episodes.fetching import is_address
from whetstone.episodes.listening import Listening, Made, Settings
from whetstone.episodes.store import Store, evidence
from whetstone.errors import UsageError, WorkFailed
from whetstone.runs.progress import Progress


def library_file() -> Path:
    """$WHETSTONE_LIBRARY, else whetstone/episodes.sqlite under $XDG_DATA_HOME (~/.local/share)."""
    if named := os.environ.get("WHETSTONE_LIBRARY"):
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "whetstone" / "episodes.sqlite"


def listen(
    sources: Sequence[str],
    out: Path,
    settings: Settings,
    progress: Progress,
    *,
    library: Path | None = None,
    episode: int = 1,
    every: bool = False,
    title: str = "",
    evidence: Sequence[Path] = (),
) -> list[Made]:
    """The pages of everything that `sources` name: in `out` itself for one episode, else each in a folder of its own.

    Of several, one that fails does not cost the others: it is told, and at the end WorkFailed says how many failed.
    Raises UsageError, before anything is written, for sources that cannot be read.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give a folder for the page")
    path = library or library_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise UsageError(f"the library {path} cannot be made: {failure.strerror}") from None
    made: list[Made] = []
    failed: list[str] = []
    with Store(path) as store:
        _add_evidence(store, evidence)
        numbers = _taken(store, sources, progress, episode, every, title, failed)
        listening = Listening(store, settings, progress)
        listening.search.index()
        titles = [store.episode(number).about.title for number in numbers]
        for number, name, folder in zip(numbers, titles, _folders(titles, out), strict=True):
            try:
                made.append(listening.page(number, folder))
            except (UsageError, WorkFailed) as failure:
                if len(numbers) == 1 and not failed:
                    raise
                failed.append(f"{name}: {failure}")
                progress.message(f"left out: {failed[-1]}")
    if failed:
        raise WorkFailed(f"{len(failed)} of {len(numbers)} episodes could not be made, the first: {failed[0]}")
    return made


def _taken(
    store: Store,
    sources: Sequence[str],
    progress: Progress,
    episode: int,
    every: bool,
    title: str,
    failed: list[str],
) -> list[int]:
    """The numbers of the episodes that the sources give, each once, in the sources' order."""
    numbers: dict[int, None] = {}
    for source in sources:
        place = source if is_address(source) else str(Path(source).expanduser())
        about = About(title) if title else None
        report = ingest.anything(store, place, only=None if every else episode, about=about)
        for note in report.notes:
            progress.message(note)
        failed += report.failures
        if not report.episodes and report.failures:
            raise UsageError(report.failures[0])
        numbers |= dict.fromkeys(report.episodes)
    return list(numbers)


def _folders(titles: Sequence[str], out: Path) -> list[Path]:
    """Where each page goes; equal titles get numbers."""
    if len(titles) == 1:
        return [out]
    folders: list[Path] = []
    for title in titles:
        plain = re.sub(r"[^\w]+", "-", title.casefold()).strip("-")[:60] or "episode"
        name, number = plain, 2
        while out / name in folders:
            name, number = f"{plain}-{number}", number + 1
        folders.append(out / name)
    return folders


def _add_evidence(store: Store, paths: Sequence[Path]) -> None:
    from whetstone.episodes.evidence_files import document

    for path in paths:
        found = document(path)
        evidence.add(store, found.title, found.text, found.source, found.published)
