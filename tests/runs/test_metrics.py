import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whetstone.errors import WorkFailed
from whetstone.runs.metrics import JsonLines, encode_row, read


def test_rows_come_back(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "run" / "metrics.jsonl")
    assert log.size() == 0 and log.rows() == []
    log.append({"step": 1, "reward": 0.1})
    log.extend([{"step": 2, "text": "a\nb\u2028c"}, {"step": 3}])
    assert log.rows() == [{"step": 1, "reward": 0.1}, {"step": 2, "text": "a\nb\u2028c"}, {"step": 3}]
    assert log.size() == log.path.stat().st_size


def test_bytes_do_not_depend_on_the_order_in_which_a_dict_was_filled() -> None:
    one = {"step": 1, "verdicts": Counter(["right", "wrong"]), "accuracy": 0.5}
    other = {"accuracy": 0.5, "verdicts": Counter(["wrong", "right"]), "step": 1}
    assert encode_row(one) == encode_row(other)
    assert encode_row(one).startswith(b'{"step": 1, "accuracy": 0.5, "verdicts": {"right": 1')


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    row = {"a": np.float32(0.1), "b": torch.tensor(2.0), "c": np.int64(3), "d": [np.float64(0.1)], "e": True}
    assert json.loads(encode_row(row)) == {
        "a": float(np.float32(0.1)),
        "b": 2.0,
        "c": 3,
        "d": [0.1],
        "e": True,
    }


def test_nan_and_infinity_become_null() -> None:
    row = json.loads(encode_row({"loss": float("nan"), "norms": [float("inf"), 1.0], "t": torch.tensor(np.nan)}))
    assert row == {"loss": None, "norms": [None, 1.0], "t": None}


def test_values_that_are_not_json_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "metrics.jsonl")
    with pytest.raises(TypeError):
        log.extend([{"step": 1}, {"step": 2, "bad": object()}])
    assert log.size() == 0


def test_a_half_written_last_line_is_ignored_and_cut_by_the_next_append(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "metrics.jsonl")
    log.append({"step": 1})
    with open(log.path, "ab") as file:
        file.write(b'{"step": 2, "rew')
    assert log.rows() == [{"step": 1}]
    log.append({"step": 2})
    assert log.path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


def test_a_half_line_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "samples.jsonl")
    log.append({"step": 1})
    with open(log.path, "ab") as file:
        file.write(b"x" * 200_000)
    log.append({"step": 2})
    assert log.path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


def test_a_damaged_line_inside_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(WorkFailed, match="line 2"):
        read(path)


def test_truncate_continues_byte_identical(tmp_path: Path) -> None:
    whole, cut = JsonLines(tmp_path / "whole"), JsonLines(tmp_path / "cut")
    rows = [{"step": step, "reward": step / 7} for step in range(6)]
    whole.extend(rows)
    cut.extend(rows[:3])
    checkpoint = cut.size()
    cut.extend(rows[3:5])
    cut.truncate(checkpoint)
    cut.extend(rows[3:])
    assert cut.path.read_bytes() == whole.path.read_bytes()


def test_truncate_to_more_than_there_is_says_that_rows_were_lost(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "metrics.jsonl")
    log.append({"step": 1})
    with pytest.raises(WorkFailed, match="expects at least 99"):
        log.truncate(99)


def test_full_disk_leaves_the_earlier_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = JsonLines(tmp_path / "metrics.jsonl")
    log.append({"step": 1})

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(WorkFailed, match="earlier rows are intact"):
        log.append({"step": 2})
    assert log.path.read_bytes() == b'{"step": 1}\n'


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
    )
)
def test_any_json_survives_the_way_through_a_line(row: dict[str, object]) -> None:
    line = encode_row(row)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert json.loads(line) == row
