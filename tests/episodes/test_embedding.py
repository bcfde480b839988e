"""Vectors of texts: the floor's properties, and an endpoint that behaves in every way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.episodes.server import Page, serving
from whetstone.engine.remote.credentials import ApiKey
from whetstone.episodes.embedding import EndpointEmbedder, HashedEmbedder, unit
from whetstone.errors import UsageError, WorkFailed


def cosine(first: str, second: str) -> float:
    a_D, b_D = HashedEmbedder().embed([first, second])
    return float(a_D @ b_D)


def test_the_floor_is_the_same_everywhere_and_for_each_text_alone() -> None:
    texts = ["Steam engines", "", "  ", "the of", "Café 42", "日本語"]
    together_ND = HashedEmbedder().embed(texts)
    alone_ND = np.concatenate([HashedEmbedder().embed([text]) for text in texts])
    np.testing.assert_allclose(together_ND, alone_ND, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together_ND, axis=1), [1, 0, 0, 1, 1, 1], atol=1e-6)
    # pinned: a library that was indexed by one version is searched by another
    assert np.flatnonzero(np.abs(together_ND[0]) > 0.2).tolist() == [91, 276]
    assert HashedEmbedder().embed([]).shape == (0, 384)


def test_the_floor_knows_forms_of_words_and_leaves_function_words_out() -> None:
    assert cosine("the locomotives", "a locomotive") > 0.4 > cosine("locomotives", "gardening") + 0.2
    assert cosine("STEAM ENGINE", "steam, engine!") == pytest.approx(1, abs=1e-6)
    assert cosine("what was the steam of it", "steam") > 0.95
    assert cosine("naïve café", "naive cafe") == pytest.approx(1, abs=1e-6)


@given(st.lists(st.text(max_size=40), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_text_has_a_vector(texts: list[str]) -> None:
    vectors_ND = HashedEmbedder(32).embed(texts)
    assert vectors_ND.shape == (len(texts), 32) and np.isfinite(vectors_ND).all()
    lengths_N = np.linalg.norm(vectors_ND, axis=1)
    assert ((lengths_N < 1e-6) | (np.abs(lengths_N - 1) < 1e-5)).all()


def replies(*pages: Page | None) -> object:
    """These in turn, and then honest answers: a vector of each text's length."""
    left = list(pages)

    def posted(path: str, body: dict[str, object]) -> Page:
        if left and (page := left.pop(0)) is not None:
            return page
        texts = body["input"]
        assert path == "/v1/embeddings" and isinstance(texts, list) and all(texts)
        data = [{"index": at, "embedding": [len(text), 1.0]} for at, text in enumerate(texts)]
        return Page(__import__("json").dumps({"data": data[::-1]}).encode())

    return posted


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("time.sleep", lambda _: None)
    yield


def test_an_endpoint_gives_unit_vectors_in_order_and_in_batches() -> None:
    with serving({}, replies()) as (address, asked):  # type: ignore[arg-type]
        embedder = EndpointEmbedder(f"{address}/v1/", "m")
        texts = ["x" * (1 + at % 9) for at in range(150)] + [" "]
        found_ND = embedder.embed(texts)
        assert len(asked) == 3 and embedder.name == f"m@{address}/v1"
        expected_ND = unit(np.array([[len(text), 1.0] for text in texts[:-1]]))
        np.testing.assert_allclose(found_ND[:-1], expected_ND, atol=1e-6)
        assert not found_ND[-1].any() and embedder.embed([]).shape[0] == 0


def test_an_endpoint_is_asked_again_where_that_can_help() -> None:
    with serving({}, replies(Page(status=503), Page(status=429), None)) as (address, asked):  # type: ignore[arg-type]
        assert EndpointEmbedder(f"{address}/v1", "m").embed(["a"]).shape == (1, 2) and len(asked) == 3


@pytest.mark.parametrize(
    ("page", "kind", "reason"),
    [
        (Page(b"secret-key-123 is wrong", status=401), UsageError, "does not accept the API key"),
        (Page(b"no such model\nsecret-key-123", status=404), WorkFailed, r"no vectors with 'm' \(404: no such model"),
        (Page(status=500), WorkFailed, "answered 500, 4 times"),
        (Page(status=302, headers={"location": "http://x/"}), WorkFailed, "302"),
        (Page(b"nonsense"), WorkFailed, "something else than 1 vectors"),
        (Page(b'{"data": []}'), WorkFailed, "something else"),
        (Page(b'{"data": [{"index": 0, "embedding": "x"}]}'), WorkFailed, "something else"),
        (Page(b'{"data": [{"index": 0, "embedding": [NaN]}]}'), WorkFailed, "no numbers"),
        (Page(b'{"data": [{"index": 0, "embedding": []}]}'), WorkFailed, "no numbers"),
        (Page(b"[" * 100_000), WorkFailed, "something else"),
        (Page(b"x" * 1_000_000, endless=True), WorkFailed, "more than 2 MiB"),
    ],
)
def test_an_endpoint_that_gives_no_vectors(
    page: Page, kind: type[Exception], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EndpointEmbedder, "LARGEST", 2 << 20)
    with serving({}, replies(*[page] * 4)) as (address, _), pytest.raises(kind, match=reason) as failure:  # type: ignore[arg-type]
        EndpointEmbedder(f"{address}/v1", "m", ApiKey("secret-key-123")).embed(["a"])
    assert "secret" not in str(failure.value) and "\n" not in str(failure.value)


def test_nobody_there() -> None:
    with serving({}) as (address, _):
        pass
    with pytest.raises(WorkFailed, match="is it running"):
        EndpointEmbedder(f"{address}/v1", "m").embed(["a"])
    with pytest.raises(UsageError):
        EndpointEmbedder("ftp://x", "m")
