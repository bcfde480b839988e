"""Real speech, made here, through the real recogniser."""

from __future__ import annotations

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from tests.episodes.hearing.speech import TEXT, music, silence, speak, write
from whetstone.engine.remote.credentials import ApiKey
from whetstone.episodes.heard import Hearing, HearingSettings
from whetstone.episodes.hearing import weights
from whetstone.episodes.hearing.doubts import disagreements, loops
from whetstone.episodes.hearing.recognise import Heard, Recogniser, _words, hear, second_look
from whetstone.episodes.hearing.remote import RemoteRecogniser
from whetstone.episodes.hearing.sound import RATE, Piece, length, pieces
from whetstone.episodes.hearing.weights import available, whisper_folder
from whetstone.episodes.store import Store
from whetstone.episodes.transcript import Word
from whetstone.errors import UsageError
from whetstone.runs.progress import Progress

av = pytest.importorskip("av", reason="the extra asr is not installed")


def recogniser(name: str) -> Recogniser:
    pytest.importorskip("faster_whisper", reason="the extra asr is not installed")
    if not available(name):
        pytest.skip("the packages with Whisper's weights are not installed (extra asr)")
    return Recogniser(name)


@pytest.fixture(scope="module")
def base() -> Recogniser:
    return recogniser("base")


@pytest.fixture(scope="module")
def tiny() -> Recogniser:
    return recogniser("tiny.en")


def test_clear_speech_has_few_wrong_words(base: Recogniser, tmp_path: Path) -> None:
    jiwer = pytest.importorskip("jiwer")
    normalise = pytest.importorskip("whisper_normalizer.english").EnglishTextNormalizer()
    wrong = said = 0
    for voice in ("slt", "espeak"):
        path = speak(tmp_path / f"{voice}.wav", TEXT, voice)
        heard = hear(base, path)
        words = [word for each in heard for word in each.words]
        measured = jiwer.process_words(normalise(TEXT), normalise(" ".join(word.text for word in words)))
        wrong += measured.substitutions + measured.deletions + measured.insertions
        said += measured.hits + measured.substitutions + measured.deletions
        assert heard[0].language == "en"
        assert base.understands("de")
        times = [(word.start, word.end) for word in words]
        assert all(a is not None and b is not None and a <= b for a, b in times) and times == sorted(times)
        assert times[-1][1] <= (length(path) or 0) + 0.5
        assert not any(word.doubtful for word in words)
    assert wrong / said <= 0.05


def test_no_words_where_nobody_speaks(base: Recogniser, tmp_path: Path) -> None:
    for path in (silence(tmp_path / "silence.wav", 20), music(tmp_path / "music.wav", 20)):
        assert [heard.words for heard in hear(base, path)] == [()]


def test_a_second_recogniser_doubts_what_it_does_not_hear(tiny: Recogniser, tmp_path: Path) -> None:
    piece = next(pieces(speak(tmp_path / "a.wav", "The old boat needs a new engine. The pier is safe for ten years.")))
    words = list(tiny.piece(piece).words)
    assert not any(word.doubtful for word in second_look(tiny, words, piece))
    place = next(i for i, word in enumerate(words) if word.text.startswith("engine"))
    words[place] = Word("anchor.", words[place].start, words[place].end)
    assert [i for i, word in enumerate(second_look(tiny, words, piece, "en")) if word.doubtful] == [place]


def test_languages_that_a_recogniser_does_not_know(tiny: Recogniser, base: Recogniser) -> None:
    piece = Piece(0.0, np.zeros(RATE, np.float32))
    assert tiny.understands("en") and not tiny.understands("de")
    with pytest.raises(UsageError, match="English only, not 'de'"):
        tiny.piece(piece, "de")
    with pytest.raises(UsageError, match="knows no language 'klingon'"):
        base.piece(piece, "klingon")


class Counting:
    """A recogniser that says how often it was asked."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[float] = []

    def understands(self, language: str) -> bool:
        return True

    def piece(self, piece: Piece, language: str | None = None) -> Heard:
        self.asked.append(piece.start)
        return Heard(piece.start, piece.seconds, "en", (Word(f"at{piece.start:.0f}", piece.start, piece.start + 1),))


def test_pieces_are_cut_in_pauses_and_nothing_is_lost(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    samples = random.normal(0, 0.2, 90 * RATE)
    for second in (24, 51, 77):
        samples[second * RATE : second * RATE + RATE // 2] = 0
    path = write(tmp_path / "noise.wav", samples)
    found = list(pieces(path, seconds=30))
    assert sum(len(piece.samples) for piece in found) == len(samples)
    assert [piece.start for piece in found] == [0, *np.cumsum([piece.seconds for piece in found])[:-1]]
    for piece, pause in zip(found[1:], (24, 51, 77), strict=False):
        assert pause <= piece.start <= pause + 0.5
    together = np.concatenate([piece.samples for piece in found])
    assert np.abs(together - np.clip(samples, -1, 1)).max() < 2e-4


def test_an_interrupted_hearing_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", np.tile(np.random.default_rng(0).normal(0, 0.1, RATE), 1300))
    first, kept = Counting(), []

    def keep(heard: Heard) -> None:
        kept.append(heard)
        if len(kept) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hear(first, path, keep=keep)
    second = Counting()
    whole = hear(second, path, known=kept)
    assert second.asked == [whole[2].start] and whole[:2] == kept
    assert [w.text for each in whole for w in each.words] == [f"at{each.start:.0f}" for each in whole]


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac", "m4a"])
def test_the_usual_files_are_read(tmp_path: Path, suffix: str) -> None:
    tone = np.sin(np.arange(3 * RATE) * 2 * np.pi * 440 / RATE) * 0.3
    codec = {"mp3": "libmp3lame", "ogg": "libopus", "flac": "flac", "m4a": "aac"}[suffix]
    path = tmp_path / f"tone.{suffix}"
    with av.open(str(path), "w") as container:
        rate = 48000 if suffix == "ogg" else RATE
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((tone * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or None
        )
        for out in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(out))
        container.mux(stream.encode(None))
    samples = np.concatenate([piece.samples for piece in pieces(path)])
    assert abs(len(samples) / RATE - 3) < 0.15
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(spectrum.argmax() * RATE / len(samples) - 440) < 5


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.mp3"
    text.write_text("not sound at all " * 50)
    with pytest.raises(UsageError, match=r"cannot be (read as sound|decoded)|holds no sound"):
        list(pieces(text))
    with pytest.raises(UsageError, match="there is no file"):
        list(pieces(tmp_path / "none.mp3"))
    with pytest.raises(UsageError, match="no recogniser is called"):
        whisper_folder("huge")


def test_half_a_file_is_half_heard(tmp_path: Path) -> None:
    path = write(tmp_path / "whole.wav", np.random.default_rng(0).normal(0, 0.1, 20 * RATE))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(path.read_bytes()[: 44 + 10 * RATE * 2])
    assert sum(piece.seconds for piece in pieces(cut)) == pytest.approx(10, abs=0.1)


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pretender"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('its code was run')")
    (package / "model.bin").write_bytes(b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("WHETSTONE_CACHE", str(tmp_path / "cache"))
    packaged = weights.Packaged("", (("pretender", "model.bin", "model.bin", "0" * 64),))
    monkeypatch.setitem(weights.PACKAGED, "pretender", packaged)
    with pytest.raises(UsageError, match="sha256 differs"):
        whisper_folder("pretender")
    assert not list((tmp_path / "cache" / "whisper").glob("pretender-*/model.bin"))


def test_loops_are_marked_and_emphasis_is_not() -> None:
    said = "and so it was very very good " + "thank you for watching " * 6 + "then no no no no we left"
    marked = loops([Word(text) for text in said.split()])
    assert {word.text for word in marked if word.doubtful} == {"thank", "you", "for", "watching"}
    assert sum(word.doubtful for word in marked) == 24


def test_disagreements() -> None:
    ours = [Word(text) for text in ["We", "like", "search", "engines,", "they", "said."]]
    theirs = [Word(text) for text in ["we", "like", "such", "engines", "they", "said"]]
    assert [word.text for word in disagreements(ours, theirs) if word.doubtful] == ["search"]


def test_a_transcription_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whetstone.episodes.hearing.remote.time.sleep", lambda seconds: None)
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["content-length"])))
            if len(asked) == 1:
                self.send_response(503)
                self.end_headers()
                return
            words = [{"word": "Hello", "start": 0.5, "end": 0.9}, {"word": "there.", "start": 1.0, "end": 1.4}, "x"]
            body = json.dumps({"language": "english", "text": "Hello there.", "words": words}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        remote = RemoteRecogniser(f"http://127.0.0.1:{server.server_port}/v1", "whisper-1")
        path = write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 3 * RATE))
        heard = hear(remote, path)
    finally:
        server.shutdown()
        server.server_close()
    assert [(word.text, word.start) for word in heard[0].words] == [("Hello", 0.5), ("there.", 1.0)]
    assert len(asked) == 2 and b"RIFF" in asked[1] and b"whisper-1" in asked[1]
    with pytest.raises(UsageError, match="in the clear"):
        RemoteRecogniser("http://example.org/v1", "m", ApiKey("k"))


def test_a_key_in_the_environment_does_not_keep_a_recogniser_in_the_network_from_hearing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret-of-somebody")
    with Store(tmp_path / "library.sqlite") as store:
        for address, sent in (("http://192.168.0.7:9000/v1", False), ("http://127.0.0.1:9000/v1", True)):
            settings = HearingSettings(address, "whisper-1")
            recogniser = Hearing(store, settings, Progress(stream=io.StringIO()))._recogniser(address)
            assert isinstance(recogniser, RemoteRecogniser)
            assert (recogniser._key is not None) == sent


def test_what_a_transcription_endpoint_says_is_one_line_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, text=f"no\nsuch model, {request.headers['authorization']}")

    client = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **given: client(transport=httpx.MockTransport(refusing), **given))
    remote = RemoteRecogniser("https://example.org/v1", "m", ApiKey("a-secret-of-somebody"))
    with pytest.raises(UsageError, match=r"no such model, Bearer \[key\]") as refused:
        remote.piece(Piece(0.0, np.zeros(RATE, dtype=np.float32)))
    assert "\n" not in str(refused.value)


def test_what_comes_after_damage_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "tone.mp3"
    tone = (0.3 * np.sin(2 * np.pi * 300 * np.arange(12 * RATE) / RATE) * 32767).astype("<i2")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    whole = path.read_bytes()
    for filling in (np.random.default_rng(0).bytes(len(whole) // 6), bytes(len(whole) // 6)):
        path.write_bytes(whole[: len(whole) // 3] + filling + whole[len(whole) // 2 :])
        assert sum(piece.seconds for piece in pieces(path)) == pytest.approx(10, abs=0.5)


def test_a_word_that_is_heard_in_the_music_before_its_sentence_is_moved_to_it() -> None:
    def segment(*starts: float) -> SimpleNamespace:
        words = [
            SimpleNamespace(word=f" word{at}", start=start, end=start + 0.3, probability=0.9)
            for at, start in enumerate(starts)
        ]
        return SimpleNamespace(words=words, compression_ratio=1.0)

    def times(*starts: float) -> list[tuple[float | None, float | None]]:
        return [(word.start, word.end) for word in _words(segment(*starts), 100.0)]

    assert times(1.8, 20.3, 20.6, 20.9) == [(120.0, 120.3), (120.3, 120.6), (120.6, 120.9), (120.9, 121.2)]
    assert times(1.5, 1.8, 20.3, 20.6, 20.9)[:2] == [(119.7, 120.0), (120.0, 120.3)]
    assert times(1.8, 4.3, 4.6, 4.9)[0] == (101.8, 102.1)  # somebody thinks
    assert times(1.2, 1.5, 1.8, 20.3, 20.6)[0] == (101.2, 101.5)  # half a sentence before a pause is no stray word
