"""What a question looks like to a classifier: hashed n-grams of its text, or a model's mean hidden state."""

from __future__ import annotations

import hashlib
import itertools
import re

import numpy as np

from whetstone.engine.embedding import embed
from whetstone.engine.engine import Engine
from whetstone.engine.routing.policy import Floats
from whetstone.models.tokenizer import Tokenizer

NGRAMS = 256  # places that n-grams are hashed into
LONGEST = 20_000  # characters of a question that are read
_WORD = re.compile(r"\d+|\w+|[^\w\s]")


def ngrams(text: str, size: int = NGRAMS) -> Floats:
    """[size]: words and pairs of words hashed with a sign (Weinberger et al. 2009), as log(1 + count); numbers count by
    their digits. The first three places are the logarithms of the numbers of words, of numbers and of digits, as
    questions grow harder with them."""
    words = [_shape(word) for word in _WORD.findall(text[:LONGEST].casefold())]
    counted: dict[str, int] = {}
    for gram in [*words, *map(" ".join, itertools.pairwise(words))]:
        counted[gram] = counted.get(gram, 0) + 1
    found_D = np.zeros(size)
    for gram, count in counted.items():
        digest = int.from_bytes(hashlib.blake2b(gram.encode("utf-8", "replace"), digest_size=8).digest(), "big")
        found_D[3 + (digest >> 1) % (size - 3)] += (1 if digest & 1 else -1) * np.log1p(count)
    numbers = sum(word.startswith("#") for word in words)
    digits = sum(character.isdigit() for character in text[:LONGEST])
    found_D[:3] = np.log1p([len(words), numbers, digits])
    return found_D


def _shape(word: str) -> str:
    return f"#{len(word)}" if word.isdecimal() else word


def hidden(engine: Engine, tokenizer: Tokenizer, text: str) -> Floats:
    """[D]: the model's mean hidden state over the text, at length one. Raises Busy when the cache is full."""
    return np.asarray(embed(engine, question_ids(engine, tokenizer, text)), dtype=np.float64)


def question_ids(engine: Engine, tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens that features are made of: the text's own, without a chat's frame, its end where it is too long."""
    return tokenizer.encode(text or " ")[-(engine.capacity - 1) :]
