"""One episode or many: what the user named becomes pages, one folder each, all in one library."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from whetstone.episodes.listening import Given, Listening, Made, Settings
from whetstone.episodes.sources import givens_of, is_feed
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
    givens = _givens(sources, episode, every)
    if title:
        if len(givens) != 1:
            raise UsageError("--title is for a single episode")
        from dataclasses import replace

        givens = [replace(givens[0], about=replace(givens[0].about, title=title))]
    path = library or library_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise UsageError(f"the library {path} cannot be made: {failure.strerror}") from None
    made: list[Made] = []
    failed: list[str] = []
    with Store(path) as store:
        _add_evidence(store, evidence)
        listening = Listening(store, settings, progress)
        listening.search.index()
        for given, folder in zip(givens, _folders(givens, out), strict=True):
            try:
                made.append(listening.page(given, folder))
            except (UsageError, WorkFailed) as failure:
                if len(givens) == 1:
                    raise
                failed.append(f"{given.about.title}: {failure}")
                progress.message(f"left out: {failed[-1]}")
    if failed:
        raise WorkFailed(f"{len(failed)} of {len(givens)} episodes could not be made, the first: {failed[0]}")
    return made


def _givens(sources: Sequence[str], episode: int, every: bool) -> list[Given]:
    files: list[Path] = []
    givens: list[Given] = []
    for source in sources:
        if re.match(r"https?://", source, re.IGNORECASE) or is_feed(Path(source)):
            from whetstone.episodes.subscribing import givens_of_feed

            givens += givens_of_feed(source, episode, every)
        else:
            files.append(Path(source).expanduser())
    return [*givens, *(givens_of(files) if files else [])]


def _folders(givens: Sequence[Given], out: Path) -> list[Path]:
    """Where each page goes; equal titles get numbers."""
    if len(givens) == 1:
        return [out]
    folders: list[Path] = []
    for given in givens:
        plain = re.sub(r"[^\w]+", "-", given.about.title.casefold()).strip("-")[:60] or "episode"
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
