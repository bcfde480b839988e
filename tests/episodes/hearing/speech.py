"""Speech that the machine makes itself: Debian's espeak-ng and flite."""

from __future__ import annotations

import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

TEXT = (
    "The harbour committee met on Tuesday morning to discuss the new ferry timetable. Forty people came, which was "
    "more than anyone had expected. The chairwoman explained that the old boat needs a new engine, and that the repair "
    "will cost three hundred thousand pounds. After two hours of questions the plan was accepted by a clear majority."
)


def speak(path: Path, text: str = TEXT, voice: str = "slt") -> Path:
    """A .wav of a text, spoken by one of flite's voices or by "espeak". Skips the test where the program is absent."""
    program = "espeak-ng" if voice == "espeak" else "flite"
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt-get install espeak-ng flite")
    source = path.with_suffix(".txt")
    source.write_text(text)
    if voice == "espeak":
        command = ["espeak-ng", "-w", str(path), "-f", str(source)]
    else:
        command = ["flite", "-voice", voice, "-f", str(source), "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


def silence(path: Path, seconds: float) -> Path:
    """Nothing but a little noise."""
    return write(path, np.random.default_rng(0).normal(0, 1e-4, int(seconds * 16000)))


def music(path: Path, seconds: float) -> Path:
    """Plucked strings: decaying tones with harmonics, no voice."""
    random = np.random.default_rng(1)
    samples = np.zeros(int(seconds * 16000))
    for start in np.arange(0, seconds - 1, 0.4):
        time = np.arange(16000) / 16000
        pitch = 220 * 2 ** (random.integers(0, 13) / 12)
        tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 5)) * np.exp(-3 * time)
        first = int(start * 16000)
        samples[first : first + 16000] += 0.15 * tone[: len(samples) - first]
    return write(path, samples)


def write(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as writing:
        writing.setnchannels(1)
        writing.setsampwidth(2)
        writing.setframerate(16000)
        writing.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
