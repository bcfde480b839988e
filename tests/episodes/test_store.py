"""The library's file: what goes in comes out, nothing is half done, and who reads is not in the writer's way."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.episodes.conversations import said, transcripts
from whetstone.episodes.content import About, Chapter, Quote
from whetstone.episodes.store import Store, database, evidence, fingerprint, packing, schema, stages
from whetstone.episodes.store.library import Speaker
from whetstone.episodes.transcript import Origin, Segment, Timing, Transcript, Word
from whetstone.errors import UsageError, WorkFailed

TALK = said(
    ("SPEAKER_00", "Welcome back. Today we talk about steam."),
    ("SPEAKER_01", "Thanks! Steam is hot."),
    ("SPEAKER_00", "Is it?"),
    origin=Origin.MACHINE,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "library.db")


def add(store: Store, transcript: Transcript | None = TALK, title: str = "One", **about: str) -> int:
    episode = store.add_episode(store.add_show("Talks"), About(title, guid=title, **about))  # type: ignore[arg-type]
    if transcript is not None:
        store.set_transcript(episode, transcript)
    return episode


times = st.one_of(st.none(), st.integers(0, 10**9).map(lambda value: value / 1000))
words = st.builds(
    Word,
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.split() == [text]),
    times,
    times,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    st.one_of(st.none(), st.integers(0, 10_000).map(lambda value: value / 10_000)),
    st.booleans(),
)


@given(st.lists(words, max_size=30))
@settings(max_examples=150, deadline=None)
def test_packed_words_come_out_the_same(given_: list[Word]) -> None:
    assert packing.unpack(packing.pack(given_)) == tuple(given_)


def test_what_cannot_be_packed_or_unpacked() -> None:
    for texts in (["", "ok"], ["two words"], ["a\nb"], ["", "two words"]):
        with pytest.raises(ValueError, match="white space"):
            packing.pack([Word(text) for text in texts])
    good = packing.pack(TALK.words)
    for blob in (b"", b"x", good[:-9], packing.zlib.compress(b"{}\n"), packing.zlib.compress(b"[1]\nx")):
        with pytest.raises(WorkFailed, match="damaged"):
            packing.unpack(blob)


@given(transcripts())
@settings(max_examples=30, deadline=None)
def test_transcripts_come_out_the_same(tmp_path_factory: pytest.TempPathFactory, given_: Transcript) -> None:
    with Store(tmp_path_factory.mktemp("library") / "a.db") as store:
        episode = add(store, given_)
        assert store.transcript(episode) == given_
        assert fingerprint(store.transcript(episode) or TALK) == fingerprint(given_)


def test_a_fingerprint_changes_with_every_word_time_speaker_and_cut() -> None:
    first = TALK.words[0]
    changes = [
        replace(TALK, words=(replace(first, **{key: value}), *TALK.words[1:]))  # type: ignore[arg-type]
        for key, value in {"text": "x", "start": 0.001, "end": 9.0, "speaker": "x", "doubtful": True}.items()
    ]
    changes += [replace(TALK, timing=Timing.CUE), replace(TALK, origin=Origin.PUBLISHER), replace(TALK, language="de")]
    changes.append(replace(TALK, segments=(replace(TALK.segments[0], paragraph=False), *TALK.segments[1:])))
    prints = {fingerprint(each) for each in [TALK, *changes]}
    assert len(prints) == 1 + len(changes)


def test_episodes(store: Store) -> None:
    show = store.add_show("Talks", "https://x/feed", language="en")
    about = About("One", "", "2024-01-02", 60.5, "g1", "l", "d", (("Ann", "host"),), "a.mp3")
    first = store.add_episode(show, about, source="s", audio_sha256="h", chapters=[(0.0, "A")])
    assert store.add_episode(show, replace(about, title="One, again", seconds=None)) == first
    other = store.add_episode(store.add_show("Else"), About("Two", published="2025-01-01"))
    found = store.episode(first)
    assert found.about == replace(about, title="One, again", show="Talks")
    assert (found.source, found.audio_sha256, found.words, found.origin) == ("s", "h", 0, None)
    assert [each.id for each in store.episodes()] == [other, first]
    assert [each.id for each in store.episodes(show)] == [first] and store.find_episode(show, "g1") == first
    assert store.add_show("New title", "https://x/feed") == show
    assert [each.title for each in store.shows()] == ["Else", "New title"]
    assert store.transcript(first) is None
    with pytest.raises(UsageError, match="no episode 99"):
        store.episode(99)
    with pytest.raises(UsageError, match="no episode 99"):
        store.set_transcript(99, TALK)
    store.remove_episode(other)
    assert [each.title for each in store.shows()] == ["New title"]


def test_another_transcript_replaces_what_was_made_of_the_old_one(store: Store) -> None:
    episode = add(store)
    assert not store.set_transcript(episode, TALK)
    store.rename_speaker(episode, "SPEAKER_00", "Ann")
    store.name_segment(episode, 1, "Eve")
    store.set_quotes(episode, [Quote(0, 3)])
    stages.record(store, episode, "map", {"a": 1}, [1])
    assert store.set_transcript(episode, said(("SPEAKER_00", "Quite something else.")))
    assert store.rows("SELECT * FROM spoken WHERE spoken MATCH 'steam'") == []
    assert len(store.rows("SELECT * FROM spoken WHERE spoken MATCH 'something'")) == 1
    for table in ("overrides", "quotes", "stages", "vectors"):
        assert store.rows(f"SELECT * FROM {table}") == []
    found = store.transcript(episode)
    assert found is not None and found.words[0].speaker == "Ann"  # the name given by hand stays
    store.remove_episode(episode)
    assert (
        store.rows("SELECT * FROM spoken WHERE spoken MATCH 'something'") == []
        and store.rows("SELECT * FROM segments") == []
    )
    store.row("INSERT INTO spoken (spoken) VALUES ('integrity-check')")


def test_names_of_speakers(store: Store) -> None:
    first, second = add(store), add(store, title="Two")
    assert store.speakers(first) == [Speaker("SPEAKER_00", "SPEAKER_00", 3), Speaker("SPEAKER_01", "SPEAKER_01", 2)]
    assert store.rename_speaker_in_show(store.episode(first).show, "SPEAKER_00", "Ann") == 2
    store.name_segment(second, 1, "Eve")
    found = store.transcript(second)
    assert found is not None
    assert [each.speaker for each in found.segments] == ["Ann", "Eve", "SPEAKER_01", "SPEAKER_01", "Ann"]
    assert all(word.speaker == each.speaker for each in found.segments for word in found.words[each.first : each.end])
    assert store.transcript(second, as_published=True) == TALK
    store.name_segment(second, 1, None)
    store.rename_speaker(second, "SPEAKER_00", "SPEAKER_00")
    assert store.transcript(second) == TALK
    with pytest.raises(UsageError, match="nobody is called 'Zoe'"):
        store.rename_speaker(first, "Zoe", "Ann")
    with pytest.raises(UsageError, match="no segment 77"):
        store.name_segment(first, 77, "Ann")


def test_who_says_a_single_sentence_outlives_another_transcript(store: Store) -> None:
    """The same sentence, the nearest of several; else most of its words in its time."""
    episode = add(store)
    first = said(("A", "Yes. We met at noon. Yes."), ("B", "It rained all day on the old harbour wall."))
    store.set_transcript(episode, first)
    store.name_segment(episode, 2, "Eve")
    store.name_segment(episode, 3, "Eve")
    # told apart otherwise, with a sentence more before, and one word of the last sentence heard anew
    again = said(("A", "Yes."), ("B", "We met at noon."), ("A", "Yes. It rained all day on the cold harbour wall."))
    assert store.set_transcript(episode, again)
    found = store.transcript(episode)
    assert found is not None and [each.speaker for each in found.segments] == ["A", "B", "Eve", "Eve"]
    other = said(("A", "Nothing of that was said. " * 5))
    store.set_transcript(episode, other)
    assert store.corrections(episode) == {}


def test_a_correction_follows_the_speaker_whom_it_names(store: Store) -> None:
    episode = add(store)
    store.name_segment(episode, 1, "SPEAKER_01")
    store.rename_speaker(episode, "SPEAKER_01", "Bob")
    own, shown = store.transcript(episode, renamed=False), store.transcript(episode)
    assert own is not None and own.segments[1].speaker == "SPEAKER_01"
    assert shown is not None and shown.segments[1].speaker == "Bob" and store.corrections(episode) == {1: "Bob"}
    store.name_segment(episode, 1, "SPEAKER_00")  # who says it by the transcript too
    assert store.corrections(episode) == {} and store.corrected_names() == {}


def test_stages_are_done_once_for_the_same_inputs(store: Store) -> None:
    episode, calls = add(store), []

    def work() -> object:
        calls.append(1)
        return {"lines": ["é", 1.5, None]}

    inputs = {"transcript": fingerprint(TALK), "model": "m", "temperature": 0.0}
    first = stages.done(store, episode, "map/0", inputs, work)
    assert stages.done(store, episode, "map/0", dict(reversed(inputs.items())), work) == first and len(calls) == 1
    stages.done(store, episode, "map/0", inputs | {"model": "n"}, work)
    stages.done(store, episode, "map", inputs, work)
    stages.done(store, episode, "mapping", inputs, work)
    assert len(calls) == 4 and list(stages.finished(store, episode)) == ["map", "map/0", "mapping"]
    stages.forget(store, episode, "map")
    assert list(stages.finished(store, episode)) == ["mapping"]
    with pytest.raises(RuntimeError):
        stages.done(store, episode, "verify", inputs, lambda: (_ for _ in ()).throw(RuntimeError("broken")))
    assert stages.recorded(store, episode, "verify", inputs) is None


def test_dismissals_quotes_and_chapters(store: Store) -> None:
    episode = add(store)
    store.dismiss(episode, "c1", "a joke")
    store.dismiss(episode, "c2")
    store.take_back_dismissal(episode, "c2")
    assert store.dismissed(episode) == {"c1": "a joke"}
    store.set_quotes(episode, [Quote(0, 3), Quote(4, 6)])
    store.set_quotes(episode, [Quote(1, 3)])
    assert [tuple(row) for row in store.rows("SELECT first, finish FROM quotes")] == [(1, 3)]
    store.add_episode(1, About("One", guid="One"), chapters=[(0, "Start"), (0.81, "Steam"), (999, "Never")])
    assert store.chapters(episode) == (Chapter("Start", 0), Chapter("Steam", 1))


def test_evidence(store: Store) -> None:
    text = "Steam engines were built in 1712.\n\n" + "Newcomen built one. " * 100 + "\n\nThe \x1b[31mend."
    document = evidence.add(store, "Engines", text, "engines.txt", "1990")
    assert evidence.add(store, "Engines again", text, "engines.txt", "1991") == document
    [found] = evidence.documents(store)
    assert (found.title, found.published) == ("Engines again", "1991") and found.passages == 4
    assert evidence.text(store, document).split() == text.replace("\x1b", "").split()
    for nothing in ("", " \n"):
        with pytest.raises(UsageError, match="no words"):
            evidence.add(store, "Empty", nothing)
    evidence.remove(store, document)
    assert evidence.documents(store) == [] and store.rows("SELECT * FROM evidence WHERE evidence MATCH 'steam'") == []
    with pytest.raises(UsageError, match="no document"):
        evidence.text(store, document)


def test_what_a_search_found_is_of_its_own_kind(store: Store) -> None:
    text = "Steam engines were built in 1712."
    found = evidence.add(store, "Web\x1b[2J", text, "https://a.example", "", "2026-03-01")
    assert evidence.documents(store)[0].title == "Web[2J"
    assert evidence.add(store, "Web", text, "https://b.example", "", "2026-03-02") == found
    [document] = evidence.documents(store)
    assert (document.source, document.retrieved) == ("https://b.example", "2026-03-02")
    assert evidence.add(store, "Mine", text, "engines.txt") == found
    evidence.add(store, "Web", text, "https://a.example", "", "2026-03-03")
    [document] = evidence.documents(store)
    assert (document.title, document.source, document.retrieved) == ("Mine", "engines.txt", ""), "a user's stays so"


# -- the file ----------------------------------------------------------------------------------------------------------


def test_a_library_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    old = schema.TABLES.replace(", retrieved TEXT NOT NULL DEFAULT ''", "")
    assert old != schema.TABLES
    path = tmp_path / "old.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.executescript(old)
        base.execute("INSERT INTO documents VALUES (7, 'Old', 'old.txt', '2020', 'x', '2020')")
        base.execute("INSERT INTO passages VALUES (1, 7, 0, 'Old words.')")
        base.execute(f"PRAGMA application_id = {schema.APPLICATION}")
        base.execute("PRAGMA user_version = 1")
        base.commit()
    stores = [Store(path), Store(path)]
    for store in stores:
        [kept] = evidence.documents(store)
        assert (kept.id, kept.title, kept.retrieved) == (7, "Old", "")
        assert store.rows("PRAGMA user_version")[0][0] == schema.VERSION
        store.close()


def test_files_that_are_no_library_are_refused_and_left_alone(tmp_path: Path) -> None:
    later = tmp_path / "later.db"
    Store(later).close()
    with sqlite3.connect(later) as base:
        base.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    base.close()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as base:
        base.execute("CREATE TABLE theirs (x)")
    base.close()
    text = tmp_path / "text.db"
    text.write_text("hello " * 1000)
    (tmp_path / "folder.db").mkdir()
    for path, reason in [
        (later, "later version"),
        (other, "another program"),
        (text, "no library"),
        (tmp_path / "folder.db", "cannot be opened"),
        (text / "below.db", "made a folder"),
    ]:
        content = path.read_bytes() if path.is_file() else None
        with pytest.raises(UsageError, match=reason) as failure:
            Store(path)
        assert "\n" not in str(failure.value)
        assert content is None or path.read_bytes() == content


def test_a_damaged_library_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as store:
        for number in range(20):
            add(store, title=str(number))
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 2000] = b"\xff" * 2000
    path.write_bytes(content)
    with pytest.raises(WorkFailed, match="damaged"), Store(path) as store:
        for episode in range(1, 21):
            store.transcript(episode)
            store.rows("SELECT * FROM spoken WHERE spoken MATCH 'steam'")


def test_a_reader_sees_one_moment_and_waits_for_nobody(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    add(store)
    seen: list[int] = []

    def read() -> None:
        seen.append(len(store.episodes()))

    with store.writing() as base:
        base.execute("DELETE FROM episodes")
        reader = threading.Thread(target=read)
        reader.start()
        reader.join(10)
    assert seen == [1] and store.episodes() == []
    with store.reading():
        assert store.episodes() == []
        other = Store(tmp_path / "a.db")
        add(other)
        assert store.episodes() == []
    assert len(store.episodes()) == 1
    with store.reading(), pytest.raises(RuntimeError, match="inside of reading"):
        store.remove_episode(1)


def test_threads_that_ended_leave_no_connections(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        for _ in range(20):
            thread = threading.Thread(target=store.episodes)
            thread.start()
            thread.join()
        assert len(store._all) <= 3


def test_a_second_writer_waits_and_then_gives_up_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT", 0.2)
    store, other = Store(tmp_path / "a.db"), Store(tmp_path / "a.db")
    with store.writing(), pytest.raises(WorkFailed, match="another program has been writing"):
        add(other)
    add(other)
    assert len(store.episodes()) == 1


def test_a_change_that_fails_in_the_middle_leaves_nothing(store: Store) -> None:
    revision = store.revision()
    with pytest.raises(ZeroDivisionError), store.writing():
        add(store)
        raise ZeroDivisionError
    assert store.episodes() == [] and store.revision() == revision
    bad = Transcript(TALK.words, (Segment(0, 0, 2), Segment(0, 2, 4)), Timing.WORD, Origin.PUBLISHER)
    episode = add(store, None)
    with pytest.raises(sqlite3.IntegrityError):
        store.set_transcript(episode, bad)
    assert store.transcript(episode) is None and store.rows("SELECT * FROM segments") == []


def _import(path: Path, begun: multiprocessing.synchronize.Event) -> None:
    with Store(path) as store:
        for number in range(100_000):
            add(store, title=f"{os.getpid()} {number}")
            begun.set()


def test_a_process_that_is_killed_loses_no_whole_episode(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    Store(path).close()
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=_import, args=(path, begun))
    process.start()
    assert begun.wait(60)
    time.sleep(0.2)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with Store(path) as store:
        episodes = store.episodes()
        whole = [each for each in episodes if each.words]
        assert len(whole) >= max(1, len(episodes) - 1)
        assert all(store.transcript(each.id) == TALK for each in whole)
        assert len(store.rows("SELECT rowid FROM spoken WHERE spoken MATCH 'steam'")) == 2 * len(whole)
        store.row("INSERT INTO spoken (spoken) VALUES ('integrity-check')")
        add(store)
