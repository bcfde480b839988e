"""Compiling, caching and falling back."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.native.paged import alone, decoder, needs_kernel, reference, rows_of, sequence, step, stored
from tests.models.tiny import relative_error
from whetstone.engine.native import NativeRunner, build, load, reason, runner, supported
from whetstone.engine.native.packed import STORAGES
from whetstone.models.config import ModelConfig, Rope
from whetstone.models.decoder import Decoder


def test_the_reason_is_given_exactly_where_there_is_no_library() -> None:
    assert (load() is None) == (reason() is not None)


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHETSTONE_NATIVE", "0")
    assert load() is None
    assert "WHETSTONE_NATIVE=0" in str(reason())
    model = Decoder(ModelConfig("llama", 16, 8, 1, 1, 1, 8, 8, Rope()))
    assert "WHETSTONE_NATIVE=0" in str(supported(model))


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    outcome = build.attempt()
    assert outcome.library is None
    assert outcome.reason == "there is no C++ compiler (g++ or c++ or clang++ is not on the PATH)"
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler" in str(build.attempt().reason)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = script(tmp_path / "cc", 'echo "x.cpp:1: error: no such thing" >&2; exit 1')
    monkeypatch.setenv("CXX", broken)
    monkeypatch.setenv("WHETSTONE_CACHE", str(tmp_path / "cache"))
    outcome = build.attempt()
    assert outcome.library is None
    assert outcome.reason == f"{broken} cannot compile the kernel: x.cpp:1: error: no such thing"


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("CXX", script(tmp_path / "cc", "exit 0"))
    monkeypatch.setenv("WHETSTONE_CACHE", str(tmp_path / "file"))
    outcome = build.attempt()
    assert outcome.library is None
    assert "cannot be used" in str(outcome.reason)


@needs_kernel
def test_built_once_and_again_when_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WHETSTONE_CACHE", str(tmp_path))
    said: list[str] = []
    assert build.attempt(said.append).library is not None
    assert len(said) == 1 and "compiling" in said[0]
    assert build.attempt(said.append).library is not None
    assert len(said) == 1
    (library,) = (tmp_path / "native").glob("*.so")
    whole = library.read_bytes()
    library.unlink()  # not written in place: this process has the old file mapped
    library.write_bytes(whole[: len(whole) // 2])
    assert build.attempt(said.append).library is not None
    assert len(said) == 2
    assert len(library.read_bytes()) == len(whole)
    assert {path.suffix for path in (tmp_path / "native").iterdir() if path.name[0] != "."} == {".so", ".sha256"}


@needs_kernel
def test_one_openmp_runtime_is_loaded() -> None:
    """In a process of its own, so that no other test's libraries count."""
    program = (
        "import torch; from whetstone.engine.native import build\n"
        "before = build.openmp_runtimes(); assert build.load() is not None\n"
        "after = build.openmp_runtimes(); assert before == after and len(after) == 1, (before, after)"
    )
    if sys.platform != "linux":
        pytest.skip("the loaded libraries can be listed on Linux only")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_kernel
@pytest.mark.skipif(platform.machine() != "x86_64", reason="these instruction sets are x86's")
@pytest.mark.parametrize(("level", "width"), [("x86-64-v3", 8), ("x86-64-v2", 4)])
def test_narrower_vectors(level: str, width: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same source on processors with AVX2 only, and on those without fused multiplication: right and invariant."""
    flags = [flag.replace("native", level) for flag in build._flags()]
    monkeypatch.setattr(build, "_flags", lambda: flags)
    monkeypatch.setenv("WHETSTONE_CACHE", str(tmp_path))
    library = build.attempt().library
    assert library is not None and library.native_width() == width
    monkeypatch.setattr(runner, "load", lambda: library)
    ids = sequence(50, 1)
    for storage in STORAGES:
        for name in ("qwen3-window", "many-queries", "post-norm-biases", "whole-vectors"):
            model = decoder(name)
            native = NativeRunner(model, 8, storage, threads=1)
            whole = alone(native, ids)
            assert relative_error(whole, reference(stored(model, storage), ids)[0]) < 1e-4
            parts = [native.run(step(rows_of(ids[:end], end - 7 if end > 7 else 0), [[6, 1, 3, 0]])) for end in (7, 14)]
            assert torch.equal(torch.cat(parts), whole[:14])


def test_every_source_is_part_of_the_key() -> None:
    folder = Path(build.__file__).parent
    assert {path.name for path in folder.iterdir() if path.suffix in (".cpp", ".h")} == set(build.SOURCES)
