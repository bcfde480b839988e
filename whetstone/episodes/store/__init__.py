"""One SQLite file that holds a library: episodes and their words, the indexes, and what was made of them."""

from whetstone.episodes.store.library import Episode, Show, Speaker, Store
from whetstone.episodes.store.packing import fingerprint

__all__ = ["Episode", "Show", "Speaker", "Store", "fingerprint"]
