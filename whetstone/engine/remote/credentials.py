"""The key of an endpoint: read from a file or the environment, sent in one header, shown nowhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import NoReturn

from whetstone.errors import UsageError

VARIABLE = "OPENAI_API_KEY"
HIDDEN = "[key]"
# A shorter one is a dummy such as "EMPTY" that local servers take; hiding it would spoil ordinary words.
LENGTH_OF_A_SECRET = 8
_SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)


class ApiKey:
    """A secret. Neither its text form nor a copy of it in somebody's message shows it, and it cannot be pickled."""

    __slots__ = ("_pattern", "_value")

    def __init__(self, value: str, where: str = "the API key") -> None:
        value = value.strip()
        if not value or not all("!" <= character <= "~" for character in value):
            raise UsageError(f"{where} holds no API key: it must be one word of printable ASCII")
        self._value = value
        self._pattern = re.compile(re.escape(value), re.IGNORECASE | re.ASCII)

    @classmethod
    def from_file(cls, path: Path) -> ApiKey:
        """The only word of a text file. Raises UsageError, without the file's content."""
        try:
            return cls(path.expanduser().read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as failure:
            reason = failure.strerror if isinstance(failure, OSError) else "it is no text"
            raise UsageError(f"the API key file {path} cannot be read: {reason}") from None

    @classmethod
    def from_environment(cls) -> ApiKey | None:
        """$OPENAI_API_KEY; None where it is not set or empty."""
        value = os.environ.get(VARIABLE, "")
        return cls(value, f"the variable {VARIABLE}") if value.strip() else None

    @property
    def authorization(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {self._value}"

    def hide(self, text: str) -> str:
        """`text` without the key, should a server have repeated it, in capitals or not (host names have none)."""
        return self._pattern.sub(HIDDEN, text) if len(self._value) >= LENGTH_OF_A_SECRET else text

    def begun(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of the key."""
        key = _small(self._value)
        tail = _small(text[1 - len(key) :])
        if len(key) < LENGTH_OF_A_SECRET:
            return 0
        return next((size for size in range(len(tail), 0, -1) if tail.endswith(key[:size])), 0)

    def __repr__(self) -> str:
        return f"ApiKey({HIDDEN})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not written anywhere")


def _small(text: str) -> str:
    """ASCII letters small, as many characters as before: str.lower and casefold make two of some."""
    return text.translate(_SMALL)


class Veil:
    """Hides a key in text that comes in pieces, wherever they are cut: what may be the key's beginning waits."""

    def __init__(self, key: ApiKey | None) -> None:
        self._key, self._held = key, ""

    def feed(self, text: str) -> str:
        """What is safe to show by now."""
        if self._key is None:
            return text
        text = self._key.hide(self._held + text)
        shown = len(text) - self._key.begun(text)
        self._held = text[shown:]
        return text[:shown]

    def finish(self) -> str:
        """No more text comes: the rest, which is not the key."""
        rest, self._held = self._held, ""
        return rest
