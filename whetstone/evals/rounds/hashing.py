"""Commitments: canonical bytes, Merkle trees, HKDF. Everything is SHA-256 and shown as hex."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHUNK = 1 << 20  # bytes of a file under one leaf


def canonical(value: Any) -> bytes:
    """The one JSON form of a value: sorted keys, no spaces, ASCII. Raises ValueError for NaN and infinities."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def digest(data: bytes) -> str:
    """sha256, hex."""
    return hashlib.sha256(data).hexdigest()


def commit(nonce: bytes, data: bytes) -> str:
    """Binds to `data` and, with a nonce of 16 random bytes or more, hides it: a short answer cannot be guessed from
    its hash, because every item has a nonce of its own."""
    return hmac.digest(nonce, b"whetstone commitment" + data, "sha256").hex()


def hkdf(secret: bytes, salt: bytes, purpose: str) -> bytes:
    """32 bytes by HKDF-SHA256 (RFC 5869): extract with `salt`, expand once for `purpose`."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")


def merkle_root(leaves: Sequence[bytes]) -> str:
    """The root over the leaves, in their order, as in RFC 6962: leaves and nodes are hashed with different prefixes, so
    that no node can pass for a leaf. The root over nothing is the hash of nothing."""
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    if not level:
        return digest(b"")
    while len(level) > 1:
        paired = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(level) // 2 * 2 :]
    return level[0].hex()


def file_root(path: Path) -> str:
    """The Merkle root over the file's pieces of a mebibyte: one flipped bit changes it."""
    with path.open("rb") as file:
        return merkle_root([hashlib.sha256(piece).digest() for piece in iter(lambda: file.read(CHUNK), b"")])
