"""`whet listen list`, `search`, `rename`, `remove`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.episodes.conversation import HOST
from tests.episodes.listen.running import TIDE, VTT
from tests.episodes.server import Page, serving
from whetstone.episodes.page.folder import LIST
from whetstone.episodes.store import Store
from whetstone.errors import UsageError, WorkFailed


def test_list_search_rename_and_remove(tide: Path, tmp_path: Path, library: Path, whet: Any) -> None:
    assert whet("list").code == 2 and "there is no library" in whet("search", "tide").complaint
    other = tide.with_name("other.txt")
    other.write_text("Mara Voss: There is a lighthouse on the hill.\n\nAnn: I never saw a lighthouse there.")
    assert whet(tide, other, "--out", tmp_path / "pages", "--show", "Harbours").code == 0
    listed = whet("list").out
    assert "1,398 words" in listed and "other · Harbours" in listed and "8 min" in listed
    assert "lighthouse on the hill" in whet("search", "lighthouse hill").out
    ran = whet("search", "lighthouse", "--speaker", "Ann", "--json")
    assert [hit["speaker"] for hit in json.loads(ran.out)] == ["Ann"]
    assert whet("search", "x", "--show", "nobody's").code == 2 and whet("search", "  ").code == 2
    assert "nothing was found" in whet("search", '"words that nobody said"').out
    assert "as 2026-03-12, not 'yesterday'" in whet("search", "tide", "--since", "yesterday").complaint
    assert "nothing was found" in whet("search", "tide", "--until", "1999-12-31").out
    assert "in 2 episodes" in whet("rename", 1, "Mara Voss", "M. Voss", "--show").out
    assert "M. Voss: There is a lighthouse" in whet("search", "lighthouse hill").out
    assert whet("rename", 1, "Nobody", "x").code == 2 and whet("rename", 99, "a", "b").code == 2
    whet(tide, "--out", tmp_path / "pages" / "tide", "--show", "Harbours")
    assert "M. Voss" in (tmp_path / "pages" / "tide" / "index.html").read_text()
    assert whet("remove").code == 2 and whet("remove", 1, 99).code == 2
    assert "removed tide" in whet("remove", 1).out
    assert "nothing was found" in whet("search", '"spring tide"').out and "other" in whet("list").out
    assert tide.is_file() and (tmp_path / "pages" / "tide" / LIST).is_file()


def test_search_by_meaning_with_an_endpoints_vectors(tmp_path: Path, whet: Any) -> None:
    sources = [tmp_path / "boats.txt", tmp_path / "lunch.txt"]
    sources[0].write_text("Ann: The old vessel sank in a storm that year.")
    sources[1].write_text("Bob: We had soup and bread for lunch instead.")

    def posted(path: str, body: dict[str, Any]) -> Page:
        assert path == "/v1/embeddings" and body["model"] == "meaning"
        vectors = [[1.0, 0.1] if "vessel" in text or "boat" in text else [0.1, 1.0] for text in body["input"]]
        data = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
        return Page(json.dumps({"data": data}).encode())

    with serving({}, posted) as (address, asked):
        options = ("--embeddings", f"{address}/v1", "--embeddings-model", "meaning")
        assert whet(*sources, "--out", tmp_path / "page", *options).code == 0 and asked
        hits = json.loads(whet("search", "boat", "--json", *options).out)
        assert hits[0]["speaker"] == "Ann" and hits[0]["ways"] == ["meaning"]
    assert whet("search", "boat", "--embeddings", "http://127.0.0.1:1/v1").code == 2


def test_removing_takes_fetched_sound_along_and_leaves_a_users_own(tmp_path: Path, library: Path) -> None:
    from whetstone.episodes.content import About
    from whetstone.episodes.several import removed
    from whetstone.episodes.sounds import sound_of

    own = tmp_path / "own.wav"
    own.write_bytes(wave())
    with (
        serving({"/a.wav": Page(wave()), "/b.wav": Page(b"<html>not sound</html>")}) as (address, _),
        Store(library) as s,
    ):
        show = s.add_show("Show")
        numbers = [s.add_episode(show, About(name, guid=name, audio=audio)) for name, audio in
                   (("web", f"{address}/a.wav"), ("own", str(own)), ("page", f"{address}/b.wav"))]  # fmt: skip
        pytest.importorskip("av", reason="the extra asr is not installed")
        fetched = sound_of(s, s.episode(numbers[0]), print)
        assert fetched.parent == library.parent / "sound" and sound_of(s, s.episode(numbers[1]), print) == own
        with pytest.raises(WorkFailed, match="no sound"):
            sound_of(s, s.episode(numbers[2]), print)
        assert [path.name for path in fetched.parent.iterdir()] == [fetched.name]
        assert removed(s, numbers[:2], []) == ["removed web", "removed own"]
        assert own.is_file() and not fetched.exists()
        with pytest.raises(UsageError, match="neither a transcript nor sound"):
            sound_of(s, s.episode(s.add_episode(show, About("none"))), print)


def wave() -> bytes:
    import io
    import wave as waves

    sound = io.BytesIO()
    with waves.open(sound, "wb") as writing:
        writing.setnchannels(1)
        writing.setsampwidth(2)
        writing.setframerate(16000)
        writing.writeframes(bytes(32000))
    return sound.getvalue()


def test_episodes_of_no_show_have_nothing_in_common(tide: Path, tmp_path: Path, whet: Any) -> None:
    other = tide.with_name("other.txt")
    other.write_text("Mara Voss: There is a lighthouse on the hill.")
    assert whet(tide, other, "--out", tmp_path / "pages").code == 0
    assert "belongs to no show" in whet("rename", 1, "Mara Voss", "M. Voss", "--show").complaint
    assert "M. Voss" not in whet("search", "lighthouse").out


def test_who_says_a_single_sentence_is_put_right_for_good(tide: Path, tmp_path: Path, library: Path, whet: Any) -> None:
    """On the page, in its exports, in quotes and search, through another run and another form of the transcript."""
    page = tmp_path / "page"
    assert whet(tide, "--out", page).code == 0
    words = "We drew that map in an office in Edinburgh."
    with Store(library) as store:
        number = next(each.id for each in TIDE.segments if TIDE.segment_text(each.id) == words)
        store.rename_speaker(1, HOST, "M. Voss")
        store.name_segment(1, number, "M. Voss")
    ran = whet(tide, "--out", page)
    assert ran.code == 0, ran.err
    told = json.loads((page / "episode.json").read_text())
    said = {each["text"]: each["speaker"] for each in told["transcript"]["segments"]}
    assert said[words] == HOST and told["speakers"] == {HOST: "M. Voss"}
    for quote in (*told["content"]["quotes"], *(each["answer"] for each in told["content"]["answered"])):
        assert words not in quote["text"] or quote["speaker"] in (HOST, ""), quote
    assert f"<v M. Voss>{words}" in re.sub(r"<\d[\d:.]*>", "", (page / "transcript.vtt").read_text())
    assert f"**M. Voss** (3:48) {words}" in (page / "episode.md").read_text()
    assert "M. Voss: We drew that map" in whet("search", '"office in Edinburgh"', "--speaker", "M. Voss").out
    tide.write_text(VTT.replace("Hello and welcome", "Hello, hello and welcome"))
    assert whet(tide, "--out", page).code == 0
    assert f"<v M. Voss>{words}" in re.sub(r"<\d[\d:.]*>", "", (page / "transcript.vtt").read_text())


def test_the_help_says_how_to_begin_and_groups_the_options(whet: Any) -> None:
    assert "whet listen SOURCE --out DIR makes the page" in whet("--help").out
    page = whet("page", "--help").out
    headings = ("A model that reads", "Claims and evidence", "Sound", "Search by meaning")
    places = [page.index(f"─ {each} ") for each in headings]
    assert places == sorted(places) and page.index(" --recogniser") > places[2] > page.index(" --json ")
