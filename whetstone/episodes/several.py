"""One episode or many: what the user named becomes pages, one folder each, all in one library."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from whetstone.episodes import ingest
from whetstone.episodes.content import About
from whetstone.episodes.evidence.files import document
from whetstone.episodes.evidence.gathering import forget_unused
from whetstone.episodes.fetching import is_address
from whetstone.episodes.listening import Listening, Made, Settings
from whetstone.episodes.page.folder import require_place
from whetstone.episodes.sounds import sound_here
from whetstone.episodes.store import Store, evidence
from whetstone.errors import UsageError, WorkFailed
from whetstone.runs.lock import locked_beside
from whetstone.runs.progress import Progress


def library_file() -> Path:
    """$WHETSTONE_LIBRARY, else whetstone/episodes.sqlite under $XDG_DATA_HOME (~/.local/share)."""
    if named := os.environ.get("WHETSTONE_LIBRARY"):
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "whetstone" / "episodes.sqlite"


@dataclass(frozen=True)
class Wanted:
    """What is to be made into pages. `episode`: which of a feed's, 1 the newest; None: all. `title`: what a single file
    is called. `show`: the show of files and folders. `evidence`: files to check claims against."""

    sources: Sequence[str]
    episode: int | None = 1
    title: str = ""
    show: str = ""
    evidence: Sequence[Path] = ()


@dataclass
class Outcome:
    """The pages that were made, and a line for each episode of which there is none."""

    made: list[Made] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def listen(wanted: Wanted, out: Path, settings: Settings, progress: Progress, library: Path | None = None) -> Outcome:
    """The pages of everything that is wanted: in `out` itself for one episode, else each in a folder of its own.

    Of several, one that fails does not cost the others. Raises UsageError for sources that are not there, before
    anything is written, and where another process writes to `out`; UsageError and WorkFailed where there is one episode
    and it fails.
    """
    _require_sources(wanted)
    require_place(out)
    added = [document(path) for path in wanted.evidence]
    outcome = Outcome()
    with locked_beside(out), Store(library or library_file()) as store:
        listening = Listening(store, settings, progress)
        for found in added:
            evidence.add(store, found.title, found.text, found.source, found.published)
        before = {each.id for each in store.episodes()}
        numbers = _taken(store, wanted, progress, outcome)
        listening.search.index()
        titles = [store.episode(number).about.title for number in numbers]
        for number, title, folder in zip(numbers, titles, _folders(titles, out), strict=True):
            try:
                with locked_beside(folder) if folder != out else nullcontext():
                    outcome.made.append(listening.page(number, folder))
            except (UsageError, WorkFailed) as failure:
                if isinstance(failure, UsageError) and number not in before:
                    _leave_nothing(store, number)
                if len(numbers) == 1 and not outcome.failed:
                    raise
                outcome.failed.append(f"{title}: {failure}")
                progress.message(f"left out: {outcome.failed[-1]}")
    return outcome


def _require_sources(wanted: Wanted) -> None:
    """Raises UsageError."""
    for source in wanted.sources:
        if is_address(source):
            continue
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
            raise UsageError(f"only http:// and https:// are fetched, not {source}")
        if not Path(source).expanduser().exists():
            raise UsageError(f"there is no file {source}")
    if wanted.title and (len(wanted.sources) > 1 or Path(wanted.sources[0]).is_dir()):
        raise UsageError("--title is for a single file")


def _taken(store: Store, wanted: Wanted, progress: Progress, outcome: Outcome) -> list[int]:
    """The numbers of the episodes that the sources give, each once, in the sources' order."""
    numbers: dict[int, None] = {}
    for source in wanted.sources:
        place = source if is_address(source) else str(Path(source).expanduser())
        about = About(wanted.title) if wanted.title else None
        report = ingest.anything(store, place, only=wanted.episode, about=about, show=wanted.show)
        for note in report.notes:
            progress.message(note)
        if not report.episodes:
            raise UsageError(report.failures[0] if report.failures else f"there are no episodes in {source}")
        for failure in report.failures:
            progress.message(failure)
        # a transcript that cannot be had is not the end: there may be sound
        files = not is_address(place) and Path(place).is_dir()
        outcome.failed += report.failures if files else ()
        numbers |= dict.fromkeys(report.episodes)
    return list(numbers)


def _leave_nothing(store: Store, number: int) -> None:
    """Take out an episode that this run brought in and that cannot be read: a file that is no sound, say. Of a feed's
    episode the feed's word stays."""
    known = store.episode(number)
    feed = next(show.feed for show in store.shows() if show.id == known.show)
    if not known.words and not feed:
        store.remove_episode(number)


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


def removed(store: Store, episodes: Sequence[int], documents: Sequence[int]) -> list[str]:
    """Take episodes and documents of evidence out of the library; a line for each. Sound that was fetched goes too, a
    user's own stays. Raises UsageError for a number that is not there, before anything is taken out."""
    known = [store.episode(number) for number in dict.fromkeys(episodes)]
    titles = {each.id: each.title for each in evidence.documents(store)}
    for number in documents:
        if number not in titles:
            raise UsageError(f"the library has no document {number}")
    fetched = [(each, sound_here(store, each)) for each in known if is_address(each.about.audio)]
    with store.writing():
        for each in known:
            store.remove_episode(each.id)
        for number in dict.fromkeys(documents):
            evidence.remove(store, number)
        forget_unused(store)
    left = {each.about.audio for each in store.episodes()}
    for each, sound in fetched:
        if sound is not None and each.about.audio not in left:
            sound.unlink(missing_ok=True)
    gone = [f"removed {each.about.title}" for each in known]
    return gone + [f"removed the evidence {titles[number]}" for number in dict.fromkeys(documents)]
