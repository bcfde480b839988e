"""Text arrives id by id and is what decoding all ids at once gives, for every kind of decoder."""

from __future__ import annotations

from functools import cache

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from tests.models.test_tokenizer import CORPUS, TEXTS, core
from tests.tiny import tiny_tokenizer
from whetstone.engine.text.detokenize import ALPHABET, Detokenizer, byte_alphabet
from whetstone.models.hub import resolve
from whetstone.models.tokenizer import Tokenizer

PIECES = ["▁", "▁▁", "a", "b", "▁ab", "é", "</w>", "b</w>", "##b", "##", ".", "'s", " n't", "\ufffd", "|", "<pad>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPIECE = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
DECODERS = {
    "none": None,
    "fuse": decoders.Fuse(),
    "llama2": decoders.Sequence([*SPIECE, decoders.Strip(" ", 1, 0)]),
    "gemma": decoders.Sequence(SPIECE),
    "bytes-first": decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]),
    "strip-two": decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 2, 0)]),
    "strip-each": decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0), decoders.Fuse()]),
    "replace-late": decoders.Sequence([decoders.Fuse(), decoders.Replace("▁▁", "x")]),
    "replace-regex": decoders.Replace(tokenizers.Regex("a+"), "z"),
    "metaspace": decoders.Metaspace(),
    "metaspace-never": decoders.Metaspace(prepend_scheme="never"),
    "wordpiece": decoders.WordPiece(),
    "bpe": decoders.BPEDecoder(),
    "ctc": decoders.CTC(),
    "byte-level": decoders.ByteLevel(),
    "byte-level-inside": decoders.Sequence([decoders.ByteLevel(), decoders.Fuse()]),
    "byte-level-then": decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)]),
}


@cache
def word_level(name: str) -> Tokenizer:
    """Awkward pieces, all byte tokens, a special and a plain added token, under that decoder."""
    words = [*PIECES, *BYTES, *(char for char in ALPHABET if char not in PIECES)]
    made = tokenizers.Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="a"))
    if (decoder := DECODERS[name]) is not None:
        made.decoder = decoder
    made.add_special_tokens(["<|end|>", "<|call|>"])
    made.add_tokens([AddedToken("added é one", special=False)])
    return Tokenizer(made, {"eos_token": "<|end|>"})


def streamed(tokenizer: Tokenizer, ids: list[int], keep_special: bool = False) -> str:
    stream = Detokenizer(tokenizer, keep_special)
    return "".join([*(stream.feed(i) for i in ids), stream.finish()])


def test_alphabet_is_that_of_the_library() -> None:
    assert set(byte_alphabet()) == set(pre_tokenizers.ByteLevel.alphabet())
    everything = "".join(map(chr, range(0x250))) + "€😀"
    [(pretokens, _)] = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(everything)
    assert bytes(byte_alphabet()[char] for char in pretokens) == everything.encode()


@pytest.mark.parametrize("name", DECODERS)
@settings(deadline=None)
@given(data=st.data())
def test_equals_decoding_at_once(name: str, data: st.DataObject) -> None:
    tokenizer = word_level(name)
    some = st.sampled_from([tokenizer.core.token_to_id(piece) for piece in PIECES])
    byte = st.sampled_from([tokenizer.core.token_to_id(piece) for piece in BYTES])
    euro = st.just([tokenizer.core.token_to_id(f"<0x{value:02X}>") for value in "€".encode()])
    each = st.integers(0, tokenizer.vocab_size + 3)
    kinds = st.lists(some, max_size=3) | st.lists(byte, max_size=3) | euro | st.lists(each, max_size=4)
    runs = data.draw(st.lists(kinds))
    ids = [i for run in runs for i in run]
    assert streamed(tokenizer, ids) == tokenizer.decode(ids)
    assert streamed(tokenizer, ids, keep_special=True) == tokenizer.decode(ids, keep_special=True)


@settings(deadline=None)
@given(st.text(), st.data())
def test_byte_level_text_is_never_cut_inside_a_character(text: str, data: st.DataObject) -> None:
    tokenizer = Tokenizer(trained(), {"eos_token": "<|im_end|>"})
    ids = tokenizer.encode(text)
    stream = Detokenizer(tokenizer, keep_special=True)
    so_far = ""
    for i in ids:
        so_far += stream.feed(i)
        assert text.startswith(so_far)  # no replacement character, nothing to take back
    assert so_far + stream.finish() == text


@cache
def trained() -> tokenizers.Tokenizer:
    return core()


@settings(deadline=None)
@given(st.lists(st.integers(0, 420)))
def test_random_ids_of_a_byte_level_tokenizer(ids: list[int]) -> None:
    tokenizer = Tokenizer(trained(), {})
    assert streamed(tokenizer, ids) == tokenizer.decode(ids)
    assert streamed(tokenizer, ids, True) == tokenizer.decode(ids, keep_special=True)


def test_the_tests_tiny_tokenizer_streams_letter_by_letter() -> None:
    tokenizer = tiny_tokenizer()
    stream = Detokenizer(tokenizer)
    ids = [*tokenizer.encode("so be it."), *tokenizer.stop_ids]
    assert [stream.feed(i) for i in ids] == [*"so be it.", ""]
    assert stream.finish() == ""


def test_a_character_in_bytes_appears_when_its_run_has_ended() -> None:
    tokenizer = word_level("llama2")
    ids = [tokenizer.core.token_to_id(token) for token in ["▁", "a", "<0xE2>", "<0x82>", "<0xAC>", "b", "<0xE2>"]]
    stream = Detokenizer(tokenizer)
    assert [stream.feed(i) for i in ids] == ["", "a", "", "", "", "€b", ""]
    assert stream.finish() == "\ufffd"


def test_named_special_tokens_are_kept_and_the_others_not() -> None:
    tokenizer = word_level("fuse")
    ids = [tokenizer.core.token_to_id(token) for token in ["<|call|>", "a", "<|end|>"]]
    stream = Detokenizer(tokenizer, keep_special=["<|call|>"])
    assert "".join(map(stream.feed, ids)) == "<|call|>a"


@pytest.mark.parametrize("name", DECODERS)
def test_kinds_that_need_no_waiting_do_not_wait(name: str) -> None:
    tokenizer = word_level(name)
    stream = Detokenizer(tokenizer)
    shown = "".join(stream.feed(tokenizer.core.token_to_id(token)) for token in ["a", "b", "b"])
    waits = {"replace-late", "replace-regex", "bpe", "ctc", "byte-level-then"}
    assert (shown == "") == (name in waits)


@cache
def real() -> Tokenizer:
    return Tokenizer.load(resolve("smollm2-135m"))


@pytest.mark.real
@settings(deadline=None)
@given(st.lists(st.integers(0, 49_155)))
def test_real_tokenizer_on_random_ids(ids: list[int]) -> None:
    assert streamed(real(), ids) == real().decode(ids)
    assert streamed(real(), ids, True) == real().decode(ids, keep_special=True)


@pytest.mark.real
@settings(deadline=None)
@given(st.text() | st.sampled_from([*TEXTS, *CORPUS]))
def test_real_tokenizer_on_text(text: str) -> None:
    """Its vocabulary lacks a few bytes, so what is to come is its own decoding, which for most texts is the text."""
    ids = real().encode(text)
    whole = real().decode(ids, keep_special=True)
    stream, so_far = Detokenizer(real(), keep_special=True), ""
    for i in ids:
        so_far += stream.feed(i)
        assert whole.startswith(so_far)
    assert so_far + stream.finish() == whole
    if text in TEXTS:
        assert whole == text
