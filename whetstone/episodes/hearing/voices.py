"""Who speaks when: vectors of voices (GE2E, Wan et al. 2018) for windows of speech, clustered. Always an estimate.

The weights are those of the Resemblyzer project (Apache-2.0), fetched once out of its wheel; the network is three LSTM
layers and a projection over mel bands, and is written here, so nothing of the package is installed or run.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor, nn

from whetstone.episodes.hearing.sound import RATE, Piece
from whetstone.episodes.transcript import Word
from whetstone.errors import UsageError
from whetstone.files import atomic_folder, cache_folder
from whetstone.models.wheels import Say, Wheel

WHEEL = Wheel(
    "Resemblyzer==0.1.4",
    "Resemblyzer-0.1.4-py3-none-any.whl",
    "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
    "the voice encoder",
    16,
)
MEMBER = "resemblyzer/pretrained.pt"
BANDS, HIDDEN, LAYERS = 40, 256, 3
FRAME, HOP = 400, 160  # samples: 25 ms every 10 ms
WINDOW, STEP = 1.6, 0.5  # seconds of speech for one vector, and between two
LOUDNESS = -30.0  # dB of full scale, to which quieter sound is raised
DISTANCE = 0.35  # cosine distance below which two groups of windows are one voice
SHORT = 6  # words of nobody between words of one person, which are that person's
SMALLEST = 3.0  # seconds of speech that make a speaker; who says less stays without a name
LONGEST_GAP = 0.6  # seconds without a word inside one stretch of speech


class VoiceEncoder(nn.Module):
    """Mel bands [B, T, 40] to vectors of length one [B, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, HIDDEN, LAYERS, batch_first=True)
        self.linear = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, mel_BTM: Tensor) -> Tensor:
        _, (hidden_LBH, _) = self.lstm(mel_BTM)
        return nn.functional.normalize(torch.relu(self.linear(hidden_LBH[-1])), dim=1)

    @classmethod
    def load(cls, say: Say) -> VoiceEncoder:
        """With the weights, fetched at the first use. Raises UsageError without a network then."""
        path = cache_folder() / f"voices-{WHEEL.sha256[:12]}" / "weights.pt"
        if not path.is_file():
            cache_folder().mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_folder()) as temporary:
                wheel = WHEEL.fetch(Path(temporary), say)
                with zipfile.ZipFile(wheel) as archive, atomic_folder(path.parent) as partial:
                    (partial / path.name).write_bytes(archive.read(MEMBER))
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        encoder = cls()
        encoder.load_state_dict({name: value for name, value in state.items() if not name.startswith("similarity")})
        return encoder.eval()


def mel_bands(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power in 40 mel bands [T, 40] of 25 ms frames, 10 ms apart, centred, Slaney's scale and area norm (what the
    encoder was trained on)."""
    padded = np.pad(samples, FRAME // 2)
    frames_TF = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    hann_F = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    power_TK = np.abs(np.fft.rfft(frames_TF * hann_F, axis=1)) ** 2
    return (power_TK @ _filters().T).astype(np.float32)


def _filters() -> NDArray[np.float64]:
    """Triangles over frequencies [40, 201]: linear below 1 kHz, logarithmic above, each of area one."""
    step, corner = 200.0 / 3, 1000.0
    ratio = np.log(6.4) / 27
    top = corner / step + np.log(RATE / 2 / corner) / ratio
    mels_B = np.linspace(0, top, BANDS + 2)
    edges_B = np.where(
        mels_B < corner / step, mels_B * step, corner * np.exp(ratio * np.maximum(0, mels_B - corner / step))
    )
    frequencies_K = np.fft.rfftfreq(FRAME, 1 / RATE)
    ramps_BK = edges_B[:, None] - frequencies_K
    rising_BK = -ramps_BK[:-2] / np.diff(edges_B)[:-1, None]
    falling_BK = ramps_BK[2:] / np.diff(edges_B)[1:, None]
    triangles_BK: NDArray[np.float64] = np.maximum(0, np.minimum(rising_BK, falling_BK))
    return triangles_BK * (2 / (edges_B[2:] - edges_B[:-2]))[:, None]


class Voices:
    """Collects the windows of all pieces, then says who speaks. `count`: how many people; None: found out."""

    def __init__(self, encoder: VoiceEncoder, count: int | None = None) -> None:
        if count is not None and count < 1:
            raise UsageError(f"--speakers must be at least 1, not {count}")
        self._encoder, self.count = encoder, count
        self._middles: list[float] = []
        self._vectors: list[NDArray[np.float32]] = []

    def listen(self, piece: Piece, words: Sequence[Word]) -> None:
        """Take in one piece's sound where there are words."""
        windows, middles = [], []
        for start, end in _stretches(words):
            for middle in _middles(start, end):
                first = int((middle - WINDOW / 2 - piece.start) * RATE)
                samples = piece.samples[max(0, first) : max(0, first) + int(WINDOW * RATE)]
                if len(samples) >= FRAME * 20:
                    windows.append(np.pad(samples, (0, int(WINDOW * RATE) - len(samples))))
                    middles.append(middle)
        for first in range(0, len(windows), 64):
            mel_BTM = torch.from_numpy(np.stack([mel_bands(_raised(each)) for each in windows[first : first + 64]]))
            with torch.inference_mode():
                self._vectors += list(self._encoder(mel_BTM).numpy())
        self._middles += middles

    def named(self, words: Sequence[Word]) -> list[Word]:
        """The words, each with "Speaker 1", "Speaker 2" … in the order in which they first speak; "" where unsure."""
        if not self._vectors:
            return list(words)
        labels = self._labels()
        middles = np.array(self._middles)
        order = np.argsort(middles)
        middles, labels = middles[order], labels[order]
        names: dict[int, str] = {}
        raw = []
        for word in words:
            if word.start is None or word.end is None:
                raw.append(0)
                continue
            near = np.flatnonzero(np.abs(middles - (word.start + word.end) / 2) <= WINDOW / 2)
            raw.append(Counter(labels[near].tolist()).most_common(1)[0][0] if len(near) else 0)
        smooth = filled(_sentences_agree(words, raw))
        for label in smooth:
            if label and label not in names:
                names[label] = f"Speaker {len(names) + 1}"
        return [replace(word, speaker=names.get(label, "")) for word, label in zip(words, smooth, strict=True)]

    def _labels(self) -> NDArray[np.int64]:
        """The cluster of each window from 1 on; 0 for clusters that are too small to be somebody."""
        vectors_ND = np.stack(self._vectors)
        if len(vectors_ND) == 1:
            return np.ones(1, dtype=np.int64)
        tree = linkage(vectors_ND, "average", metric="cosine")
        if self.count is None:
            labels = fcluster(tree, DISTANCE, "distance").astype(np.int64)
        else:
            labels = fcluster(tree, self.count, "maxclust").astype(np.int64)
        for label, seen in Counter(labels.tolist()).items():
            if seen * STEP < SMALLEST and self.count is None:
                labels[labels == label] = 0
        return labels


def _stretches(words: Sequence[Word]) -> list[tuple[float, float]]:
    """Times in which words follow each other closely."""
    found: list[tuple[float, float]] = []
    for word in words:
        if word.start is None or word.end is None:
            continue
        if found and word.start - found[-1][1] <= LONGEST_GAP:
            found[-1] = (found[-1][0], max(found[-1][1], word.end))
        else:
            found.append((word.start, word.end))
    return found


def _middles(start: float, end: float) -> list[float]:
    """Middles of the windows of one stretch: every half second, one at least."""
    if end - start <= WINDOW:
        return [(start + end) / 2]
    return [float(middle) for middle in np.arange(start + WINDOW / 2, end - WINDOW / 2 + 1e-6, STEP)]


def _raised(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    level = float(np.sqrt(np.mean(np.square(samples), dtype=np.float64)))
    wanted = 10 ** (LOUDNESS / 20)
    return samples * np.float32(wanted / level) if 0 < level < wanted else samples


def _sentences_agree(words: Sequence[Word], labels: Sequence[int]) -> list[int]:
    """One label for each sentence: the most frequent of its words', where at least two thirds have it."""
    smooth: list[int] = []
    start = 0
    for place, word in enumerate(words):
        gap = place + 1 < len(words) and (words[place + 1].start or 0.0) - (word.end or 0.0) > LONGEST_GAP
        if word.text[-1:] in ".?!" or gap or place + 1 == len(words):
            label, seen = Counter(labels[start : place + 1]).most_common(1)[0]
            smooth += [label if 3 * seen >= 2 * (place + 1 - start) else 0] * (place + 1 - start)
            start = place + 1
    return smooth


def filled(labels: Sequence[int]) -> list[int]:
    """The labels; a few words of nobody (0) between words of one person are that person's."""
    filled = list(labels)
    start = 0
    while start < len(filled):
        end = start
        while end < len(filled) and filled[end] == filled[start]:
            end += 1
        inside = filled[start] == 0 and start > 0 and end < len(filled) and end - start <= SHORT
        if inside and filled[start - 1] == filled[end]:
            filled[start:end] = [filled[end]] * (end - start)
        start = end
    return filled
