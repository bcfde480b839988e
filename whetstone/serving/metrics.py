"""Counters and histograms in Prometheus' text format (version 0.0.4).

Each one is written by a single thread (the event loop, or the engines') and read by another; a reader may see a
histogram between two of its numbers, which the next reading puts right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Histogram:
    """Counts of observations at most as large as each bound, their sum and their number."""

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def samples(self, name: str, labels: Mapping[str, str]) -> Iterator[str]:
        """The lines of this histogram."""
        below = 0
        for bound, count in zip([*map(_number, self.bounds), "+Inf"], self.counts, strict=True):
            below += count
            yield f"{name}_bucket{_labels({**labels, 'le': bound})} {below}"
        yield f"{name}_sum{_labels(labels)} {_number(self.sum)}"
        yield f"{name}_count{_labels(labels)} {below}"


class Page:
    """Collects the families of one reading."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def numbers(self, name: str, kind: str, text: str, values: Iterable[tuple[Mapping[str, str], float]]) -> None:
        """A counter or a gauge, one value for each set of labels."""
        self._head(name, kind, text)
        self._lines.extend(f"{name}{_labels(labels)} {_number(value)}" for labels, value in values)

    def histograms(self, name: str, text: str, values: Iterable[tuple[Mapping[str, str], Histogram]]) -> None:
        """A histogram for each set of labels."""
        self._head(name, "histogram", text)
        for labels, histogram in values:
            self._lines.extend(histogram.samples(name, labels))

    def text(self) -> str:
        """The page."""
        return "\n".join([*self._lines, ""])

    def _head(self, name: str, kind: str, text: str) -> None:
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
