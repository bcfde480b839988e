"""Texts -> vectors whose cosine says how alike they are: an endpoint's, or hashed pieces of words as the floor."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import re
import time
import unicodedata
from collections.abc import Sequence
from typing import Any, Protocol

import httpx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from whetstone.engine.remote.credentials import ApiKey
from whetstone.engine.remote.endpoint import checked_address, is_loopback
from whetstone.episodes.stopwords import STOPWORDS
from whetstone.errors import UsageError, WorkFailed

Vectors = NDArray[np.float32]
TOKEN = re.compile(r"[^\W_]+")


class Embedder(Protocol):
    """`name` names the model in the store; vectors of different names are never compared. `least`: the cosine below
    which two texts have nothing to do with each other; 0 where nobody knows."""

    @property
    def name(self) -> str: ...

    @property
    def least(self) -> float: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [N, D] of the texts; zeros for a text without words."""


def folded(text: str) -> str:
    """Lower case without accents: what the full-text index makes of words too."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


class HashedEmbedder:
    """Words and their pieces of 3 to 5 letters, hashed into `dimension` numbers (feature hashing, Weinberger et al.
    2009, with fastText's pieces). Knows nothing of meaning, but finds other forms and spellings of a word, needs no
    model and always gives the same. Function words hardly count."""

    least = 0.15  # three times the spread of chance at 384 numbers

    def __init__(self, dimension: int = 384) -> None:
        self.dimension = dimension
        self.name = f"hashed-{dimension}-1"
        self._features = functools.lru_cache(maxsize=200_000)(self._features_of)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`."""
        places: dict[str, int] = {}
        columns: list[int] = []
        edges = [0]
        for text in texts:
            columns += [places.setdefault(word, len(places)) for word in TOKEN.findall(folded(text))]
            edges.append(len(columns))
        if not columns:
            return np.zeros((len(texts), self.dimension), dtype=np.float32)
        words_VD = np.zeros((len(places), self.dimension), dtype=np.float32)
        for word, place in places.items():
            where, what = self._features(word)
            words_VD[place, where] = what
        counts_NV = sparse.csr_matrix(
            (np.ones(len(columns), dtype=np.float32), columns, edges), shape=(len(texts), len(places))
        )
        counts_NV.sum_duplicates()
        counts_NV.data = np.sqrt(counts_NV.data)  # the tenth time a word says less than the first
        return unit(counts_NV @ words_VD)

    def _features_of(self, word: str) -> tuple[NDArray[np.int64], Vectors]:
        """Where a word's vector is not zero, and what it is there."""
        marked = f"<{word}>"
        pieces = {marked[at : at + size] for size in (3, 4, 5) for at in range(len(marked) - size + 1)} - {marked}
        vector = np.zeros(self.dimension)
        for feature, weight in [(f"={word}", 1.0), *((piece, len(pieces) ** -0.5) for piece in sorted(pieces))]:
            number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
            vector[(number >> 1) % self.dimension] += weight if number & 1 else -weight
        vector *= (0.05 if word in STOPWORDS or len(word) == 1 else 1.0) / (np.linalg.norm(vector) or 1.0)
        where = np.flatnonzero(vector)
        return where, vector[where].astype(np.float32)


class EndpointEmbedder:
    """The vectors of an OpenAI-compatible `/embeddings` at `address` (…/v1), e.g. that of `whet serve`.

    Raises UsageError for an address that is none, WorkFailed where the server does not give vectors.
    """

    least = 0.0
    BATCH = 64
    ATTEMPTS = 4
    LARGEST = 64 << 20  # bytes of a response

    def __init__(self, address: str, model: str, key: ApiKey | None = None, seconds: float = 120.0) -> None:
        self.address = checked_address(address)
        self.model, self.key, self.seconds = model, key, seconds
        self.name = f"{model}@{self.address}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`."""
        headers = {"user-agent": "whetstone"} | ({"authorization": self.key.authorization} if self.key else {})
        parts: list[Vectors] = []
        with httpx.Client(
            headers=headers, timeout=self.seconds, follow_redirects=False, trust_env=not is_loopback(self.address)
        ) as http:
            for begin in range(0, len(texts), self.BATCH):
                # servers refuse empty texts; one without words is asked as a dot and its vector dropped
                batch = texts[begin : begin + self.BATCH]
                vectors_ND = self._asked(http, [text.strip() or "." for text in batch])
                if parts and parts[-1].shape[1] != vectors_ND.shape[1]:
                    raise WorkFailed(f"{self.address} gives vectors of different lengths")
                vectors_ND[[not text.strip() for text in batch]] = 0
                parts.append(vectors_ND)
        return unit(np.concatenate(parts)) if parts else np.zeros((0, 1), dtype=np.float32)

    def _asked(self, http: httpx.Client, texts: list[str]) -> Vectors:
        reason = ""
        for attempt in range(self.ATTEMPTS):
            if attempt:
                time.sleep(min(2.0**attempt, 20.0) * random.uniform(0.5, 1.0))
            try:
                status, body = self._sent(http, {"model": self.model, "input": texts, "encoding_format": "float"})
            except httpx.HTTPError as error:
                reason = f"cannot be reached ({self._hidden(str(error) or type(error).__name__)})"
                continue
            if status == 200:
                return self._vectors(body, len(texts))
            reason = f"answered {status}"
            if status in (401, 403):
                raise UsageError(f"{self.address} does not accept the API key ({status})")
            if status not in (408, 425, 429) and status < 500:
                said = self._hidden(body[:300].decode("utf-8", "replace")).replace("\n", " ")
                raise WorkFailed(f"{self.address} gives no vectors with {self.model!r} ({status}: {said})")
        raise WorkFailed(f"{self.address} {reason}, {self.ATTEMPTS} times in a row: is it running?")

    def _sent(self, http: httpx.Client, content: dict[str, Any]) -> tuple[int, bytes]:
        with http.stream("POST", f"{self.address}/embeddings", json=content) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > self.LARGEST:
                    raise WorkFailed(f"{self.address} sends more than {self.LARGEST >> 20} MiB at once")
            return response.status_code, bytes(body)

    def _vectors(self, body: bytes, count: int) -> Vectors:
        try:
            data = json.loads(body)["data"]
            placed = {int(each["index"]): each["embedding"] for each in data}
            vectors_ND = np.array([placed[at] for at in range(count)], dtype=np.float32)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise WorkFailed(f"{self.address} sent something else than {count} vectors") from None
        if vectors_ND.ndim != 2 or not vectors_ND.shape[1] or not np.isfinite(vectors_ND).all():
            raise WorkFailed(f"{self.address} sent vectors that hold no numbers")
        return vectors_ND

    def _hidden(self, text: str) -> str:
        return text if self.key is None else self.key.hide(text)


def unit(vectors_ND: NDArray[Any]) -> Vectors:
    """Each vector divided by its length; zeros stay."""
    lengths_N = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return (vectors_ND / np.where(lengths_N > 0, lengths_N, 1)).astype(np.float32)
