"""Compile the kernel on first use and load it; where that cannot be, say why.

The library lives in the user's cache under a name made of everything that it depends on: source, flags, compiler and
processor. It is called through a plain C interface, so compiling needs no headers of torch and takes a few seconds.

The kernel is compiled with OpenMP but not linked to a runtime of its own: its calls resolve to the runtime that torch
has already loaded. Two runtimes in one process would each keep a team of spinning threads on the same cores.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock
import torch

from whetstone.engine.native.interface import declare
from whetstone.files import cache_folder

SOURCES = ("kernel.cpp", "attention.h", "gemm.h", "pack.h", "simd.h", "step.h", "team.h")
COMPILERS = ("g++", "c++", "clang++")
MOST_SECONDS = 300
Say = Callable[[str], None]

_lock = threading.Lock()
_outcomes: dict[str, Outcome] = {}


@dataclass(frozen=True)
class Outcome:
    """The loaded library, or the reason why there is none (then the engine computes with torch)."""

    library: ctypes.CDLL | None
    reason: str | None


class _Unavailable(Exception):
    pass


def _log(line: str) -> None:
    logging.getLogger("whetstone").info(line)


def load(say: Say = _log) -> ctypes.CDLL | None:
    """The kernel's library, compiled if need be; None where it cannot be had (see `reason`).

    WHETSTONE_NATIVE=0 switches the kernel off. The outcome is kept for the life of the process.
    """
    switch = os.environ.get("WHETSTONE_NATIVE", "1")
    with _lock:
        if switch not in _outcomes:
            _outcomes[switch] = attempt(say)
        return _outcomes[switch].library


def reason() -> str | None:
    """Why `load` returns None, in one line; None where it returns the library."""
    switch = os.environ.get("WHETSTONE_NATIVE", "1")
    load()
    return _outcomes[switch].reason


def attempt(say: Say = _log) -> Outcome:
    """Find or make the library and load it, whatever earlier attempts found. Never raises."""
    if os.environ.get("WHETSTONE_NATIVE", "1") == "0":
        return Outcome(None, "switched off by WHETSTONE_NATIVE=0")
    try:
        return Outcome(_find_or_build(say), None)
    except _Unavailable as failure:
        return Outcome(None, str(failure))
    except OSError as failure:
        return Outcome(None, f"the cache {cache_folder()} cannot be used ({failure})")


def _find_or_build(say: Say) -> ctypes.CDLL:
    compiler = _compiler()
    folder = cache_folder() / "native"
    path = folder / f"kernel-{_key(compiler)}.so"
    if (library := _open_whole(path)) is not None:
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / f".{path.name}.lock"):
        if (library := _open_whole(path)) is not None:  # another process was quicker
            return library
        say("compiling the CPU kernel, once (a few seconds)")
        _compile(compiler, path)
        if (library := _open_whole(path)) is None:
            raise _Unavailable(f"the kernel was compiled by {compiler} but cannot be loaded: {_why_not(path)}")
    return library


def _compiler() -> str:
    """$CXX, else the first known compiler on the PATH."""
    chosen = os.environ.get("CXX")
    for name in (chosen,) if chosen else COMPILERS:
        if found := shutil.which(name):
            return found
    wanted = chosen or " or ".join(COMPILERS)
    raise _Unavailable(f"there is no C++ compiler ({wanted} is not on the PATH)")


def _flags() -> list[str]:
    """No contraction: a sum rounds the same way in every copy of a loop (see simd.h). Nothing may throw."""
    flags = ["-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-exceptions", "-fno-rtti", "-fPIC"]
    mac = sys.platform == "darwin"
    flags.append("-mcpu=native" if mac and platform.machine() == "arm64" else "-march=native")
    if torch.backends.openmp.is_available():
        flags += ["-Xclang", "-fopenmp"] if mac else ["-fopenmp"]
    return flags


def _key(compiler: str) -> str:
    """A hash of all that the library's contents and fitness depend on."""
    digest = hashlib.sha256()
    for source in SOURCES:
        digest.update((Path(__file__).parent / source).read_bytes())
    version = _run([compiler, "--version"]).stdout
    digest.update("|".join([*_flags(), compiler, version, _processor()]).encode())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """The processor's name and instructions, as far as the system tells them."""
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.version()}"
    lines = re.findall(r"^(?:flags|Features|model name|CPU part)\s*:.*$", facts, re.MULTILINE)
    return "\n".join(dict.fromkeys(lines))


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise _Unavailable(f"the C++ compiler {command[0]} does not run ({failure})") from failure


def _compile(compiler: str, path: Path) -> None:
    """Compile beside `path`, then put the library and its digest in place, each in one move."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as name:
        made, object_file = Path(name) / path.name, Path(name) / "kernel.o"
        source = Path(__file__).parent / SOURCES[0]
        undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
        # two steps, because a link with -fopenmp would bring a second OpenMP runtime
        for command in (
            [compiler, *_flags(), "-c", str(source), "-o", str(object_file)],
            [compiler, "-shared", str(object_file), "-o", str(made), *undefined],
        ):
            done = _run(command)
            if done.returncode:
                complaint = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
                raise _Unavailable(f"{compiler} cannot compile the kernel: {(complaint or ['no message'])[0]}")
        digest = made.with_suffix(".sha256")
        digest.write_text(_digest(made))
        digest.replace(path.with_suffix(".sha256"))
        made.replace(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _open_whole(path: Path) -> ctypes.CDLL | None:
    """Load a library whose digest is right; a damaged one could crash the process instead of failing to load."""
    try:
        if path.with_suffix(".sha256").read_text() != _digest(path):
            return None
        _share_openmp()
        return declare(ctypes.CDLL(str(path)))
    except (OSError, AttributeError):
        return None


def _why_not(path: Path) -> str:
    try:
        declare(ctypes.CDLL(str(path)))
    except (OSError, AttributeError) as failure:
        return str(failure)
    return "its file changed while it was read"


def openmp_runtimes() -> list[str]:
    """The OpenMP libraries that this process has loaded (Linux only, elsewhere none are found)."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return []
    return sorted(set(re.findall(r"/\S*/lib(?:gomp|iomp5|omp)\b\S*", maps)))


def _share_openmp() -> None:
    """Let the library see the functions of the runtime that torch uses, and of no other."""
    runtimes = openmp_runtimes()
    beside_torch = [path for path in runtimes if Path(path).is_relative_to(Path(torch.__file__).parent)]
    for path in beside_torch or runtimes[:1]:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
