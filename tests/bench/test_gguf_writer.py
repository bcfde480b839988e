"""Files for llama.cpp: read back by our own reader they are the model again."""

from pathlib import Path

import numpy as np
import pytest

from bench.gguf_writer import paired_rows, write_gguf
from tests.bench import tiny_llama
from tests.tiny import tiny_folder
from whetstone.errors import UsageError
from whetstone.models.gguf_file import half_split_rows, read_gguf
from whetstone.models.loading import Loaded, load


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny_llama.folder(tmp_path_factory.mktemp("model") / "llama")))


@pytest.mark.parametrize(("kind", "error"), [("f32", 0.0), ("f16", 2**-11), ("q8_0", 1 / 127)])
def test_weights_come_back_as_exactly_as_their_type_allows(loaded: Loaded, tmp_path: Path, kind, error) -> None:
    write_gguf(loaded, tmp_path / "m.gguf", kind)
    found = read_gguf(tmp_path / "m.gguf")
    assert found.config == loaded.model.config
    tensors = dict(found.tensors())
    for name, parameter in loaded.model.named_parameters():
        limit = 0.0 if parameter.ndim == 1 else error
        assert float((tensors[name] - parameter.detach()).abs().max()) <= limit * float(
            parameter.detach().abs().max()
        ), name


def test_words_and_chats_are_the_same_ids(loaded: Loaded, tmp_path: Path) -> None:
    write_gguf(loaded, tmp_path / "m.gguf", "f32")
    found = read_gguf(tmp_path / "m.gguf").tokenizer
    chat = [{"role": "user", "content": "What is 12 + 34?\nThis <|end|>"}]
    assert found.chat_ids(chat) == loaded.tokenizer.chat_ids(chat)
    assert found.stop_ids == loaded.tokenizer.stop_ids


def test_paired_rows_are_what_the_reader_undoes() -> None:
    values = np.arange(2 * 6 * 3).reshape(12, 3)
    assert paired_rows(values, 2)[:, 0].tolist() == [0, 9, 3, 12, 6, 15, 18, 27, 21, 30, 24, 33]
    assert (half_split_rows(paired_rows(values, 2), 2) == values).all()


def test_other_families_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only Llama models"):
        write_gguf(load(str(tiny_folder(tmp_path / "qwen"))), tmp_path / "m.gguf", "f32")
