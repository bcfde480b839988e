"""The page's files in a folder, all of them or none; whatever else lies there stays."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from whetstone.episodes.content import About, Content
from whetstone.episodes.page.exports import JSON, MARKDOWN, VTT
from whetstone.episodes.page.render import PAGE, SCRIPT, STYLE, render
from whetstone.episodes.transcript import Transcript
from whetstone.errors import UsageError, WorkFailed
from whetstone.files import atomic_folder

OURS = (PAGE, STYLE, SCRIPT, MARKDOWN, JSON, VTT)
SOUND = "audio"  # the name of the sound beside the page, and in the list what stands for its hash
LIST = ".whetstone-page.json"  # what was written, with hashes: by it a later run knows its own files from a user's


def write_page(
    out: Path,
    about: About,
    transcript: Transcript,
    content: Content,
    names: Mapping[str, str],
    *,
    sound: Path | None = None,
    check: Callable[[str], object] = lambda page: None,
) -> Path:
    """Write the page into the folder `out`, which is made or brought up to date in one step; returns the page's path.

    `sound`: a file that the page's player shall find beside it (the same file under a second name, where the file
    system can). `check` looks at the page before anything is written, and raises where it must not be.

    Files that this function did not write stay in the folder, and so does one that was edited since (under another
    name). Raises UsageError where a user's own file has the name of one of ours; WorkFailed when the disk is full or
    the folder cannot be replaced.
    """
    if sound is not None:
        about = replace(about, audio=f"{SOUND}{sound.suffix.lower()}")
    files = render(about, transcript, content, names)
    check(files[PAGE])
    written = {name: text.encode("utf-8", "replace") for name, text in files.items()}
    out = Path(out).resolve()
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give a folder for the page")
    kept = _kept(out, {*files, about.audio} if sound else {*files})
    try:
        with atomic_folder(out) as fresh:
            for name, entry in kept.items():
                _carry(entry, fresh / name)
            for name, data in written.items():
                (fresh / name).write_bytes(data)
            if sound is not None:
                _link_or_copy(str(sound.resolve()), str(fresh / about.audio))
            digests = {name: hashlib.sha256(data).hexdigest() for name, data in written.items()}
            if sound is not None:
                digests[about.audio] = SOUND
            (fresh / LIST).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
    except OSError as failure:
        raise WorkFailed(f"the page could not be written to {out} ({failure.strerror or failure})") from failure
    return out / PAGE


def require_place(out: Path) -> None:
    """Raises UsageError where no page can be written to `out`: to be asked before hours of work, not after."""
    out = Path(out).resolve()
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give a folder for the page")
    _kept(out, ())
    there = next(folder for folder in (out.parent, *out.parent.parents) if folder.exists())
    try:
        os.rmdir(tempfile.mkdtemp(dir=there, prefix=".whetstone-"))
    except OSError as failure:
        raise UsageError(f"no page can be written to {out}: {failure.strerror}") from None


def _kept(out: Path, ours: Collection[str]) -> dict[str, Path]:
    """Name in the new folder -> what lies in the old one and is the user's. `ours`: names that will be written.

    Raises UsageError.
    """
    if not out.is_dir():
        return {}
    digests = _digests(out / LIST)
    kept: dict[str, Path] = {}
    entries = sorted(out.iterdir())
    for entry in entries:
        if entry.name == LIST or digests.get(entry.name) == SOUND:
            continue
        if entry.name not in OURS and entry.name not in ours:
            kept[entry.name] = entry
        elif entry.name not in digests:
            raise UsageError(f"{entry} was not written by this program: choose another folder, or move the file away")
        elif not entry.is_file() or hashlib.sha256(entry.read_bytes()).hexdigest() != digests[entry.name]:
            kept[_free_name(entry, {each.name for each in entries} | kept.keys())] = entry
    return kept


def _digests(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: digest for name, digest in found.items() if re.fullmatch(rf"[0-9a-f]{{64}}|{SOUND}", str(digest))}


def _free_name(entry: Path, taken: set[str]) -> str:
    """`episode.edited.md`, `episode.edited-2.md`."""
    n, name = 1, f"{entry.stem}.edited{entry.suffix}"
    while name in taken:
        n += 1
        name = f"{entry.stem}.edited-{n}{entry.suffix}"
    return name


def _carry(entry: Path, to: Path) -> None:
    """The same file in the new folder: another name for it where the file system can, else a copy."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.copytree(entry, to, symlinks=True, copy_function=_link_or_copy)
    else:
        _link_or_copy(str(entry), str(to))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
