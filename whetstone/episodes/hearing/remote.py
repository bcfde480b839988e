"""A recogniser behind OpenAI's `/audio/transcriptions`: what somebody sells, or a server of one's own."""

from __future__ import annotations

import io
import time
import wave
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np

from whetstone.engine.remote.credentials import ApiKey
from whetstone.engine.remote.endpoint import checked_address, is_loopback
from whetstone.episodes.hearing.doubts import loops
from whetstone.episodes.hearing.recognise import Heard
from whetstone.episodes.hearing.sound import RATE, Piece
from whetstone.episodes.transcript import Word
from whetstone.errors import UsageError, WorkFailed

RETRIES = 4
TIMEOUT = 600.0  # seconds for one piece
LONGEST_REPLY = 64 << 20  # bytes


class RemoteRecogniser:
    """Asks the server at `address` (…/v1) for the words of each piece, with their times."""

    def __init__(self, address: str, model: str, key: ApiKey | None = None) -> None:
        """`key` is sent by https or to this machine only. Raises UsageError for an address that is none."""
        self.address = checked_address(address)
        if key is not None and not (self.address.startswith("https://") or is_loopback(self.address)):
            raise UsageError(f"a key is not sent to {self.address} in the clear: use https")
        self.name = model
        self._key = key

    def understands(self, language: str) -> bool:
        """See `Hears`. The server says so itself when it does not."""
        return True

    def piece(self, piece: Piece, language: str | None = None) -> Heard:
        """See `Hears.piece`. Raises UsageError for a server that does not take such requests, WorkFailed for one that
        does not answer after several attempts."""
        form: dict[str, Any] = {
            "model": self.name,
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["word", "segment"],
            "temperature": "0",
        }
        if language:
            form["language"] = language
        reply = self._send(form, _wav(piece))
        words = loops(_words(reply, piece.start))
        return Heard(piece.start, piece.seconds, _code(reply.get("language")), tuple(words))

    def _send(self, form: dict[str, Any], sound: bytes) -> Mapping[str, Any]:
        headers = {} if self._key is None else {"authorization": self._key.authorization}
        trust = not is_loopback(self.address)
        reason = ""
        with httpx.Client(timeout=httpx.Timeout(TIMEOUT, connect=10.0), trust_env=trust, headers=headers) as http:
            for attempt in range(RETRIES + 1):
                if attempt:
                    time.sleep(min(30.0, 2.0**attempt))
                try:
                    response = http.post(
                        f"{self.address}/audio/transcriptions",
                        data=form,
                        files={"file": ("piece.wav", sound, "audio/wav")},
                    )
                except httpx.HTTPError as failure:
                    reason = str(failure) or type(failure).__name__
                    continue
                if response.status_code in (408, 429) or response.status_code >= 500:
                    reason = f"status {response.status_code}"
                    continue
                if response.status_code != 200:
                    said = " ".join(response.text[:200].split())
                    raise UsageError(
                        f"{self.address} does not recognise speech with {self.name!r} "
                        f"(status {response.status_code}): {self._key.hide(said) if self._key else said}"
                    )
                try:
                    reply = response.json() if len(response.content) <= LONGEST_REPLY else None
                except ValueError:
                    reply = None
                if isinstance(reply, dict):
                    return reply
                reason = "an answer that is not JSON"
        raise WorkFailed(f"{self.address} did not recognise the sound: {reason}; what was heard so far is kept")


def _words(reply: Mapping[str, Any], offset: float) -> list[Word]:
    """Words with their own times; where the server gives none, each with its segment's."""
    found = []
    listed = reply.get("words")
    if isinstance(listed, list) and listed:
        for item in listed:
            found += _timed(item, "word", offset)
        return found
    segments = reply.get("segments")
    if isinstance(segments, list) and segments:
        for item in segments:
            found += _timed(item, "text", offset)
        return found
    return [Word(text, offset) for text in str(reply.get("text") or "").split()]


def _timed(item: object, name: str, offset: float) -> list[Word]:
    if not isinstance(item, dict) or not isinstance(item.get(name), str):
        return []
    start, end = _second(item.get("start")), _second(item.get("end"))
    return [
        Word(text, None if start is None else start + offset, None if end is None else end + offset)
        for text in item[name].split()
    ]


def _second(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e7
    return float(value) if good else None  # type: ignore[arg-type]


def _code(language: object) -> str:
    return language.lower()[:20] if isinstance(language, str) else ""


def _wav(piece: Piece) -> bytes:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as writing:
        writing.setnchannels(1)
        writing.setsampwidth(2)
        writing.setframerate(RATE)
        writing.writeframes((np.clip(piece.samples, -1, 1) * 32767).astype("<i2").tobytes())
    return sound.getvalue()
