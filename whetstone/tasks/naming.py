"""Invented names: pronounceable, and made of pieces that no common word or place is made of."""

from __future__ import annotations

import random
from functools import cache
from itertools import product


class Naming:
    """A base for tasks that invent names. The pieces stand in the class, so that `Task.version` covers them.

    Every name is onset + vowel + link + vowel + coda ("zamduk"): 37 795 of them.
    """

    onsets = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "kl", "vr")
    vowels = ("a", "e", "i", "o", "u")
    links = ("bd", "dv", "fn", "gv", "kd", "lv", "mz", "nv", "pn", "rz", "sv", "td", "vl", "zg")
    codas = ("b", "f", "g", "k", "m", "p")
    taken = frozenset(("dalvik", "fibdom", "fizgig", "murzim", "subdeb"))  # a town, a star and three rare words

    @classmethod
    @cache
    def all_names(cls) -> tuple[str, ...]:
        """Every name that there is, in a fixed order."""
        pieces = product(cls.onsets, cls.vowels, cls.links, cls.vowels, cls.codas)
        return tuple(name for name in map("".join, pieces) if name not in cls.taken)

    @classmethod
    def invented(cls, rng: random.Random, count: int) -> list[str]:
        """`count` different names in lower case, no two of them with the same first four letters."""
        found: dict[str, str] = {}
        while len(found) < count:
            name = rng.choice(cls.all_names())
            found.setdefault(name[:4], name)
        return list(found.values())
