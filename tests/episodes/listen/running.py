"""`whet listen` run in this process, and the conversation that it is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.episodes.conversation import conversation
from whetstone.cli import main
from whetstone.episodes.formats import write
from whetstone.episodes.listening import Made, Settings
from whetstone.episodes.several import Wanted, listen
from whetstone.episodes.store import Store
from whetstone.runs.progress import Progress

TIDE = conversation()
VTT = write(TIDE, "vtt")


class Ran:
    """How `whet listen` ended, in this process. `out` and `err` as a terminal would get them."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        capsys.readouterr()
        try:
            main(["listen", *map(str, arguments)])
        except SystemExit as ended:
            self.code = ended.code or 0
        self.out, self.err = capsys.readouterr()

    @property
    def complaint(self) -> str:
        """The one line that says what is wrong."""
        found = [line for line in self.err.splitlines() if line.startswith("whet: ")]
        assert len(found) == 1 and "unexpected" not in found[0] and "Traceback" not in self.err, self.err
        return found[0]


def facts(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def kept_transcript(number: int = 1) -> Any:
    import os

    with Store(Path(os.environ["WHETSTONE_LIBRARY"])) as store:
        return store.transcript(number)


def make(sources: list[Path], out: Path, address: str, library: Path, **settings: Any) -> Made:
    from whetstone.engine.backends import Source
    from whetstone.episodes.model.writer import Writer

    writer = Writer.open(Source(address, "scripted"), settings.pop("context", 3000))
    evidence = settings.pop("evidence", [])
    wanted = Wanted([str(source) for source in sources], evidence=evidence)
    outcome = listen(wanted, out, Settings(writer, **settings), settings.get("progress", Progress()), library)
    return outcome.made[0]
