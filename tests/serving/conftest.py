from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
import torch

from tests.serving.live import client, tiny_server
from whetstone.serving.server import Background


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products gain nothing from a second thread, and lose much when other work shares the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    """A server of the random model "tiny", shared by the tests that leave it as it was."""
    with tiny_server(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def api(running: Background) -> openai.OpenAI:
    """The official client of that server."""
    return client(running)
