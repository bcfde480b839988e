"""WebVTT."""

from __future__ import annotations

from whetstone.episodes.transcript import Transcript


def write(transcript: Transcript) -> str:
    """A cue for each segment whose times are known, `<v Name>` where somebody is named."""
    cues = ["WEBVTT\n"]
    for segment in transcript.segments:
        words = transcript.words[segment.first : segment.end]
        start, end = words[0].start, words[-1].end
        if start is None:
            continue
        said = transcript.segment_text(segment.id)
        for character, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            said = said.replace(character, written)
        name = "".join(c for c in segment.speaker if c not in "<>&\n\r")
        voice = f"<v {name}>" if name else ""
        cues.append(f"{_time(start)} --> {_time(max(start + 0.001, end or 0.0))}\n{voice}{said}\n")
    return "\n".join(cues)


def _time(seconds: float) -> str:
    thousandths = round(1000 * seconds)
    return (
        f"{thousandths // 3600000:02d}:{thousandths // 60000 % 60:02d}:"
        f"{thousandths // 1000 % 60:02d}.{thousandths % 1000:03d}"
    )
