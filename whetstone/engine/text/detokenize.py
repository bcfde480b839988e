"""Token ids to text one id at a time, at a constant cost per id.

Decoding is not local: a character may be spread over several ids, a leading space depends on the place, and a run of
byte tokens is text only if the whole run is. `TokenTexts` knows how far the decoder of a tokenizer looks, and
`Detokenizer` holds back exactly that much: what it has returned never changes, and the whole is what decoding all ids
at once gives.
"""

from __future__ import annotations

import codecs
import json
import re
import weakref
from collections.abc import Collection, Mapping
from typing import Any, Literal

from whetstone.models.tokenizer import Tokenizer

ANCHOR = "a"  # a token that no decoder changes, for asking how another one reads behind it
BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
Reach = Literal["bytes", "token", "everything"]


def byte_alphabet() -> dict[str, int]:
    """The printable character that stands for each byte in byte-level vocabularies (Radford et al. 2019, GPT-2):
    visible Latin-1 characters stand for themselves, the other bytes for U+0100 onwards in order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(visible)]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + place): byte for place, byte in enumerate(hidden)}


ALPHABET = byte_alphabet()


class TokenTexts:
    """What each token of a tokenizer reads as, and how far its decoder looks; shared by all its streams."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._core = tokenizer.core
        self.special = {token.content for token in tokenizer.core.get_added_tokens_decoder().values() if token.special}
        parts = _decoder_parts(tokenizer.core.decoder)
        self.reach: Reach = _reach(parts)
        self.has_byte_tokens = any(part["type"] == "ByteFallback" for part in parts)
        self._bytes: dict[str, bytes] = {}
        self._behind: dict[str, str] = {}

    def token(self, token_id: int) -> str | None:
        """The vocabulary's entry; None for an id beyond it, which decoding leaves out."""
        return self._core.id_to_token(token_id)

    def token_bytes(self, token: str) -> bytes:
        """The bytes of a byte-level token; one with a character beyond the alphabet (an added token) is itself."""
        if (known := self._bytes.get(token)) is None:
            mapped = [ALPHABET.get(char) for char in token]
            whole = [byte for byte in mapped if byte is not None]
            known = bytes(whole) if len(whole) == len(mapped) else token.encode()
            self._bytes[token] = known
        return known

    def decode(self, tokens: list[str]) -> str:
        """Text of a whole list of tokens."""
        decoder = self._core.decoder
        return str(decoder.decode(tokens)) if decoder is not None else " ".join(tokens)

    def behind(self, tokens: list[str]) -> str:
        """Text of tokens that stand behind others."""
        if len(tokens) == 1 and (known := self._behind.get(tokens[0])) is not None:
            return known
        text = self.decode([ANCHOR, *tokens])[len(self.decode([ANCHOR])) :]
        if len(tokens) == 1:
            self._behind[tokens[0]] = text
        return text

    def is_byte(self, token: str) -> bool:
        """Whether it is one byte of a run that is decoded together."""
        return self.has_byte_tokens and BYTE_TOKEN.fullmatch(token) is not None


_TEXTS: weakref.WeakKeyDictionary[Tokenizer, TokenTexts] = weakref.WeakKeyDictionary()


def token_texts(tokenizer: Tokenizer) -> TokenTexts:
    """The table of that tokenizer, made once."""
    if (texts := _TEXTS.get(tokenizer)) is None:
        texts = _TEXTS[tokenizer] = TokenTexts(tokenizer)
    return texts


class Detokenizer:
    """Text of one stream of ids.

    The concatenation of what `feed` and `finish` return equals `tokenizer.decode(ids, keep_special)`. A returned piece
    never ends inside a character, and a replacement character is returned only when it is certain. (A run of byte
    tokens such as <0xE2> is held until it ends, since one wrong byte spoils the whole run. Decoders of a kind
    that is not known here are decoded at the end.)

    Args:
        tokenizer: whose ids these are.
        keep_special: True keeps special tokens such as the end mark; a collection keeps those named in it, which a
            parser of tool calls needs where the marks of a call are special tokens.
    """

    def __init__(self, tokenizer: Tokenizer, keep_special: bool | Collection[str] = False) -> None:
        self._texts = token_texts(tokenizer)
        kept = self._texts.special if keep_special is True else frozenset(keep_special or ())
        self._hidden = self._texts.special - set(kept)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting: list[str] = []  # tokens that are not text yet
        self._started = False

    def feed(self, token_id: int) -> str:
        """The text that became certain with this id; often "", never part of a character."""
        token = self._texts.token(token_id)
        if token is None or token in self._hidden:
            return ""
        if self._texts.reach == "bytes":
            return self._utf8.decode(self._texts.token_bytes(token))
        if self._texts.reach == "everything":
            self._waiting.append(token)
            return ""
        if self._texts.is_byte(token):
            self._waiting.append(token)
            return ""
        if not self._started:
            return self._begin([*self._waiting, token])
        ahead = self._texts.behind(self._waiting) if self._waiting else ""
        self._waiting = []
        return ahead + self._texts.behind([token])

    def _begin(self, tokens: list[str]) -> str:
        """The beginning of a text is decoded together until it shows something: a decoder treats it apart."""
        text = self._texts.decode(tokens)
        self._started = text != ""
        self._waiting = [] if self._started else tokens
        return text

    def finish(self) -> str:
        """No more ids come: what was held back, with a replacement character for what is no character."""
        if self._texts.reach == "bytes":
            return self._utf8.decode(b"", final=True)
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return ""
        return self._texts.behind(waiting) if self._started else self._texts.decode(waiting)


def _decoder_parts(decoder: Any) -> list[Mapping[str, Any]]:
    """The decoder's steps in order; none where there is no decoder."""
    if decoder is None:
        return []
    return _flatten(json.loads(decoder.__getstate__()))


def _flatten(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if part["type"] != "Sequence":
        return [part]
    return [inner for step in part["decoders"] for inner in _flatten(step)]


def _reach(parts: list[Mapping[str, Any]]) -> Reach:
    """How far the decoder looks: bytes to be joined, one token (and the text's beginning), or everything."""
    kinds = [part["type"] for part in parts]
    if kinds and kinds[0] == "ByteLevel" and all(kind == "Fuse" for kind in kinds[1:]):
        return "bytes"
    fused = False
    for part in parts:
        kind = part["type"]
        if kind == "Fuse":
            fused = True
        elif kind == "Replace":
            pattern = part["pattern"].get("String")
            if pattern is None or ANCHOR in pattern or (fused and len(pattern) != 1):
                return "everything"
        elif kind == "Strip":
            if part["content"] == ANCHOR or (fused and part["stop"]):
                return "everything"
        elif kind not in ("Metaspace", "WordPiece", "ByteFallback") or fused:
            return "everything"
    return "token"
