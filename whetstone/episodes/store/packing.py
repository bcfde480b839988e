"""Words of a whole episode as one compressed blob: a row a word would be ten million rows for a thousand hours.

Layout: zlib over a header line of JSON (counts and speakers' names), the texts in UTF-8 parted by newlines, then
little-endian columns of one number a word: start [int32 ms, differences], length [int32 ms], speaker [uint16],
probability [uint16, 1/10,000] and doubt [bit]. Times are kept to the millisecond.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whetstone.episodes.transcript import Transcript, Word
from whetstone.errors import WorkFailed

_NO_TIME = -(2**31)
_NO_PROBABILITY = 2**16 - 1
_LEVEL = 5  # of zlib: what higher levels save is not worth their time


def pack(words: Sequence[Word]) -> bytes:
    """The words [N] as bytes. Raises ValueError for white space inside a word and for more than 65,535 speakers."""
    return zlib.compress(_content(words), _LEVEL)


def fingerprint(transcript: Transcript) -> str:
    """A hash of all that a transcript says and how it is cut; what was made from an equal one still holds."""
    cuts = [(each.first, each.end, each.paragraph, each.speaker) for each in transcript.segments]
    about = [transcript.timing.value, transcript.origin.value, transcript.language, cuts]
    return hashlib.sha256(_content(transcript.words) + json.dumps(about).encode()).hexdigest()


def _content(words: Sequence[Word]) -> bytes:
    names: dict[str, int] = {}
    speakers_N = np.array([names.setdefault(word.speaker, len(names)) for word in words], dtype=np.int64)
    if len(names) > 2**16 - 1:
        raise ValueError("more speakers than a store can name")
    texts = "\n".join(word.text for word in words)
    if texts.split() != [word.text for word in words]:
        raise ValueError("a word holds no white space and is never empty")
    starts_N = _milliseconds([word.start for word in words])
    ends_N = _milliseconds([word.end for word in words])
    lengths_N = np.where((starts_N == _NO_TIME) | (ends_N == _NO_TIME), _NO_TIME, ends_N - starts_N)
    # an end without a start is kept as it is, where a length would be
    lengths_N = np.where((starts_N == _NO_TIME) & (ends_N != _NO_TIME), ends_N, lengths_N)
    probabilities_N = [
        _NO_PROBABILITY if word.probability is None else round(min(max(word.probability, 0), 1) * 10_000)
        for word in words
    ]
    text = texts.encode()
    header = json.dumps({"words": len(words), "text": len(text), "speakers": list(names)}).encode() + b"\n"
    columns = [
        np.diff(starts_N, prepend=0).astype("<i4").tobytes(),
        lengths_N.astype("<i4").tobytes(),
        speakers_N.astype("<u2").tobytes(),
        np.array(probabilities_N, dtype="<u2").tobytes(),
        np.packbits(np.array([word.doubtful for word in words], dtype=bool)).tobytes(),
    ]
    return b"".join([header, text, *columns])


def unpack(blob: bytes) -> tuple[Word, ...]:
    """The words again. Raises WorkFailed for bytes that `pack` did not write."""
    try:
        return _unpacked(zlib.decompress(blob))
    except (ValueError, KeyError, IndexError, TypeError, zlib.error) as error:
        raise WorkFailed(f"the store is damaged: the words of an episode cannot be read ({error})") from None


def _unpacked(content: bytes) -> tuple[Word, ...]:
    at = content.index(b"\n") + 1
    header: dict[str, Any] = json.loads(content[:at])
    count, names = header["words"], header["speakers"]
    texts = content[at : at + header["text"]].decode().split("\n") if count else []
    at += header["text"]

    def column(kind: str, size: int) -> NDArray[Any]:
        nonlocal at
        found = np.frombuffer(content, kind, count, at)
        at += size * count
        return found

    # sums of differences wrap around in 32 bits just as the differences did
    starts_N = np.cumsum(column("<i4", 4), dtype=np.int32)
    lengths_N = column("<i4", 4)
    speakers = column("<u2", 2).tolist()
    probabilities = column("<u2", 2).tolist()
    doubts = np.unpackbits(np.frombuffer(content, "u1", offset=at), count=count).astype(bool).tolist()
    untimed_N = starts_N == _NO_TIME
    ends_N = np.where(untimed_N | (lengths_N == _NO_TIME), lengths_N, starts_N.astype(np.int64) + lengths_N)
    starts, ends = _seconds(starts_N), _seconds(ends_N)
    if len(texts) != count:
        raise ValueError("texts and columns differ in length")
    return tuple(
        Word(
            text,
            starts[at],
            ends[at],
            names[speakers[at]],
            None if probabilities[at] == _NO_PROBABILITY else probabilities[at] / 10_000,
            doubts[at],
        )
        for at, text in enumerate(texts)
    )


def _milliseconds(times: list[float | None]) -> NDArray[np.int64]:
    return np.array([_NO_TIME if time is None else round(time * 1000) for time in times], dtype=np.int64)


def _seconds(milliseconds_N: NDArray[Any]) -> list[float | None]:
    return [None if value == _NO_TIME else value / 1000 for value in milliseconds_N.tolist()]
