"""Addresses from outside, let through only where a click on them is harmless."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

WEB = ("http", "https")


def web_link(address: str) -> str | None:
    """An address for `href`, None for all but http and https: scripts, data, files and mail are not linked."""
    address = address.strip()
    if re.search(r"[\x00-\x20\x7f\\]", address):
        return None
    try:
        parts = urlsplit(address)
        return address if parts.scheme.lower() in WEB and parts.hostname else None
    except ValueError:
        return None


def beside(path: str) -> str | None:
    """A file in the page's folder as a relative address; None for a path that leaves the folder or is none."""
    parts = path.replace("\\", "/").split("/")
    leaves = ".." in parts or parts[0] == "" or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path)
    if not path.isprintable() or leaves:
        return None
    return "./" + quote("/".join(parts))


def media(audio: str) -> str | None:
    """Where the player finds the sound: an address on the web, or a file beside the page."""
    return web_link(audio) or beside(audio)
