"""`whet listen SOURCE --out DIR`: the page of an episode, or of many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from whetstone.cli.listen.options import (
    Context,
    Embeddings,
    EmbeddingsName,
    Library,
    ModelName,
    With,
    embedder,
    reader,
    require_together,
    search_endpoint,
    writer,
)
from whetstone.cli.options import ApiKeyFile, EndpointFile

if TYPE_CHECKING:
    from whetstone.episodes.listening import Settings
    from whetstone.episodes.several import Outcome

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="Sound (mp3, m4a, wav, ogg, flac), a transcript (VTT, SRT, JSON, HTML, text), a folder, or a feed.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="The folder for the page; for several episodes one in it for each.")]
Which = Annotated[int, typer.Option(min=1, help="Which of a feed's episodes, 1 the newest.")]
All = Annotated[bool, typer.Option("--all", help="All of a feed's episodes.")]
Title = Annotated[str | None, typer.Option(help="What a single file is called.", show_default="its name")]
Show = Annotated[
    str | None, typer.Option(help="The show of files or a folder.", show_default="none, or the folder's name")
]
MergeWith = Annotated[
    str | None, typer.Option(metavar="MODEL", help="Another model for merging, prose and checks.", show_default=False)
]
MergeName = Annotated[str | None, typer.Option(help="What an endpoint calls that one.", show_default=False)]
Judge = Annotated[bool, typer.Option("--judge/--no-judge", help="Two looks of the model at every line.")]
EvidenceFiles = Annotated[
    list[Path] | None,
    typer.Option(help="A text or HTML file to check claims against; repeatable.", show_default=False),
]
FromLibrary = Annotated[
    bool, typer.Option("--evidence-from-library", help="Also against other people's episodes in the library.")
]
EvidenceSearch = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Also against pages that a search finds: the words of the claims go to this address (SearXNG, or any "
        "that answers JSON; {query} says where the words go).",
        show_default=False,
    ),
]
SearchKeyFile = Annotated[
    Path | None,
    typer.Option(help="File with the search's key; otherwise $WHETSTONE_SEARCH_KEY.", show_default=False),
]
Hears = Annotated[str, typer.Option(help="base, tiny.en, a Whisper folder, or an endpoint https://HOST/v1.")]
HearsName = Annotated[str | None, typer.Option(help="What an endpoint calls its recogniser.", show_default=False)]
Second = Annotated[
    str | None, typer.Option(help="Another recogniser, which hears every quote again.", show_default=False)
]
Voices = Annotated[int | None, typer.Option(min=0, help="Tell so many voices apart; 0 finds out.", show_default=False)]
Language = Annotated[str | None, typer.Option(help="Of the sound, as en.", show_default="found out")]
Anew = Annotated[bool, typer.Option("--anew", help="Let the model read, and the search look, again.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a page on standard output.")]


_MODEL = "A model that reads"
_EVIDENCE = "Claims and evidence (with a model)"
_SOUND = "Sound"
_SEARCH = "Search by meaning"


@dataclass(frozen=True)
class Page:
    """Make the page of an episode.

    Example: `whet listen episode.mp3 --out page`

    Example: `whet listen https://example.org/feed.xml --episode 2 --out page`

    Example: `whet listen talk.vtt --with https://HOST/v1 --model NAME --out page`

    Example: `whet listen talk.vtt --with https://HOST/v1 --model NAME --evidence report.html --out page`
    """

    PANELS: ClassVar = {
        **dict.fromkeys(
            ("model", "name", "merge_with", "merge_name", "api_key_file", "endpoint_settings", "context", "judge"),
            _MODEL,
        ),
        **dict.fromkeys(
            ("evidence", "evidence_from_library", "evidence_search", "evidence_search_key_file"), _EVIDENCE
        ),
        **dict.fromkeys(("recogniser", "recogniser_name", "second", "speakers", "language"), _SOUND),
        **dict.fromkeys(("embeddings", "embeddings_model"), _SEARCH),
    }

    sources: Sources
    out: Out
    episode: Which = 1
    all_of_feed: All = False
    title: Title = None
    show: Show = None
    library: Library = None
    anew: Anew = False
    as_json: AsJson = False
    model: With = None
    name: ModelName = None
    merge_with: MergeWith = None
    merge_name: MergeName = None
    api_key_file: ApiKeyFile = None
    endpoint_settings: EndpointFile = None
    context: Context = None
    judge: Judge = True
    evidence: EvidenceFiles = None
    evidence_from_library: FromLibrary = False
    evidence_search: EvidenceSearch = None
    evidence_search_key_file: SearchKeyFile = None
    recogniser: Hears = "base"
    recogniser_name: HearsName = None
    second: Second = None
    speakers: Voices = None
    language: Language = None
    embeddings: Embeddings = None
    embeddings_model: EmbeddingsName = None

    def run(self) -> None:
        self._require_together()
        from whetstone.episodes.several import Wanted, listen
        from whetstone.runs.progress import Progress

        which = None if self.all_of_feed else self.episode
        wanted = Wanted(self.sources, which, self.title or "", self.show or "", self.evidence or ())
        settings = self._settings()
        with Progress() as progress:
            try:
                outcome = listen(wanted, self.out, settings, progress, self.library)
            except KeyboardInterrupt:
                progress.message("stopped: the same command goes on from here")
                raise
        _tell(outcome, self.as_json)

    def _require_together(self) -> None:
        reads = "--with (a model finds the claims and reads the evidence)"
        require_together(
            {
                "--merge-with": (self.merge_with, self.model, "--with"),
                "--merge-name": (self.merge_name, self.merge_with, "--merge-with"),
                "--evidence": (self.evidence, self.model, reads),
                "--evidence-from-library": (self.evidence_from_library, self.model, reads),
                "--evidence-search": (self.evidence_search, self.model, reads),
                "--evidence-search-key-file": (
                    self.evidence_search_key_file,
                    self.evidence_search,
                    "--evidence-search",
                ),
            }
        )

    def _settings(self) -> Settings:
        from whetstone.episodes.heard import HearingSettings
        from whetstone.episodes.listening import Settings

        asked = (self.api_key_file, self.endpoint_settings, self.context)
        return Settings(
            mapper=reader(self.model, self.name, *asked),
            reducer=writer(self.merge_with, self.merge_name, *asked) if self.merge_with else None,
            judged=self.judge,
            hearing=HearingSettings(self.recogniser, self.recogniser_name, self.second, self.speakers, self.language),
            evidence_from_library=self.evidence_from_library,
            evidence_search=search_endpoint(self.evidence_search, self.evidence_search_key_file),
            embedder=embedder(self.embeddings, self.embeddings_model),
            anew=self.anew,
        )


def _tell(outcome: Outcome, as_json: bool) -> None:
    """Raises WorkFailed where some episodes could not be made."""
    import json

    from whetstone.errors import WorkFailed

    for made in outcome.made:
        if as_json:
            print(json.dumps(made.facts(), ensure_ascii=False))
        else:
            _show(made.facts())
    if outcome.failed:
        whole = len(outcome.made) + len(outcome.failed)
        first = outcome.failed[0]
        raise WorkFailed(f"{len(outcome.failed)} of {whole} episodes could not be made, the first: {first}")


def _show(facts: dict[str, Any]) -> None:
    from whetstone.text import printable

    counts = facts["counts"]
    print(printable(f"{facts['page']}: {facts['words']} words ({facts['origin']} transcript), {facts['made_by']}"))
    share = f"{100 * counts['covered'] // counts['segments']} %" if counts["segments"] else "nothing"
    told = [
        f"read {share} ({counts['covered']} of {counts['segments']} segments)",
        f"quotes: {facts['quotes']} shown, {counts['quotes_kept']} of {counts['quotes_proposed']} passed the gate",
    ]
    if counts["lines_proposed"]:
        told.append(f"lines: {counts['lines_kept']} of {counts['lines_proposed']} kept")
    told.append(f"questions answered: {facts['questions']}")
    print(f"  {'; '.join(told)}")
    if facts["claims"]:
        print("  claims: " + ", ".join(f"{name} {count}" for name, count in facts["claims"].items()))
    for note in (*facts["notes"], *facts["searched"]):
        print(printable(f"  {note}"))
