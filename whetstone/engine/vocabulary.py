"""A tokenizer as llguidance takes it, with the grammars that were compiled for it."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from whetstone.engine.preamble import PreambleMasks
from whetstone.engine.text.detokenize import token_texts
from whetstone.errors import UsageError
from whetstone.models.tokenizer import Tokenizer

if TYPE_CHECKING:
    import llguidance

LONGEST_MARK, MOST_MARKS = 64, 8


class TokenizerGrammars:
    """What llguidance needs of one tokenizer, and the grammars compiled for it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        library = library_module()
        texts = token_texts(tokenizer)
        if texts.reach == "everything":
            raise UsageError(
                "structured output needs a tokenizer whose tokens stand for fixed bytes; this one's do not"
            )
        size = tokenizer.vocab_size
        self.stop_ids = frozenset(one for one in tokenizer.stop_ids if one < size)
        if not self.stop_ids:
            raise UsageError("structured output needs a model with a stop token: its folder names no eos_token")
        names = [texts.token(place) for place in range(size)]
        self.bytes = [texts.own_bytes(name) for name in names]
        special = [place for place, name in enumerate(names) if name in texts.special or place in self.stop_ids]
        vocabulary = _Vocabulary(tokenizer, self.bytes, special, min(self.stop_ids))
        self.core = library.LLTokenizer(library.TokenizerWrapper(vocabulary), eos_token=sorted(self.stop_ids))
        vocabulary.core = self.core
        self.vocabulary = vocabulary
        self.compiled: OrderedDict[tuple[str, str], llguidance.LLMatcher] = OrderedDict()
        self._preambles: dict[str, PreambleMasks] = {}
        self.lock = threading.Lock()

    def preamble_masks(self, mark: str) -> PreambleMasks:
        """The masks before that mark, kept for the few marks that there are.

        Raises:
            UsageError: an empty mark, or a very long one.
        """
        if not 0 < len(mark) <= LONGEST_MARK:
            raise UsageError(f"the mark after which the output is structured has 1 to {LONGEST_MARK} characters")
        with self.lock:
            if (masks := self._preambles.get(mark)) is None:
                if len(self._preambles) >= MOST_MARKS:
                    self._preambles.clear()
                masks = self._preambles[mark] = PreambleMasks(self.bytes, mark.encode(), self.stop_ids)
        return masks


class _Vocabulary:
    """The form in which llguidance takes a tokenizer. Where a grammar leaves no choice it wants the usual tokens."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, tokens: list[bytes], special: list[int], eos: int) -> None:
        self.tokens, self.special_token_ids, self.eos_token_id = tokens, special, eos
        self.core: llguidance.LLTokenizer | None = None
        self._encoder = tokenizer.core  # not the tokenizer itself, which is what these grammars are kept by

    def writes(self, char: str) -> bool:
        """Whether there are tokens for that character."""
        if "\ud800" <= char <= "\udfff":
            return False
        return b"".join(self.tokens[one] for one in self(char)) == char.encode()

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = self._encoder.encode(text, add_special_tokens=False).ids
        if self.core is None or b"".join(self.tokens[one] for one in ids) == text.encode():
            return ids
        # Some tokenizers change what they encode (unknown characters, a space in front): then the longest tokens.
        return self.core.greedy_tokenize(text)


_GRAMMARS: weakref.WeakKeyDictionary[Tokenizer, TokenizerGrammars] = weakref.WeakKeyDictionary()
_GRAMMARS_LOCK = threading.Lock()


def grammars_of(tokenizer: Tokenizer) -> TokenizerGrammars:
    """Those of a tokenizer, made once.

    Raises:
        UsageError: the package is missing, or the tokenizer has no bytes of its own or no stop token.
    """
    with _GRAMMARS_LOCK:
        if (grammars := _GRAMMARS.get(tokenizer)) is None:
            grammars = _GRAMMARS[tokenizer] = TokenizerGrammars(tokenizer)
    return grammars


def library_module() -> Any:
    """llguidance, which is imported when it is first needed.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import llguidance
    except ImportError as failure:
        raise UsageError(
            "structured output needs the package llguidance: pip install 'whetstone-lab[serve]'"
        ) from failure
    return llguidance
