"""Documents of a corpus, one after the other, each with the file and the line that it begins in.

JSON lines, parquet, and plain text (paragraphs). Nothing is read whole but one document, or one batch of a parquet
file.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from whetstone.errors import UsageError

# What a record's text may be called, the first that is there; else all its texts together.
_TEXT = ("text", "content", "document", "body")
_QUESTION = ("question", "problem", "prompt", "instruction", "input", "query")
_PARQUET_ROWS = 1024


@dataclass(frozen=True)
class Document:
    """`line` is the line or row of the file in which the document begins, from 1."""

    file: str
    line: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def read(files: Iterable[Path]) -> Iterator[Document]:
    """All documents of the files. Raises UsageError for a file that is missing, or that cannot be read as its name
    says."""
    for file in files:
        for line, record in records(file):
            text = record if isinstance(record, str) else _text(record)
            if text.strip():
                yield Document(str(file), line, text)


def questions(file: Path) -> list[str]:
    """The questions of a file of items: the usual field of each record, or the whole record's text.

    Raises UsageError as `read`, and for a file without an item.
    """
    found = []
    for _, record in records(file):
        if isinstance(record, str):
            found.append(record)
        else:
            named = next((record[name] for name in _QUESTION if isinstance(record.get(name), str)), None)
            found.append(_text(record) if named is None else named)
    found = [text for text in found if text.strip()]
    if not found:
        raise UsageError(f"{file} holds no item: a JSON object or a paragraph each is expected")
    return found


def records(file: Path) -> Iterator[tuple[int, Any]]:
    """(line, record): a dict from JSON lines and parquet, a str from plain text."""
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    name = file.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            yield from _parquet(file)
            return
        with (
            gzip.open(file, "rt", encoding="utf-8")
            if file.name.endswith(".gz")
            else file.open(encoding="utf-8") as lines
        ):
            yield from _json_lines(file, lines) if name.endswith((".jsonl", ".ndjson")) else _paragraphs(lines)
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None


def _json_lines(file: Path, lines: IO[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{file}:{number} is not JSON ({error}): mend or remove that line") from None
        yield number, record if isinstance(record, dict | str) else {"": record}


def _paragraphs(lines: IO[str]) -> Iterator[tuple[int, str]]:
    first = 1
    held: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            first = first if held else number
            held.append(line)
        elif held:
            yield first, "".join(held)
            held = []
    if held:
        yield first, "".join(held)


def _parquet(file: Path) -> Iterator[tuple[int, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError("parquet files need pyarrow: pip install 'whetstone-lab[audit]'") from None
    try:
        row = 0
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=_PARQUET_ROWS):
            for record in batch.to_pylist():
                row += 1
                yield row, record
    except pyarrow.ArrowException as error:
        raise UsageError(f"{file} is no parquet file: {error}") from None


def _text(record: Mapping[str, Any]) -> str:
    named = next((record[name] for name in _TEXT if isinstance(record.get(name), str)), None)
    return "\n".join(_strings(record)) if named is None else named


def _strings(value: Any) -> Iterator[str]:
    """Every text inside of a record, in order: chats and question with answer are read so."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
