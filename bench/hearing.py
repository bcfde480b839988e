"""`whet bench hearing`: words out of sound, beside faster-whisper asked for the whole file at once.

The sound is made by Debian's espeak-ng and flite (three voices, one text, the whole repeated to the wanted length), so
that every word is known. Both sides use the same weights with a beam of 5, word times and voice activity detection, in
processes of their own; what is timed is from the file to the words, without loading the weights; memory is the highest
that the process had. Words are compared after Whisper's English normaliser, as published word error rates are. Clear
speech of one voice at a time: real talk is harder.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from whetstone.errors import UsageError, WorkFailed

VOICES = ("slt", "rms", "espeak")  # flite's, flite's, and espeak-ng
TEXT = """The harbour committee met on Tuesday morning to discuss the new ferry timetable. Forty people came, which was
more than anyone had expected. The chairwoman explained that the old boat needs a new engine, and that the repair will
cost three hundred thousand pounds. A fisherman asked why the money could not be spent on the pier instead. She answered
that the pier is safe for another ten years, but the engine may fail this winter. After two hours of questions the
committee voted, and the plan was accepted by a clear majority."""


def speak(folder: Path, voice: str) -> tuple[bytes, int]:
    """The text in a voice: samples of 16 bits, and how many there are in a second."""
    source, sound = folder / "text.txt", folder / f"{voice}.wav"
    source.write_text(TEXT)
    if voice == "espeak":
        command = ["espeak-ng", "-w", str(sound), "-f", str(source)]
    else:
        command = ["flite", "-voice", voice, "-f", str(source), "-o", str(sound)]
    if shutil.which(command[0]) is None:
        raise UsageError(f"this benchmark needs {command[0]}: apt-get install espeak-ng flite")
    subprocess.run(command, check=True, capture_output=True)
    with wave.open(str(sound)) as reading:
        return reading.readframes(reading.getnframes()), reading.getframerate()


def files(folder: Path, minutes: float) -> list[Path]:
    """A file for each voice, each of a third of the minutes at least, whole texts only."""
    found = []
    for voice in VOICES:
        samples, rate = speak(folder, voice)
        pause = bytes(rate)  # half a second
        once = len(samples + pause) / 2 / rate
        times = max(1, round(minutes * 60 / len(VOICES) / once))
        path = folder / f"{voice}-long.wav"
        with wave.open(str(path), "wb") as writing:
            writing.setnchannels(1)
            writing.setsampwidth(2)
            writing.setframerate(rate)
            writing.writeframes((samples + pause) * times)
        found.append(path)
    return found


def ours(weights: str, paths: list[Path]) -> tuple[float, list[str]]:
    """Seconds, and the words of each file."""
    from whetstone.episodes.hearing.recognise import Recogniser, hear

    recogniser = Recogniser(weights)
    begin = time.perf_counter()
    heard = [hear(recogniser, path, language="en") for path in paths]
    seconds = time.perf_counter() - begin
    return seconds, [" ".join(word.text for piece in each for word in piece.words) for each in heard]


def peers(weights: str, paths: list[Path]) -> tuple[float, list[str]]:
    """The same by faster-whisper alone."""
    from faster_whisper import WhisperModel

    from whetstone.episodes.hearing.weights import whisper_folder

    model = WhisperModel(str(whisper_folder(weights)), device="cpu", compute_type="int8", cpu_threads=2)
    begin = time.perf_counter()
    found = []
    for path in paths:
        segments, _ = model.transcribe(str(path), language="en", beam_size=5, word_timestamps=True, vad_filter=True)
        found.append(" ".join(segment.text for segment in segments))
    return time.perf_counter() - begin, found


def side(name: str, weights: str, paths: list[Path]) -> dict[str, Any]:
    """What one side did, in a process of its own: seconds, megabytes, texts."""
    command = [sys.executable, __file__, "--side", name, "--weights", weights, *map(str, paths)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise WorkFailed(f"{name} with {weights} ended with exit code {ran.returncode}: {ran.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def errors(texts: list[str], times: list[int]) -> float:
    """The word error rate of all texts together, in percent."""
    import jiwer
    from whisper_normalizer.english import EnglishTextNormalizer

    normalise = EnglishTextNormalizer()
    wrong = said = 0
    for text, repeated in zip(texts, times, strict=True):
        found = jiwer.process_words(normalise(" ".join([TEXT] * repeated)), normalise(text))
        wrong += found.substitutions + found.deletions + found.insertions
        said += found.hits + found.substitutions + found.deletions
    return 100 * wrong / said


def measure(weights: list[str], minutes: float) -> Iterator[dict[str, Any]]:
    """All rows."""
    with tempfile.TemporaryDirectory(prefix="whet-hearing-") as temporary:
        folder = Path(temporary)
        paths = files(folder, minutes)
        lengths, times = [], []
        for voice, path in zip(VOICES, paths, strict=True):
            with wave.open(str(path)) as reading, wave.open(str(folder / f"{voice}.wav")) as once:
                lengths.append(reading.getnframes() / reading.getframerate())
                times.append(round(reading.getnframes() / (once.getnframes() + once.getframerate() / 2)))
        versions = {"faster-whisper": version("faster-whisper"), "ctranslate2": version("ctranslate2")}
        for name in weights:
            report.say(f"{name}: {sum(lengths):.0f} s of sound, twice")
            mine, theirs = side("ours", name, paths), side("peers", name, paths)
            rates = errors(mine["texts"], times), errors(theirs["texts"], times)
            shared: dict[str, Any] = {"peer_versions": versions, "sound_seconds": sum(lengths), "weights": name}
            speeds = sum(lengths) / mine["seconds"], sum(lengths) / theirs["seconds"]
            yield report.row(
                f"hearing.{name}.speed", *speeds, "faster-whisper alone", "x real time", higher_is_better=True, **shared
            )
            yield report.row(
                f"hearing.{name}.memory", mine["megabytes"], theirs["megabytes"], "faster-whisper alone", "MB",
                higher_is_better=False, **shared,
            )  # fmt: skip
            yield report.row(
                f"hearing.{name}.right_words", 100 - rates[0], 100 - rates[1], "faster-whisper alone", "%",
                higher_is_better=True, word_error_rates=rates, **shared,
                note=f"word error rates {rates[0]:.1f} and {rates[1]:.1f} % on clear made speech, three voices",
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--minutes", type=float, default=6.0, help="of sound")
    parser.add_argument("--weights", action="append", help="base, tiny.en; repeatable; both without it")
    parser.add_argument("--side", choices=("ours", "peers"), help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        seconds, texts = (ours if options.side == "ours" else peers)(options.weights[0], options.paths)
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "megabytes": megabytes, "texts": texts}))
        return
    if options.minutes <= 0 or options.paths:
        parser.error("a positive number of minutes, and no files")
    report.print_rows(measure(options.weights or ["base", "tiny.en"], options.minutes), options.json)


if __name__ == "__main__":
    report.main(main)
