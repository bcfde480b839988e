"""The audit of a corpus from files to figures."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from whetstone.errors import UsageError
from whetstone.evals.contamination import near as near_duplicates
from whetstone.evals.contamination.corpus import Document, questions, read
from whetstone.evals.contamination.corpus_audit import audit_corpus
from whetstone.evals.contamination.near import NearIndex
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.registry import load_task

VOCABULARY = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "rain",
    "house",
    "tree",
    "light",
    "stone",
    "cloud",
    "bread",
    "water",
    "fire",
    "road",
    "sea",
    "hill",
]


def _prose(rng: random.Random, size: int) -> str:
    return " ".join(rng.choice(VOCABULARY) for _ in range(size))


def _problems(n: int) -> list[str]:
    task = load_task("reversal")
    key = Key.derive(b"0", "whetstone eval")
    return [problem.question for problem in Stream(task, key, "eval", 10).take(n, distinct=True)]


def _corpus(folder: Path, leaked: list[str]) -> list[Path]:
    """A JSON lines file, a text file and a parquet file with a leak each, at known places."""
    rng = random.Random(1)
    rows = [{"text": _prose(rng, 80)} for _ in range(50)]
    rows[20] = {"text": f"{_prose(rng, 30)} {leaked[0]} {_prose(rng, 30)}"}
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "b.txt").write_text(f"{_prose(rng, 60)}\n\n{_prose(rng, 10)}\n{leaked[1]}\nend\n\n{_prose(rng, 20)}\n")
    table = pyarrow.table({"question": [_prose(rng, 20), leaked[2]], "answer": ["yes", "no"], "id": [1, 2]})
    pyarrow.parquet.write_table(table, folder / "c.parquet")
    return [folder / "a.jsonl", folder / "b.txt", folder / "c.parquet"]


def test_leaks_are_found_at_their_places_with_their_text(tmp_path: Path) -> None:
    leaked = _problems(3)
    found = audit_corpus(_corpus(tmp_path, leaked), Progress(), task="reversal", level=10, n=200)
    places = {match["item"]: match["place"] for match in found["matches"] if match["kind"] == "words"}
    assert places == {
        0: f"{tmp_path / 'a.jsonl'}:21",
        1: f"{tmp_path / 'b.txt'}:3",
        2: f"{tmp_path / 'c.parquet'}:2",
    }
    for match in found["matches"]:
        assert match["coverage"] == 1.0
        assert match["question"] == leaked[match["item"]]
        assert leaked[match["item"]].removesuffix(".").casefold().replace(":", "") in (
            match["text"].replace(":", "").removesuffix(".")
        )
    assert found["held"]["words"]["mean"] == found["held"]["near"]["mean"] == 3 / 200
    assert found["documents"] == 50 + 3 + 2


def test_what_the_search_would_have_found_stands_beside_it(tmp_path: Path) -> None:
    rng = random.Random(2)
    (tmp_path / "clean.txt").write_text("\n\n".join(_prose(rng, 90) for _ in range(40)))
    found = audit_corpus([tmp_path / "clean.txt"], Progress(), task="reversal", level=10, n=100)
    assert found["matches"] == [] and found["near"] == []
    recall = found["recall"]
    assert recall["verbatim"]["13 words"]["mean"] == recall["verbatim"]["50 characters"]["mean"] == 1.0
    assert recall["verbatim"]["near-duplicates"]["mean"] > 0.95
    assert recall["one word edited"]["13 words"]["mean"] < 0.9  # an item of 17 words broken near its middle
    assert recall["one word edited"]["near-duplicates"]["mean"] > recall["one word edited"]["13 words"]["mean"] + 0.2
    assert recall["reworded"]["13 words"]["mean"] < 1.0


def test_items_come_from_a_file(tmp_path: Path) -> None:
    item = "How many of the seventeen grey ships that left the old harbour on Monday came back before the storm?"
    (tmp_path / "items.jsonl").write_text(json.dumps({"question": item, "answer": "4"}) + "\n")
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt") as file:
        file.write(json.dumps({"messages": [{"role": "user", "content": f"Tell me. {item}"}]}) + "\n")
    found = audit_corpus([tmp_path / "corpus.jsonl.gz"], Progress(), items=tmp_path / "items.jsonl")
    assert found["held"]["words"]["mean"] == 1.0
    assert found["matches"][0]["text"] in item.casefold()


def test_without_datasketch_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "available", lambda: False)
    (tmp_path / "a.txt").write_text("some words")
    found = audit_corpus([tmp_path / "a.txt"], Progress(), task="addition", n=20)
    assert "datasketch" in found["notes"][0] and "near" not in found["held"]
    with pytest.raises(UsageError, match="whetstone-lab\\[audit\\]"):
        NearIndex(["an item"])


def test_a_near_duplicate_is_the_most_alike_stretch() -> None:
    item = "the old man and the sea went out for a walk in the morning light"
    other = "the old man and the sea went out for a swim in the morning light"
    rng = random.Random(3)
    documents = [Document("a", 1, _prose(rng, 200)), Document("a", 2, f"{_prose(rng, 40)} {other} {_prose(rng, 40)}")]
    (match,) = NearIndex([item, "something that nobody wrote down anywhere at any time at all"]).scan(documents)
    assert (match.item, match.document.line) == (0, 2)
    assert 0.4 < match.similarity < 1.0
    assert "went out for a swim" in match.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{broken\n', "a.jsonl:2"),
        ("a.txt", b"\xff\xfe\xfa", "cannot be read"),
        ("a.parquet", b"not parquet at all", "no parquet file"),
        ("a.jsonl.gz", b"not gzip", "cannot be read"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        list(read([tmp_path / name]))


def test_wrong_questions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n")
    some: dict[str, Any] = {"task": "addition", "items": tmp_path / "a.txt"}
    for wrong in ({}, some):
        with pytest.raises(UsageError, match="--task NAME, or --items FILE"):
            audit_corpus([tmp_path / "a.txt"], Progress(), **wrong)
    with pytest.raises(UsageError, match="no file"):
        audit_corpus([tmp_path / "none.txt"], Progress(), task="addition")
    with pytest.raises(UsageError, match="holds no item"):
        questions(tmp_path / "a.txt")
