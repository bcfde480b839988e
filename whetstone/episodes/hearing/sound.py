"""Sound from a file, decoded piece by piece, so that ten hours need no more memory than ten minutes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whetstone.errors import UsageError

RATE = 16_000  # samples a second: what Whisper hears
PIECE = 600.0  # seconds
LOOK_BACK = 30.0  # seconds before a piece's end in which a quiet place for the cut is looked for
FRAME = 0.05  # seconds over which loudness is measured there
SUFFIXES = (".mp3", ".m4a", ".aac", ".mp4", ".wav", ".ogg", ".opus", ".flac", ".webm")


@dataclass(frozen=True)
class Piece:
    """Samples [N] between -1 and 1, mono, from second `start` on."""

    start: float
    samples: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def pieces(path: Path, seconds: float = PIECE) -> Iterator[Piece]:
    """The sound of a file in pieces of about so many seconds, cut where it is quietest.

    Raises UsageError for a file that holds no sound that can be decoded; what comes before damage is given.
    """
    held: list[NDArray[np.float32]] = []
    count, start = 0, 0
    for samples in _decoded(path):
        held.append(samples)
        count += len(samples)
        while count >= seconds * RATE:
            whole = np.concatenate(held)
            cut = _quiet_place(whole, int(seconds * RATE))
            yield Piece(start / RATE, whole[:cut])
            held, count, start = [whole[cut:]], count - cut, start + cut
    if count:
        yield Piece(start / RATE, np.concatenate(held))
    elif start == 0:
        raise UsageError(f"{path} holds no sound")


def length(path: Path) -> float | None:
    """Seconds of sound as the file itself says; None where it does not."""
    import av

    with _opened(path) as container:
        return None if container.duration is None else container.duration / av.time_base


def _quiet_place(samples: NDArray[np.float32], end: int) -> int:
    """Where to cut before `end`: the middle of the quietest frame of the last half minute."""
    first = max(end // 2, end - int(LOOK_BACK * RATE))
    width = int(FRAME * RATE)
    frames = (end - first) // width
    if frames < 2:
        return end
    loudness_F = np.square(samples[first : first + frames * width]).reshape(frames, width).mean(axis=1)
    return first + int(loudness_F.argmin()) * width + width // 2


def _decoded(path: Path) -> Iterator[NDArray[np.float32]]:
    import av

    with _opened(path) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        got_any = False
        for packet in _packets(container):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue  # a damaged stretch: go on behind it
            for frame in frames:
                frame.pts = None
                for out in resampler.resample(frame):
                    got_any = True
                    yield _samples(out)
        if not got_any:
            raise UsageError(f"{path} cannot be decoded: is it really a sound file?")
        for out in resampler.resample(None):
            yield _samples(out)


def _packets(container):  # type: ignore[no-untyped-def]
    """The packets of a file's first sound; where the file ends too early, those that are there."""
    import av

    packets = container.demux(container.streams.audio[0])
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        yield packet


def _samples(frame):  # type: ignore[no-untyped-def]
    return frame.to_ndarray().reshape(-1).astype(np.float32) / 32768.0


def _opened(path: Path):  # type: ignore[no-untyped-def]
    try:
        import av
    except ImportError:
        from whetstone.episodes.hearing.weights import EXTRA

        raise UsageError(f"reading sound needs more packages: {EXTRA}") from None
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        container = av.open(str(path), mode="r", metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError):
        raise UsageError(f"{path} cannot be read as sound: convert it to mp3, wav, ogg or flac") from None
    if not container.streams.audio:
        container.close()
        raise UsageError(f"{path} holds no sound")
    return container
