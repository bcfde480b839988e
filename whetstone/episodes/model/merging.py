"""Reducing by merging: points keep the segments that they came from, whatever a model does to their words."""

from __future__ import annotations

from collections.abc import Sequence

from whetstone.episodes.content import Line
from whetstone.episodes.model.items import cited_lines
from whetstone.episodes.model.shapes import PROSE, PROSE_ROOM, PROSE_TASK, REDUCE, REDUCE_ROOM, REDUCE_TASK, chat
from whetstone.episodes.model.writer import Writer
from whetstone.episodes.normal import tokens

ALIKE = 0.6  # share of their words that two points about the same segments have in common
MOST_ROUNDS = 6  # each makes at least a third fewer points of them


def without_repeats(points: Sequence[Line]) -> list[Line]:
    """Points that say the same of the same segments, once: the first wording, with the segments of all.

    The same: they share a segment, and `ALIKE` of the words of the shorter one are in the other.
    """
    kept: list[tuple[frozenset[str], Line]] = []
    for point in points:
        words = frozenset(tokens(point.text))
        for place, (known, line) in enumerate(kept):
            shared = len(words & known) / max(1, min(len(words), len(known)))
            if shared >= ALIKE and set(line.segments) & set(point.segments):
                together = tuple(sorted({*line.segments, *point.segments}))
                kept[place] = (known, Line(line.text, together))
                break
        else:
            kept.append((words, point))
    return [line for _, line in kept]


def reduced(writer: Writer, points: Sequence[Line], most: int) -> list[Line]:
    """Points that fit into `most` tokens of a prompt, merged by the model group by group until they do.

    Where the model fails on a group, or merges nothing, the group's points are thinned out evenly instead.
    """
    kept = without_repeats(points)
    for _ in range(MOST_ROUNDS):
        if _cost(writer, kept) <= most:
            return kept
        groups = _groups(writer, kept, most)
        asked = [chat(REDUCE_TASK, numbered(group)) for group in groups]
        merged: list[Line] = []
        for group, answer in zip(groups, writer.write(asked, REDUCE, REDUCE_ROOM), strict=True):
            lines = cited_lines(answer.value["points"], list(group)) if answer.value else []
            merged += lines if 0 < 3 * len(lines) <= 2 * len(group) else list(group[::2])
        kept = without_repeats(merged)
    while len(kept) > 1 and _cost(writer, kept) > most:
        kept = kept[::2]
    return kept


def prose(writer: Writer, points: Sequence[Line]) -> tuple[list[Line], list[Line], list[Line]]:
    """Paragraph, summary and takeaways from points that fit into a prompt, each line citing segments; none where the
    model did not manage to write them."""
    if not points:
        return [], [], []
    answer = writer.write([chat(PROSE_TASK, numbered(points))], PROSE, PROSE_ROOM)[0]
    if answer.value is None:
        return [], [], []
    parts = [cited_lines(answer.value[name], list(points)) for name in ("paragraph", "summary", "takeaways")]
    return parts[0], parts[1], parts[2]


def numbered(points: Sequence[Line]) -> str:
    """The points as a model sees them."""
    return "\n".join(f"[{place}] {point.text}" for place, point in enumerate(points))


def _cost(writer: Writer, points: Sequence[Line]) -> int:
    return writer.count(numbered(points))


def _groups(writer: Writer, points: Sequence[Line], most: int) -> list[Sequence[Line]]:
    groups: list[Sequence[Line]] = []
    start = 0
    while start < len(points):
        end = start + 1
        while end < len(points) and _cost(writer, points[start : end + 1]) <= most:
            end += 1
        groups.append(points[start:end])
        start = end
    return groups
