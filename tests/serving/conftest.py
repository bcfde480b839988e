from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.serving.live import client, tiny_server
from whetstone.serving.server import Background


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    """A server of the random model "tiny", shared by the tests that leave it as it was."""
    with tiny_server(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def api(running: Background) -> openai.OpenAI:
    """The official client of that server."""
    return client(running)
