"""Seconds as people write them, and as attributes and addresses carry them."""

from __future__ import annotations

import re

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def clock(seconds: float) -> str:
    """`2:05`, `1:02:05`: whole seconds, rounded down, so that whoever goes there misses nothing."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def length(seconds: float) -> str:
    """`48 min`, `2 h 5 min`, `35 s`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


def number(seconds: float) -> str:
    """At most two decimals and no more than needed: `12`, `12.5`."""
    return f"{max(0.0, seconds):.2f}".rstrip("0").rstrip(".")


def day(date: str) -> str:
    """`2026-03-12` (and whatever follows) as `12 March 2026`; what is no such date stays as it is."""
    found = re.match(r"(\d{4})-(\d\d)-(\d\d)", date)
    if found is None or not 1 <= int(found[2]) <= 12:
        return date
    return f"{int(found[3])} {MONTHS[int(found[2]) - 1]} {found[1]}"
