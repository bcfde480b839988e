"""A page's content survives being kept as JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.episodes.conversation import conversation
from tests.episodes.written import content as written
from whetstone.episodes.content import Content
from whetstone.episodes.kept import content, plain
from whetstone.errors import WorkFailed


def test_a_full_page_comes_back() -> None:
    full = written(conversation())
    assert content(json.loads(json.dumps(plain(full)))) == full
    assert content(json.loads(json.dumps(plain(Content())))) == Content()


@given(st.from_type(Content))
def test_any_content_comes_back(given_content: Content) -> None:
    kept = json.dumps(plain(given_content))
    assume("NaN" not in kept)  # which no clock shows, and which is not equal to itself
    assert content(json.loads(kept)) == given_content


def test_what_is_no_content_is_said() -> None:
    with pytest.raises(WorkFailed, match="cannot be read"):
        content({"paragraph": [{"text": 3}]})
