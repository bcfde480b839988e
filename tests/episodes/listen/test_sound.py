"""From real sound, made here, to a page in a real browser: heard, told apart, played from its quotes, heard once."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.episodes.hearing.speech import speak, write
from tests.pages import browser
from whetstone.episodes.content import Badge
from whetstone.episodes.gate import Gate
from whetstone.episodes.gate.recheck import recheck
from whetstone.episodes.heard import HearingSettings
from whetstone.episodes.hearing.recognise import Heard
from whetstone.episodes.hearing.sound import RATE, Piece, pieces
from whetstone.episodes.hearing.weights import available
from whetstone.episodes.listening import Made, Settings
from whetstone.episodes.several import Wanted, listen
from whetstone.episodes.store import Store
from whetstone.episodes.transcript import Origin, Timing, Word
from whetstone.errors import UsageError
from whetstone.runs.progress import Progress

av = pytest.importorskip("av", reason="the extra asr is not installed")
pytest.importorskip("faster_whisper", reason="the extra asr is not installed")
if not available("tiny.en"):
    pytest.skip("the packages with Whisper's weights are not installed (extra asr)", allow_module_level=True)

TURNS = [
    ("slt", "The harbour committee met on Tuesday. Why does the old ferry need a new engine?"),
    ("rms", "The old engine was built in 1974, and it may fail this winter. I would never sail with it again."),
    ("slt", "And what will the repair of the pier cost the town in the end?"),
    ("rms", "The repair will cost about 300 thousand pounds, because the pier has to be built again from the ground."),
]
HEARING = HearingSettings("tiny.en", speakers=2)


def mp3(path: Path, samples: np.ndarray) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format, "mono", RATE, frame_size=stream.frame_size or None)
        for out in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(out))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    parts = []
    for place, (voice, text) in enumerate(TURNS):
        parts += [next(pieces(speak(folder / f"{place}.wav", text, voice))).samples, np.zeros(RATE // 2, np.float32)]
    (folder / "in").mkdir()
    return mp3(folder / "in" / "harbour.mp3", np.concatenate(parts))


@pytest.fixture(scope="module")
def made(sound: Path) -> Made:
    try:
        [found] = run(sound, HEARING).made
    except UsageError as failure:
        if "voice encoder" not in str(failure):
            raise
        [found] = run(sound, replace(HEARING, speakers=None)).made
    return found


def run(sound: Path, hearing: HearingSettings = HEARING, out: Path | None = None) -> Any:
    folder = sound.parent.parent
    progress = Progress(stream=io.StringIO())
    return listen(
        Wanted([str(sound)]), out or folder / "page", Settings(hearing=hearing), progress, folder / "l.sqlite"
    )


def test_what_was_said_stands_on_the_page_with_its_times(made: Made, sound: Path) -> None:
    heard = made.transcript
    assert heard.origin is Origin.MACHINE and heard.timing is Timing.WORD and heard.language == "en"
    said = " ".join(word.text.strip(".,?").lower() for word in heard.words)
    for words in ("why does the old ferry need a new engine", "1974", "this winter", "the repair will cost about 300"):
        assert words in said, said
    html = (made.page.parent / "index.html").read_text()
    assert recheck(html, Gate(heard)) == len(made.content.quotes) + len(made.content.answered) >= 2
    assert html.count("machine transcript") >= 3 and "Heard by Whisper tiny.en." in html
    quotes = [*made.content.quotes, *(each.answer for each in made.content.answered)]
    for quote in quotes:
        assert Badge.MACHINE in quote.badges
        if any(character.isdigit() for character in heard.text(quote.first, quote.end)):
            assert Badge.LISTEN in quote.badges, "numbers are always to be listened to"
    assert made.about.seconds and abs(made.about.seconds - heard.words[-1].end) < 3  # type: ignore[operator]
    beside = made.page.parent / "audio.mp3"
    assert beside.read_bytes() == sound.read_bytes()
    if any(word.speaker for word in heard.words):
        voices = [segment.speaker for segment in heard.segments]
        assert voices[0] == "Speaker 1" and voices[-1] == "Speaker 2"


def test_what_was_heard_is_not_heard_again(
    made: Made, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whetstone.episodes import heard

    def never(spec: str) -> None:
        raise AssertionError(f"{spec} was loaded")

    speakers = 2 if any(word.speaker for word in made.transcript.words) else None
    with monkeypatch.context() as patch:
        patch.setattr(heard, "Recogniser", never)
        [again] = run(sound, replace(HEARING, speakers=speakers), tmp_path / "again").made
        assert again.transcript == made.transcript
        [other] = run(sound, replace(HEARING, speakers=None), tmp_path / "plain").made
        assert not any(word.speaker for word in other.transcript.words), "voices are forgotten, words are not"
        [back] = run(sound, replace(HEARING, speakers=speakers), tmp_path / "back").made
        assert back.transcript == made.transcript
        with pytest.raises(AssertionError, match="base was loaded"):
            run(sound, HearingSettings("base"), tmp_path / "base")


class Other:
    """Hears "anchor" wherever somebody speaks."""

    def __init__(self, spec: str) -> None:
        self.name = spec

    def understands(self, language: str) -> bool:
        return self.name != "french"

    def piece(self, piece: Piece, language: str | None = None) -> Heard:
        assert language == "en" and piece.seconds < 30
        return Heard(piece.start, piece.seconds, "en", (Word("anchor", piece.start, piece.start + 1),))


def test_a_second_recogniser_hears_the_quotes_again(
    made: Made, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whetstone.episodes import heard

    monkeypatch.setattr(heard, "Recogniser", Other)
    monkeypatch.setattr(heard, "whisper_folder", Path)
    speakers = 2 if any(word.speaker for word in made.transcript.words) else None
    [again] = run(sound, replace(HEARING, speakers=speakers, second="anchor"), tmp_path / "again").made
    quotes = [*again.content.quotes, *(each.answer for each in again.content.answered)]
    assert quotes and all(Badge.LISTEN in quote.badges for quote in quotes)
    assert f"heard something else in {len({(q.first, q.end) for q in quotes})} of them" in again.content.notes[-1]
    [other] = run(sound, replace(HEARING, speakers=speakers, second="french"), tmp_path / "other").made
    assert "heard the quotes again" not in " ".join(other.content.notes)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_in_a_browser(made: Made, chromium: Any, tmp_path: Path, width: int, height: int) -> None:
    folder = made.page.parent
    context = chromium.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page = context.new_page()
    problems: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(made.page.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    quote = page.locator("blockquote").first
    assert quote.is_visible() and quote.locator("p").inner_text() == made.transcript.text(
        *(int(quote.get_attribute(name)) for name in ("data-first", "data-end"))
    )
    page.locator("#needle").fill("engine")
    until(lambda: "found" in page.locator("#found").inner_text())
    play = quote.locator("a.play")
    wanted = float(play.get_attribute("data-t"))
    until(lambda: page.evaluate("document.getElementById('audio').readyState > 0"))
    play.click()
    until(lambda: page.evaluate("document.getElementById('audio').currentTime") >= wanted - 0.01)
    picture = page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert len(picture) > 20_000
    context.close()
    assert problems == []
    assert all(url.startswith((folder.as_uri(), "data:")) for url in asked), asked


KILLED = """
import functools, os, signal, sys
from pathlib import Path
from whetstone.cli import main
from whetstone.episodes import heard
from whetstone.episodes.hearing import recognise, sound
from whetstone.episodes.hearing.recognise import Heard
from whetstone.episodes.transcript import Word

class Slow:
    name = "slow"
    def __init__(self, spec):
        pass
    def understands(self, language):
        return True
    def piece(self, piece, language=None):
        print("asked", round(piece.start), file=sys.stderr, flush=True)
        if sys.argv[1] == "kill" and piece.start > 10:
            os.kill(os.getpid(), signal.SIGKILL)
        text = f"This was said by somebody at the time of {round(piece.start)} seconds."
        words = tuple(Word(w, piece.start + n, piece.start + n + 1, "", 0.9) for n, w in enumerate(text.split()))
        return Heard(piece.start, piece.seconds, "en", words)

heard.Recogniser = Slow
recognise.pieces = functools.partial(sound.pieces, seconds=20)
heard.whisper_folder = lambda spec: Path(spec)
main(["listen", *sys.argv[2:]])
"""


def test_killed_in_the_middle_of_hearing(tmp_path: Path) -> None:
    source = write(tmp_path / "long.wav", np.tile(np.random.default_rng(0).normal(0, 0.1, RATE), 45))
    out, library = tmp_path / "page", tmp_path / "l.sqlite"

    def whet(how: str) -> subprocess.CompletedProcess[str]:
        options = ["--out", str(out), "--library", str(library), "--json"]
        command = [sys.executable, "-c", KILLED, how, str(source), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    killed = whet("kill")
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    asked = [line for line in killed.stderr.splitlines() if line.startswith("asked")]
    assert len(asked) == 2 and asked[0] == "asked 0"
    whole = whet("go on")
    assert whole.returncode == 0, whole.stderr
    again = [line for line in whole.stderr.splitlines() if line.startswith("asked")]
    assert again[0] == asked[1] and len(again) == 3, "the first piece is kept"
    assert json.loads(whole.stdout)["words"] == 4 * 11
    with Store(library) as store:
        assert [each.words for each in store.episodes()] == [44]


def test_a_file_that_is_cut_short_says_so(tmp_path: Path, sound: Path) -> None:
    cut = tmp_path / "in" / "cut.mp3"
    cut.parent.mkdir()
    cut.write_bytes(sound.read_bytes()[: int(0.45 * sound.stat().st_size)])
    [made] = run(cut, HearingSettings("tiny.en")).made
    assert any("cut short" in note for note in made.content.notes)


def test_sound_without_speech_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, content in (("silence.wav", np.zeros(2 * RATE)), ("noise.mp3", None)):
        source = tmp_path / "in" / name
        if content is None:
            source.write_bytes(np.random.default_rng(0).bytes(3000))
        else:
            write(source, content)
        with pytest.raises(UsageError, match=r"no speech was found|cannot be read as sound"):
            run(source, HearingSettings("tiny.en"))
        assert not (tmp_path / "page").exists()
        with Store(tmp_path / "l.sqlite") as store:
            assert store.episodes() == []
