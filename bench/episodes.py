"""`whet bench episodes`: a library of many hours, imported and searched, beside plain FTS5 rows and beside grep.

The text is made: a vocabulary of 40,000 words with Zipf frequencies in sentences, two speakers, as WebVTT with a cue
every 3.6 s; an hour is 10,000 words. What is timed is all of an import: reading the file, cutting it into segments,
storing words and full-text index, computing and storing the floor's vectors. One thread: set OMP_NUM_THREADS=1.

Peers: the same segments as rows of an FTS5 table with sqlite3 alone (no words, times or vectors), and grep over the
same text in one file an episode, its pages in memory. Queries are pairs of words that stand together somewhere, from
the commonest to rare ones.
"""

import argparse
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from bench import report
from whetstone.episodes import formats, segments
from whetstone.episodes.asking import ask
from whetstone.episodes.content import About
from whetstone.episodes.embedding import HashedEmbedder
from whetstone.episodes.formats.reading import shown_clock
from whetstone.episodes.search import Search
from whetstone.episodes.stopwords import STOPWORDS
from whetstone.episodes.store import Store, vectors
from whetstone.errors import WorkFailed

WORDS_AN_HOUR = 10_000
_PARTS = "ka lo mi ter on ves sha pri gu den ra fol un ex bi to ne st al ion er an re in de com pro ment sti"
SYLLABLES = _PARTS.split()


class Talk:
    """Makes transcripts: number `n` is always the same."""

    def __init__(self, vocabulary: int = 40_000) -> None:
        chance = random.Random(0)
        made = {"".join(chance.choices(SYLLABLES, k=chance.choice((2, 2, 3, 3, 4)))) for _ in range(2 * vocabulary)}
        self.words = sorted(STOPWORDS, key=lambda word: (len(word), word))
        self.words += sorted(made - STOPWORDS, key=lambda word: (len(word), word))[: vocabulary - len(self.words)]
        weights_V = 1 / np.arange(1, len(self.words) + 1)
        self.cumulative_V = np.cumsum(weights_V / weights_V.sum())

    def episode(self, number: int, words: int = WORDS_AN_HOUR) -> str:
        """A WebVTT file."""
        generator = np.random.default_rng(number)
        drawn = np.searchsorted(self.cumulative_V, generator.random(words)).clip(0, len(self.words) - 1)
        lengths = iter(generator.integers(5, 24, words).tolist())
        left, turn, speaker = 0, 0, 0
        cues: list[str] = []
        cue: list[str] = []
        for place, index in enumerate(drawn.tolist()):
            word = self.words[index]
            if left == 0:
                word, left = word.capitalize(), next(lengths)
                turn -= 1
                if turn < 0:
                    speaker, turn = 1 - speaker, left % 7
                    if cue:
                        cues.append(self._cue(len(cues), cue))
                        cue = []
                    cue.append(f"<v {('Ann Lee', 'Bob')[speaker]}>{word}")
                    continue
            left -= 1
            cue.append(f"{word}{'.' if left == 0 or place == words - 1 else ''}")
            if len(cue) == 10:
                cues.append(self._cue(len(cues), cue))
                cue = []
        if cue:
            cues.append(self._cue(len(cues), cue))
        return "WEBVTT\n\n" + "\n\n".join(cues) + "\n"

    @staticmethod
    def _cue(number: int, words: list[str]) -> str:
        start = 3.6 * number
        return f"{shown_clock(start)} --> {shown_clock(start + 3.6)}\n{' '.join(words)}"


@dataclass
class Timed:
    """Seconds spent in each part of the import, and what came of it."""

    read: float = 0.0
    cut: float = 0.0
    store: float = 0.0
    embed: float = 0.0
    plain: float = 0.0
    words: int = 0
    segments: int = 0

    @property
    def all(self) -> float:
        return self.read + self.cut + self.store + self.embed


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    begin = time.perf_counter()
    found = work()
    return time.perf_counter() - begin, found


def build(folder: Path, episodes: int) -> tuple[Store, sqlite3.Connection, Timed]:
    """The library, the peer's table and the text files for grep, of the same episodes."""
    talk, store, embedder, spent = Talk(), Store(folder / "library.db"), HashedEmbedder(), Timed()
    peer = sqlite3.connect(folder / "plain.db", isolation_level=None)
    peer.execute("PRAGMA journal_mode = WAL")
    peer.execute("PRAGMA synchronous = NORMAL")
    peer.execute(
        "CREATE VIRTUAL TABLE spoken USING fts5 (text, episode UNINDEXED, number UNINDEXED, tokenize='porter')"
    )
    (folder / "text").mkdir()
    show = store.add_show("Made talk")
    said = time.monotonic()
    for number in range(episodes):
        content = talk.episode(number).encode()
        seconds, found = timed(lambda content=content: formats.read(content, "made"))
        spent.read += seconds
        seconds, transcript = timed(lambda found=found: segments.transcript(found))
        spent.cut += seconds
        about = About(f"Episode {number}", guid=str(number), published=f"20{10 + number % 16}-0{1 + number % 9}-01")
        episode = store.add_episode(show, about)
        spent.store += timed(lambda e=episode, t=transcript: store.set_transcript(e, t))[0]
        spent.embed += timed(lambda e=episode, t=transcript: vectors.index_episode(store, embedder, e, t))[0]
        lines = [transcript.segment_text(each.id) for each in transcript.segments]
        spent.plain += timed(lambda n=number, rows=lines: fill(peer, n, rows))[0]
        (folder / "text" / f"{number:05d}.txt").write_text("\n".join(lines) + "\n")
        spent.words += len(transcript.words)
        spent.segments += len(lines)
        if time.monotonic() - said > 20:
            said = time.monotonic()
            report.say(f"{number + 1} of {episodes} episodes imported")
    spent.store += timed(store.optimise)[0]
    spent.plain += timed(lambda: peer.execute("INSERT INTO spoken (spoken) VALUES ('optimize')"))[0]
    return store, peer, spent


def fill(peer: sqlite3.Connection, episode: int, lines: list[str]) -> None:
    """The peer's import of one episode."""
    peer.execute("BEGIN")
    peer.executemany(
        "INSERT INTO spoken VALUES (?,?,?)", [(line, episode, number) for number, line in enumerate(lines)]
    )
    peer.execute("COMMIT")


def pairs(store: Store, count: int) -> list[tuple[str, str]]:
    """Two words that stand in one segment, neither a function word."""
    rows = store.rows("SELECT text FROM segments WHERE id % 97 = 5 LIMIT ?", (50 * count,))
    chance, found = random.Random(1), []
    for row in rows:
        words = [word for word in re.findall(r"[a-z]+", row[0].lower()) if word not in STOPWORDS]
        if len(set(words)) > 2:
            first, second = chance.sample(sorted(set(words)), 2)
            found.append((first, second))
    return found[:count]


def grep(folder: Path, pair: tuple[str, str]) -> int:
    """Lines with both words. The pipe is what a person at a shell does."""
    first = subprocess.run(["grep", "-rhiw", pair[0], folder / "text"], capture_output=True, env={"LC_ALL": "C"})
    second = subprocess.run(["grep", "-iwc", pair[1]], input=first.stdout, capture_output=True, env={"LC_ALL": "C"})
    return int(second.stdout or b"0")


def measure(episodes: int, queries: int, folder: Path) -> Iterator[dict[str, Any]]:
    """All rows; WorkFailed where the sides do not find the same."""
    store, peer, spent = build(folder, episodes)
    details: dict[str, Any] = {"episodes": episodes, "words": spent.words, "segments": spent.segments}
    parts = {"read": spent.read, "cut": spent.cut, "store": spent.store, "embed": spent.embed}
    yield report.row(
        "episodes.import", spent.all / episodes, spent.plain / episodes, "FTS5 rows alone", "s an hour of talk",
        higher_is_better=False, seconds={key: report.rounded(value) for key, value in parts.items()}, **details,
        note=f"all of {spent.all:.0f} s; " + ", ".join(f"{key} {value:.1f} s" for key, value in parts.items()),
    )  # fmt: skip
    store.row("PRAGMA wal_checkpoint(TRUNCATE)")
    peer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sizes = [(folder / name).stat().st_size / 1e6 for name in ("library.db", "plain.db")]
    yield report.row("episodes.size", *sizes, "FTS5 rows alone", "MB", higher_is_better=False, **details)
    yield from searches(store, peer, folder, pairs(store, queries), details)
    store.close()
    peer.close()


def searches(
    store: Store, peer: sqlite3.Connection, folder: Path, asked: list[tuple[str, str]], details: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Queries, each asked of both sides in turn."""
    search = Search(store)
    question = "SELECT episode, number FROM spoken WHERE spoken MATCH ? ORDER BY rank LIMIT 20"
    ours, plain, shell = [], [], []
    for first, second in asked:
        seconds, hits = timed(lambda text=f"{first} {second}": search.find(text, limit=20, ways=("words",)))
        ours.append(seconds)
        seconds, rows = timed(lambda text=f'"{first}" "{second}"': peer.execute(question, (text,)).fetchall())
        plain.append(seconds)
        if len(hits) != len(rows) or not hits:
            raise WorkFailed(f"{first} {second}: ours finds {len(hits)} and plain FTS5 {len(rows)}: not the same work")
        seconds, lines = timed(lambda pair=(first, second): grep(folder, pair))
        shell.append(seconds)
        if not lines:
            raise WorkFailed(f"{first} {second}: grep finds nothing: not the same work")
    for peer_name, theirs in (("FTS5 rows alone", plain), ("grep", shell)):
        yield report.row(
            "episodes.two_words", 1e3 * statistics.median(ours), 1e3 * statistics.median(theirs), peer_name, "ms",
            higher_is_better=False, slowest=[1e3 * max(ours), 1e3 * max(theirs)], queries=len(asked), **details,
            note=f"medians of {len(asked)}; the slowest {1e3 * max(ours):.2f} and {1e3 * max(theirs):.2f} ms",
        )  # fmt: skip
    begin = time.perf_counter()
    search.find("warm up", ways=("meaning",))
    first_time = time.perf_counter() - begin
    for name, work in {
        "episodes.meaning": lambda text: search.find(text, ways=("meaning",)),
        "episodes.both": search.find,
        "episodes.question": lambda text: ask(search, text),
    }.items():
        spent = sorted(timed(lambda text=f"{first} {second}", work=work: work(text))[0] for first, second in asked)
        yield report.row(
            name, 1e3 * statistics.median(spent), None, "a peer for that", "ms", higher_is_better=False,
            slowest=1e3 * spent[-1], first_query=1e3 * first_time, queries=len(asked), **details,
            note=f"the slowest {1e3 * spent[-1]:.0f} ms; reading the vectors before that {1e3 * first_time:.0f} ms",
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--episodes", type=int, default=1000, help="of an hour each")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument(
        "--keep", type=Path, help="an empty folder for the library, which is kept; else a temporary one"
    )
    options = parser.parse_args()
    if options.episodes < 1 or options.queries < 1:
        parser.error("at least one episode and one query")
    folder = options.keep or Path(tempfile.mkdtemp(prefix="whet-episodes-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    try:
        report.print_rows(measure(options.episodes, options.queries, folder), options.json)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    report.main(main)
