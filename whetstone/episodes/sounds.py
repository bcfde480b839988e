"""Where an episode's sound is: on this machine, or at an address from which it is fetched once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from whetstone.episodes.fetching import download, is_address, is_private
from whetstone.episodes.hearing.sound import SUFFIXES, length
from whetstone.episodes.store import Episode, Store
from whetstone.errors import UsageError, WorkFailed

FOLDER = "sound"  # beside the library, for what was fetched
LARGEST = 4 << 30  # bytes that are fetched: days of talk
SECONDS = 3600.0  # in which they have to come


def sound_here(store: Store, known: Episode) -> Path | None:
    """The file of an episode's sound on this machine, None where there is none.

    A feed may only name files beside itself: whatever it says, no other file is ever shown as an episode's sound.
    """
    audio = known.about.audio
    if not audio:
        return None
    if is_address(audio):
        path = _fetched(store, audio)
    else:
        feed = _feed(store, known)
        path = store.path.resolve().parent / audio
        if feed:
            folder = Path(feed).resolve().parent
            path = (folder / audio).resolve()
            if is_address(feed) or not path.is_relative_to(folder):
                return None
    try:
        return path if path.is_file() else None
    except OSError:  # a name that no file can have
        return None


def sound_of(store: Store, known: Episode, say: Callable[[str], None]) -> Path:
    """The file of an episode's sound, fetched next to the library where it is only at an address.

    Raises UsageError where there is none, WorkFailed where none comes.
    """
    if (found := sound_here(store, known)) is not None:
        return found
    audio = known.about.audio
    if not is_address(audio):
        raise UsageError(f"there is neither a transcript nor sound of {known.about.title!r}")
    target = _fetched(store, audio)
    say(f"fetching {audio}")
    feed = _feed(store, known)
    # who named the address himself may name his neighbour's; a feed from elsewhere may not
    inside = not feed or (is_address(feed) and is_private(feed))
    download(audio, target, may_be_private=inside, largest=LARGEST, seconds=SECONDS)
    try:
        length(target)
    except UsageError:
        target.unlink()
        raise WorkFailed(f"{audio} is no sound: what came cannot be decoded") from None
    return target


def sha256(path: Path) -> str:
    """The hash of a sound's file. Raises UsageError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as failure:
        raise UsageError(f"{path} cannot be read: {failure.strerror}") from None


def _fetched(store: Store, address: str) -> Path:
    """Where the sound from an address is kept."""
    suffix = Path(re.split(r"[?#]", address)[0]).suffix.lower()
    name = hashlib.sha256(address.encode()).hexdigest()[:24]
    return store.path.resolve().parent / FOLDER / f"{name}{suffix if suffix in SUFFIXES else '.mp3'}"


def _feed(store: Store, known: Episode) -> str:
    """The feed of an episode's show, "" for none."""
    return next((show.feed for show in store.shows() if show.id == known.show), "")
