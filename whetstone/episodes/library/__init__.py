"""All episodes in the browser: a list, a search over all of them, and what people may put right by hand."""

from whetstone.episodes.library.app import library_app
from whetstone.episodes.library.door import EXTENSION

__all__ = ["EXTENSION", "library_app"]
