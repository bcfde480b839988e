"""The pieces that commitments are made of, against other ways of computing them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whetstone.evals.rounds.chain import BrokenChain, append, mend, read_chain
from whetstone.evals.rounds.hashing import CHUNK, canonical, commit, file_root, hkdf, merkle_root

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_hkdf_is_rfc_5869() -> None:
    """The cryptography library's, where it is installed; else the RFC's first vector by hand."""
    import hmac

    secret, salt, info = bytes([11] * 22), bytes(range(13)), "info"
    prk = hmac.new(salt, secret, hashlib.sha256).digest()
    assert prk.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"  # RFC 5869, A.1
    assert hkdf(secret, salt, info) == hmac.new(prk, info.encode() + b"\x01", hashlib.sha256).digest()


@given(st.lists(st.binary(max_size=8), max_size=20))
def test_merkle_root_by_recursion(leaves: list[bytes]) -> None:
    def root(part: list[bytes]) -> bytes:
        if not part:
            return hashlib.sha256(b"").digest()
        if len(part) == 1:
            return hashlib.sha256(b"\x00" + part[0]).digest()
        half = 1
        while half * 2 < len(part):
            half *= 2
        return hashlib.sha256(b"\x01" + root(part[:half]) + root(part[half:])).digest()

    assert merkle_root(leaves) == root(leaves).hex()


@given(JSON)
def test_canonical_form_is_one_and_reads_back(value: object) -> None:
    assert json.loads(canonical(value)) == value
    assert canonical(json.loads(canonical(value))) == canonical(value)


def test_a_bit_in_any_piece_of_a_file_changes_its_root(tmp_path: Path) -> None:
    path = tmp_path / "f"
    data = bytearray(2 * CHUNK + 5)
    path.write_bytes(data)
    roots = {file_root(path)}
    for place in (0, CHUNK - 1, CHUNK, 2 * CHUNK + 4):
        data[place] ^= 1
        path.write_bytes(data)
        roots.add(file_root(path))
        data[place] ^= 1
    assert len(roots) == 5


def test_a_commitment_hides_and_binds() -> None:
    assert commit(b"n" * 16, b"42") != commit(b"m" * 16, b"42")
    assert commit(b"n" * 16, b"42") != commit(b"n" * 16, b"43")


@given(st.lists(st.dictionaries(st.text(alphabet="abc", min_size=1), JSON, max_size=3), max_size=6), st.data())
def test_a_chain_reads_back_and_notices_any_flipped_bit(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("chain") / "c.jsonl"
    written = append(path, [], records)
    assert [{k: v for k, v in r.items() if k not in ("prev", "hash")} for r in written] == records
    assert read_chain(path) == written
    content = path.read_bytes()
    if content:
        place = data.draw(st.integers(0, len(content) - 1))
        flipped = content[:place] + bytes([content[place] ^ 1 << data.draw(st.integers(0, 7))]) + content[place + 1 :]
        path.write_bytes(flipped)
        with pytest.raises(BrokenChain):
            read_chain(path)


def test_half_a_line_is_cut_off_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    written = append(path, [], [{"a": 1}, {"a": 2}])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"a":3,"ha')
    with pytest.raises(BrokenChain, match="no end"):
        read_chain(path)
    assert mend(path, cut=False) == written
    assert path.read_bytes() != whole
    assert mend(path) == written
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"a":1', b'"a":7'))
    with pytest.raises(BrokenChain, match="line 1"):
        mend(path)
